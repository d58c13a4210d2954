import type { StreamEvent } from '../contract/events.ts'
import type { EventBatch } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import type { Lease } from '../domain/run.ts'
import { logRow } from '../store/event-log.ts'
import type { LogTail } from '../store/run-writes.ts'
import type { Store } from '../store/store.ts'

/** Milliseconds after which published deltas are stored, if no commit of the turn has done it before. */
const logAfterMs = 250

/**
 * One turn's part of its run's log. The task numbers its events from its first commit on; deltas are published at
 * once and stored with the next commit, or together after a moment.
 */
export class TurnLog {
  readonly #store: Store
  readonly #run: RunRecord
  readonly #lease: Lease
  /** The version of the run with this task's first commit, and the version now. */
  #term: number | null = null
  #version = 0
  /** Number of the next event. */
  #next = 0
  /** Published and not known to be stored. */
  #unlogged: StreamEvent[] = []
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> | null = null
  #committing = false

  constructor(store: Store, run: RunRecord, lease: Lease) {
    this.#store = store
    this.#run = run
    this.#lease = lease
  }

  /** Publishes events that may go out before they are stored. The turn must have made a commit. */
  publish(events: readonly StreamEvent[]): void {
    if (events.length === 0 || this.#term === null) return
    const batch = { term: this.#term, first: this.#next, events, from: null, version: this.#version }
    this.#next += events.length
    this.#unlogged.push(...events)
    this.#timer ??= setTimeout(() => this.#flush(), logAfterMs)
    this.#store.signals.publish(this.#run.id, batch)
  }

  /** Where the next commit goes on, from now until `committed` or `failed`. Undefined: it begins. */
  async begin(): Promise<LogTail | undefined> {
    this.#committing = true
    // Two writers of the same events would do no harm, but cost twice.
    if (this.#writing) await this.#writing
    if (this.#term === null) return undefined
    return { term: this.#term, first: this.#next - this.#unlogged.length, unlogged: this.#unlogged }
  }

  /** A commit stored its events, and with them all that were published before. */
  committed(batch: EventBatch): void {
    this.#committing = false
    this.#term = batch.term
    this.#version = batch.version
    this.#next = batch.first + batch.events.length
    this.#unlogged = []
  }

  /** A commit changed nothing. */
  failed(): void {
    this.#committing = false
  }

  /** Nothing more will be stored: the turn has ended or is another's. */
  close(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#committing = true
  }

  #flush(): void {
    this.#timer = null
    if (this.#committing || this.#writing || this.#term === null || this.#unlogged.length === 0) return
    const events = this.#unlogged.slice()
    const log = logRow(this.#run.id, { term: this.#term, first: this.#next - events.length, events })
    if (log === null) return
    const thread = { id: this.#run.thread_id, project_id: this.#run.project_id }
    this.#writing = this.#store
      .write({ kind: 'log', thread, lease: this.#lease, log })
      .then(
        ({ outcome }) => {
          if (outcome === 'ok') this.#unlogged = this.#unlogged.slice(events.length)
        },
        // Whether it was stored or not, the next commit or the next moment brings these events again.
        () => {},
      )
      .finally(() => {
        this.#writing = null
        if (this.#unlogged.length > 0 && !this.#committing)
          this.#timer ??= setTimeout(() => this.#flush(), logAfterMs)
      })
  }
}
