/** The event streams that are open on this server. */
export class OpenStreams {
  readonly #open = new Set<object>()
  #onNone: () => void = () => {}

  get count(): number {
    return this.#open.size
  }

  add(stream: object): void {
    this.#open.add(stream)
  }

  delete(stream: object): void {
    this.#open.delete(stream)
    if (this.#open.size === 0) this.#onNone()
  }

  /** Resolves as soon as none is open. */
  async none(): Promise<void> {
    while (this.#open.size > 0) await new Promise<void>((resolve) => (this.#onNone = resolve))
  }
}
