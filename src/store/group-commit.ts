import pg from 'pg'
import type { ThreadWrite, WriteOutcome } from './thread-write.ts'

// Concurrent writes share one statement and one fsync: while a flush is under way, what arrives waits and goes
// out together in the next. One lane: two would make smaller batches for more work in Postgres.

/** Writes of one batch. The statement's joins grow with the square of it. */
const maxBatch = 64

interface Waiting {
  write: ThreadWrite
  resolve(outcome: WriteOutcome): void
  reject(error: unknown): void
}

export class GroupCommit {
  #waiting: Waiting[] = []
  #flushing: Promise<void> | null = null
  readonly #commit: (batch: ThreadWrite[]) => Promise<WriteOutcome[]>

  /** `commit` writes a batch in one transaction and answers an outcome for each write, in order. */
  constructor(commit: (batch: ThreadWrite[]) => Promise<WriteOutcome[]>) {
    this.#commit = commit
  }

  /** Resolves when the write is durable or was refused by its guard; rejects when it could not be written. */
  submit(write: ThreadWrite): Promise<WriteOutcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  /** Resolves when nothing is waiting any more. */
  async idle(): Promise<void> {
    while (this.#flushing) await this.#flushing
  }

  async #flush(): Promise<void> {
    // Let the callers of this tick join the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#flushBatch(this.#take())
    // In the same breath as the look above: a write that comes in later must find that nobody flushes.
    this.#flushing = null
  }

  /** The next batch: the oldest writes, at most one a thread, since a statement changes a row only once. */
  #take(): Waiting[] {
    const threads = new Set<string>()
    const batch: Waiting[] = []
    const left: Waiting[] = []
    for (const waiting of this.#waiting) {
      const thread = waiting.write.thread.id
      if (batch.length < maxBatch && !threads.has(thread)) batch.push(waiting)
      else left.push(waiting)
      threads.add(thread)
    }
    this.#waiting = left
    return batch
  }

  async #flushBatch(batch: Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#commit(batch.map((waiting) => waiting.write))
      batch.forEach((waiting, i) => waiting.resolve(outcomes[i] as WriteOutcome))
    } catch (error) {
      // One bad row must not fail its neighbours. Only an error that Postgres itself reported says that the
      // batch was rolled back; after a broken connection nobody knows, and a second try could write twice.
      const rolledBack = error instanceof pg.DatabaseError
      if (batch.length === 1 || !rolledBack) {
        for (const waiting of batch) waiting.reject(error)
        return
      }
      for (const waiting of batch) await this.#flushBatch([waiting])
    }
  }
}
