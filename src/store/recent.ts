import { RecentMessages } from './recent-messages.ts'
import { RecentRuns } from './recent-runs.ts'
import type { ThreadWrite, WriteOutcome } from './thread-write.ts'

/** What a node that has the database to itself need not read again (docs/decisions/0019). */
export class Recent {
  readonly runs: RecentRuns
  readonly messages: RecentMessages

  /** `alone`: no other process can write to the database. */
  constructor(alone: boolean) {
    this.runs = new RecentRuns(alone)
    this.messages = new RecentMessages(alone)
  }

  /** Notes a write that was committed. */
  written(write: ThreadWrite, done: WriteOutcome): void {
    this.runs.written(write, done)
    this.messages.written(write, done)
  }

  /** Notes a write that followed from another, in its transaction. */
  followed(write: ThreadWrite): void {
    this.runs.written(write, { outcome: 'ok' })
    this.messages.forget(write.thread.id)
  }

  /** A write failed, and may have been committed all the same. */
  doubted(write: ThreadWrite): void {
    this.runs.doubted(write)
    this.messages.forget(write.thread.id)
  }

  /** These threads are gone, with all that is in them. */
  forgetThreads(ids: readonly string[]): void {
    if (ids.length === 0) return
    this.runs.forgetThreads(new Set(ids))
    for (const id of ids) this.messages.forget(id)
  }
}
