import type { Timer } from './outside.ts'

interface Entry extends Timer {
  /** Milliseconds of the simulation's time. */
  due: number
  /** Among those that are due at the same time. */
  order: number
  every: number | null
  work: () => void
}

/** The timers of one process, in the time of the simulation. */
export class Timers {
  readonly #now: () => number
  readonly #entries = new Set<Entry>()
  #order = 0

  constructor(now: () => number) {
    this.#now = now
  }

  start(work: () => void, ms: number, every: boolean): Timer {
    const after = Math.max(1, ms)
    const restart = () => {
      entry.due = this.#now() + after
      entry.order = this.#order++
      this.#entries.add(entry)
      return entry
    }
    const entry: Entry = {
      due: 0,
      order: 0,
      every: every ? after : null,
      work,
      ref: () => entry,
      unref: () => entry,
      hasRef: () => true,
      refresh: restart,
      close: () => void this.stop(entry),
      [Symbol.dispose]: () => void this.stop(entry),
      [Symbol.toPrimitive]: () => entry.order,
    }
    return restart()
  }

  /** Whether it was one of these. */
  stop(timer: unknown): boolean {
    if (typeof timer !== 'object' || timer === null || !('work' in timer)) return false
    this.#entries.delete(timer as Entry)
    return true
  }

  /** When the next is due; Infinity if there is none. */
  get nextDue(): number {
    return this.#first()?.due ?? Infinity
  }

  /** Fires the one that has been due for the longest. */
  fire(): void {
    const entry = this.#first()
    if (!entry || entry.due > this.#now()) return
    if (entry.every === null) this.#entries.delete(entry)
    else {
      entry.due = this.#now() + entry.every
      entry.order = this.#order++
    }
    entry.work()
  }

  clear(): void {
    this.#entries.clear()
  }

  #first(): Entry | undefined {
    let first: Entry | undefined
    for (const entry of this.#entries) {
      if (!first || entry.due < first.due || (entry.due === first.due && entry.order < first.order))
        first = entry
    }
    return first
  }
}
