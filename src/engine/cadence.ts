import { within } from '../store/store.ts'

/** Milliseconds between two rounds at least: work that takes longer than its interval still lets others have a turn. */
const breathMs = 50

/** How long stopping waits for the round under way, in milliseconds. */
const stopMs = 1_000

/** Work that is done again and again, one round at a time. The work must not reject. */
export class Cadence {
  readonly #work: () => Promise<void>
  readonly #everyMs: number
  #timer: NodeJS.Timeout | null = null
  #round: Promise<void> | null = null
  #stopped = false

  constructor(work: () => Promise<void>, everyMs: number) {
    this.#work = work
    this.#everyMs = everyMs
  }

  /** Begins a round now and the next ones in their time. */
  start(): void {
    if (this.#stopped) return
    const since = performance.now()
    void (this.#round ?? this.once()).then(() => {
      if (this.#stopped) return
      const left = this.#everyMs - (performance.now() - since)
      this.#timer = setTimeout(() => this.start(), Math.max(breathMs, left))
    })
  }

  /** One whole round, begun after this call. */
  async once(): Promise<void> {
    while (this.#round) await this.#round
    this.#round = this.#work().finally(() => (this.#round = null))
    await this.#round
  }

  /** Begins no more rounds and waits a moment for the one under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#round) await within(stopMs, this.#round)
  }
}
