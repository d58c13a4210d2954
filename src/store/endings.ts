import type { Monotonic } from './clock.ts'
import type { RunKey } from './run-writes.ts'

/**
 * Milliseconds. A read waits for no turn that is older, and for no commit that takes longer: a model that thinks, or a database that
 * stands still, must not keep those who ask waiting.
 */
const longestMs = 50

/** Models that are remembered to be quick. */
const maxQuick = 1_000

interface Turn {
  readonly run: RunKey
  readonly model: string
  readonly since: number
  /** It has its outcome, which is being committed. */
  over: boolean
  readonly waiting: Set<() => void>
}

/**
 * The turns of this node, for those who ask for their runs at such a moment that it pays to wait: a client that polls would learn the
 * end only after its next pause, and ask once more for it. It pays while the outcome is being committed, and while a turn is young whose
 * model was quick when it was asked last.
 */
export class Endings {
  readonly #monotonic: Monotonic
  readonly #longestMs: number
  readonly #turns = new Map<string, Turn>()
  /** Milliseconds that the last turn of a model took, if it was over in time and nobody has waited for another in vain since. */
  readonly #quick = new Map<string, number>()

  constructor(monotonic: Monotonic = () => performance.now(), mostMs = longestMs) {
    this.#monotonic = monotonic
    this.#longestMs = mostMs
  }

  /** Turns whose outcome is being committed. */
  get size(): number {
    return [...this.#turns.values()].filter(({ over }) => over).length
  }

  /** A turn of the run begins. */
  begin(run: RunKey, model: string): void {
    this.#turns.set(run.id, { run, model, since: this.#monotonic(), over: false, waiting: new Set() })
  }

  /** The turn has its outcome; `answered`: the model's own, which tells how quick it is. */
  over(run: string, answered: boolean): void {
    const turn = this.#turns.get(run)
    if (!turn) return
    turn.over = true
    const ms = this.#age(turn)
    if (ms > this.#longestMs) this.#quick.delete(turn.model)
    else if (answered) this.#remember(turn.model, ms)
  }

  /** Whether the last turn of a model took no longer than this, as far as it is known. */
  isQuick(model: string, ms: number): boolean {
    return (this.#quick.get(model) ?? Infinity) <= ms
  }

  /** A turn of the model was waited for in vain. */
  inVain(model: string): void {
    this.#quick.delete(model)
  }

  #remember(model: string, ms: number): void {
    this.#quick.delete(model)
    this.#quick.set(model, ms)
    // The one that was quick longest ago.
    const [oldest] = this.#quick.keys()
    if (this.#quick.size > maxQuick && oldest !== undefined) this.#quick.delete(oldest)
  }

  /** The outcome was committed, or will not be. To be called for each turn that began, whether it got so far or not. */
  end(run: string): void {
    const turn = this.#turns.get(run)
    this.#turns.delete(run)
    for (const resolve of turn?.waiting ?? []) resolve()
  }

  /**
   * Resolves at once for a run that it does not pay to wait for, for another when its turn has ended, or when the time is up. Who asks
   * in another project or thread is to learn nothing, not even by the time that it takes.
   */
  async of({ id, project_id, thread_id }: RunKey): Promise<void> {
    const turn = this.#turns.get(id)
    if (turn?.run.project_id !== project_id || turn.run.thread_id !== thread_id) return
    const ms = this.#worth(turn)
    if (ms <= 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    turn.waiting.add(resolve)
    const timer = setTimeout(() => {
      if (!turn.over) this.#quick.delete(turn.model)
      resolve()
    }, ms)
    await promise
    clearTimeout(timer)
    turn.waiting.delete(resolve)
  }

  #worth(turn: Turn): number {
    if (turn.over) return this.#longestMs
    return this.#quick.has(turn.model) ? this.#longestMs - this.#age(turn) : 0
  }

  #age({ since }: Turn): number {
    return this.#monotonic() - since
  }
}
