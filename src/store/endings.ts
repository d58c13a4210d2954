/** Milliseconds that a read waits at most: a database that stands still must not keep those who ask waiting. */
const longestMs = 50

/**
 * Runs of this node whose turn is over and is being committed. Who asks for one right then is answered when that is done, with how the
 * turn ended: a client that polls would else learn it after its next pause.
 */
export class Endings {
  readonly #longestMs: number
  readonly #under = new Map<string, PromiseWithResolvers<void>>()

  constructor(mostMs = longestMs) {
    this.#longestMs = mostMs
  }

  get size(): number {
    return this.#under.size
  }

  /** A turn of the run has its outcome. */
  begin(run: string): void {
    this.#under.set(run, Promise.withResolvers())
  }

  /** It was committed, or will not be. To be called for each turn, whether it got so far or not. */
  end(run: string): void {
    this.#under.get(run)?.resolve()
    this.#under.delete(run)
  }

  /** Resolves at once for a run that is not ending, for another when it has, or when the time is up. */
  async of(run: string): Promise<void> {
    const ending = this.#under.get(run)
    if (!ending) return
    const timer = setTimeout(ending.resolve, this.#longestMs)
    await ending.promise
    clearTimeout(timer)
  }
}
