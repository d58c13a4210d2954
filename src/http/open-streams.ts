import { RepeatedWarning, type Log } from '../log.ts'

/** The event streams that are open on this server. */
export class OpenStreams {
  /** Each stream tries again within a moment, so that one outage makes many of these. */
  readonly unread: RepeatedWarning
  readonly #open = new Set<object>()
  #onNone: () => void = () => {}

  constructor(log: Log) {
    this.unread = new RepeatedWarning(log, 'a stream could not read its run')
  }

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
