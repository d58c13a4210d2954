import type { RunRecord } from '../domain/records.ts'
import type { RunKey } from './run-writes.ts'
import type { ThreadWrite, WriteOutcome } from './thread-write.ts'
import { sizeOf } from './write-size.ts'

/** Runs kept; the least recently written go first. */
const mostRuns = 20_000

/** Characters of one that is kept: those that are larger are read each time, and do not fill the memory. */
const largestRun = 16_384

/**
 * Runs as this process last committed them, for a node that has the database to itself: a client that polls is answered
 * without asking Postgres what this node wrote. Only commits put runs in, so that a slow read never brings back what was
 * before; what is changed in another way is not kept at all from then on.
 */
export class RecentRuns {
  /** null: not kept, since it is large, or changed in a way that is not seen here. In the order of the last writes. */
  readonly #runs = new Map<string, RunRecord | null>()
  readonly #alone: boolean

  /** `alone`: no other process can write to the database. */
  constructor(alone: boolean) {
    this.#alone = alone
  }

  get({ project_id, thread_id, id }: RunKey): RunRecord | null {
    const run = this.#runs.get(id)
    return run && run.thread_id === thread_id && run.project_id === project_id ? run : null
  }

  /** Notes a write that was committed. */
  written(write: ThreadWrite, done: WriteOutcome): void {
    if (!this.#alone || done.outcome !== 'ok') return
    if (write.kind === 'delete_thread') return this.forgetThreads(new Set([write.thread.id]))
    const run = 'run' in write ? write.run : undefined
    if (run) this.#put(done.metadata ? { ...run, metadata: done.metadata } : run)
  }

  /** A write failed, and may have been committed all the same. */
  doubted(write: ThreadWrite): void {
    if (write.kind === 'delete_thread') this.forgetThreads(new Set([write.thread.id]))
    else if ('run' in write && write.run) this.forget(write.run.id)
  }

  /** A run changed, or may have changed, in another way than by a write that is told here. */
  forget(id: string): void {
    if (this.#alone) this.#set(id, null)
  }

  /** These threads are gone, and their runs with them. */
  forgetThreads(threads: ReadonlySet<string>): void {
    if (!this.#alone) return
    for (const [id, run] of this.#runs) if (run && threads.has(run.thread_id)) this.#set(id, null)
  }

  #put(run: RunRecord): void {
    const known = this.#runs.get(run.id)
    if (known === null || (known && known.state.version > run.state.version)) return
    this.#set(run.id, sizeOf(run) <= largestRun ? run : null)
  }

  #set(id: string, run: RunRecord | null): void {
    this.#runs.delete(id)
    this.#runs.set(id, run)
    if (this.#runs.size <= mostRuns) return
    const [oldest] = this.#runs.keys()
    if (oldest !== undefined) this.#runs.delete(oldest)
  }
}
