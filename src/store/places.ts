/** Places for runs, kept for whoever took them. */
export interface Places {
  readonly count: number
  /** Gives back what the engine has no run for yet; once. */
  free(): void
}

/**
 * The room for runs on this node. Whoever is about to make runs this node's own takes places for them first, and frees
 * them when the engine has the runs or nothing came of it. So the engine never gets more runs than it has room for.
 */
export class Room {
  #taken = 0
  #left: () => number = () => 0
  #onFree: () => void = () => {}

  /** The engine says how many more runs it would take, and hears when places are freed. Until then there is no room. */
  open(left: () => number, onFree: () => void): void {
    this.#left = left
    this.#onFree = onFree
  }

  /** Up to `most` places, as many as there are. */
  take(most: number): Places {
    const count = Math.max(0, Math.min(most, this.#left() - this.#taken))
    this.#taken += count
    let kept = count
    const free = () => {
      if (kept === 0) return
      this.#taken -= kept
      kept = 0
      this.#onFree()
    }
    return { count, free }
  }
}
