import type { PageQuery } from '../contract/paging.ts'
import type { MessageRecord } from '../domain/records.ts'
import type { Page } from './page.ts'
import type { MessageRow } from './rows.ts'
import type { ThreadKey, ThreadWrite, WriteOutcome } from './thread-write.ts'
import { sizeOf } from './write-size.ts'

/** Messages kept of a thread, the newest; and characters of a thread and of all together. */
const limits = { messages: 100, threadSize: 256 << 10, size: 16 << 20 }

interface Kept {
  project_id: string
  /** By their numbers, ascending. */
  rows: MessageRow[]
  /** They are all that the thread has. */
  whole: boolean
  /** The thread's counter: the number of the last row that came into it. */
  counter: number
  size: number
  /** A run holds the thread. */
  held: boolean
}

/**
 * The messages of threads that were made here, as commits left them, for a node that has the database to itself
 * (docs/decisions/0019): a run's history and the page that its client reads are asked for right after they were written.
 * Only commits change it, in their order; the thread's counter says whether one was missed. What changes in a way that is not
 * seen here is dropped, and never comes back.
 */
export class RecentMessages {
  /** In the order of the last writes. */
  readonly #threads = new Map<string, Kept>()
  readonly #alone: boolean
  #size = 0

  /** `alone`: no other process can write to the database. */
  constructor(alone: boolean) {
    this.#alone = alone
  }

  /** A page of a thread's messages, if all of it is here. */
  page(
    project: string,
    thread: string,
    { order, limit, after, before }: PageQuery,
  ): Page<MessageRecord> | null {
    const kept = this.#get(project, thread)
    if (!kept || after !== undefined || before !== undefined) return null
    const { rows, whole } = kept
    if (!whole && (order === 'asc' || rows.length <= limit)) return null
    const page = order === 'asc' ? rows.slice(0, limit) : rows.slice(-limit).toReversed()
    return { rows: page, hasMore: rows.length > limit }
  }

  /** As newestMessages (messages.ts), if all of it is here. */
  newest(
    project: string,
    thread: string,
    beforeSeq: number,
    limit: number,
  ): { messages: MessageRow[]; more: boolean } | null {
    const kept = this.#get(project, thread)
    if (!kept) return null
    const messages: MessageRow[] = []
    for (const row of kept.rows.toReversed()) {
      if (row.seq >= beforeSeq || row.status === 'in_progress') continue
      messages.push(row)
      if (messages.length === limit) return { messages, more: true }
    }
    return kept.whole ? { messages, more: false } : null
  }

  /** Whether the thread is here, and no run held it when it was written to last. */
  isFree({ project_id, id }: ThreadKey): boolean {
    return this.#get(project_id, id)?.held === false
  }

  /** Notes a write that was committed. */
  written(write: ThreadWrite, done: WriteOutcome): void {
    if (!this.#alone || done.outcome !== 'ok') return
    const { id } = write.thread
    if (write.kind === 'create_thread') {
      const { thread, messages, run } = write
      const rows = messages.map((message, i) => ({ ...message, seq: i + 1 }))
      const counter = messages.length + (run ? 1 : 0)
      return this.#put(
        id,
        { project_id: thread.project_id, rows, whole: true, counter, size: 0, held: run !== undefined },
        rows,
      )
    }
    const kept = this.#threads.get(id)
    if (!kept || write.kind === 'log') return
    if (write.kind === 'append') this.#add(id, kept, write.messages, 0, done.counter)
    else if (write.kind === 'create_run') {
      kept.held = true
      this.#add(id, kept, write.messages, 1, done.counter)
    } else if (write.kind === 'advance' && !write.withdraws) {
      kept.held = !write.release
      const { newMessages, changedMessages, removedMessages } = write.rows
      for (const message of changedMessages) this.#replace(kept, message)
      this.#remove(kept, removedMessages)
      this.#add(id, kept, newMessages, 0, done.counter)
    } else if (write.kind === 'delete_message') this.#remove(kept, [write.messageId])
    // What waits for a thread, or is given it, takes numbers that are not told here.
    else this.forget(id)
  }

  /** A thread changed, or may have changed, in another way than by a write that is told here. */
  forget(thread: string): void {
    const kept = this.#threads.get(thread)
    if (!kept) return
    this.#threads.delete(thread)
    this.#size -= kept.size
  }

  #get(project: string, thread: string): Kept | null {
    const kept = this.#threads.get(thread)
    return kept?.project_id === project ? kept : null
  }

  /** Messages that came behind `counter`, and `runs` that took a number after them. */
  #add(id: string, kept: Kept, messages: MessageRecord[], runs: number, counter: number | undefined): void {
    if (messages.length + runs === 0) return
    if (counter !== kept.counter) return this.forget(id)
    const rows = messages.map((message, i) => ({ ...message, seq: kept.counter + 1 + i }))
    kept.counter += messages.length + runs
    kept.rows.push(...rows)
    this.#put(id, kept, rows)
  }

  #replace(kept: Kept, message: MessageRecord): void {
    const at = kept.rows.findIndex(({ id }) => id === message.id)
    const old = kept.rows[at]
    if (!old) return
    const row = { ...message, seq: old.seq, metadata: old.metadata }
    kept.rows[at] = row
    this.#grow(kept, costOf(row) - costOf(old))
  }

  #remove(kept: Kept, ids: readonly string[]): void {
    if (ids.length === 0) return
    const gone = kept.rows.filter(({ id }) => ids.includes(id))
    kept.rows = kept.rows.filter(({ id }) => !ids.includes(id))
    for (const row of gone) this.#grow(kept, -costOf(row))
  }

  #grow(kept: Kept, by: number): void {
    kept.size += by
    this.#size += by
  }

  #put(id: string, kept: Kept, rows: MessageRow[]): void {
    for (const row of rows) this.#grow(kept, costOf(row))
    while (kept.size > limits.threadSize || kept.rows.length > limits.messages) {
      const [oldest] = kept.rows.splice(0, 1)
      if (!oldest) break
      this.#grow(kept, -costOf(oldest))
      kept.whole = false
    }
    this.#threads.delete(id)
    this.#threads.set(id, kept)
    for (const oldest of this.#threads.keys()) {
      if (this.#size <= limits.size) return
      this.forget(oldest)
    }
  }
}

/** About how many characters a message takes. */
function costOf({ content, metadata }: MessageRow): number {
  return 300 + sizeOf(content) + sizeOf(metadata)
}
