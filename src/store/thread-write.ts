import type pg from 'pg'
import type { Metadata } from '../contract/schema.ts'
import type { MessageRecord, RunRecord, StepRecord, ThreadRecord } from '../domain/records.ts'
import type { Lease } from '../domain/run.ts'
import type { LogRow } from './event-log.ts'
import { queryOnce } from './pool.ts'
import { writeParameters } from './thread-write-rows.ts'
import { threadWritesText } from './thread-write-sql.ts'

// What may be written to a thread, and its commit: many writes in one statement (thread-write-sql.ts).

/** One write to one thread. Rows in it belong to that thread. */
export type ThreadWrite =
  /** A new thread, its first messages, and perhaps the run that holds it. */
  | { kind: 'create_thread'; thread: ThreadRecord; messages: MessageRecord[]; run?: RunRecord }
  /** Needs a thread without an active run. */
  | { kind: 'append'; thread: ThreadKey; messages: MessageRecord[] }
  | { kind: 'create_run'; thread: ThreadKey; messages: MessageRecord[]; run: RunRecord }
  | { kind: 'delete_message'; thread: ThreadKey; messageId: string }
  /** Needs the run to be at `version` still. */
  | {
      kind: 'advance'
      thread: ThreadKey
      run: RunRecord
      version: number
      /** Names this very change, so that it can be told from another that was made from the same version. */
      stamp: number
      release: boolean
      rows: WrittenRows
      log?: LogRow | null
    }
  /** Events that belong to no change. Needs the run to be under `lease` still. */
  | { kind: 'log'; thread: ThreadKey; lease: Lease; log: LogRow }
  /** Needs the active run, if any, to be `run` at `version` still. */
  | {
      kind: 'delete_thread'
      thread: ThreadKey
      run?: RunRecord
      version?: number
      rows: WrittenRows
      now: number
      log?: LogRow | null
    }

export interface ThreadKey {
  project_id: string
  id: string
}

/** Messages and steps written with a run's change: `new` are inserted, `changed` replaced, `removed` deleted. */
export interface WrittenRows {
  newMessages: MessageRecord[]
  changedMessages: MessageRecord[]
  removedMessages: string[]
  newSteps: StepRecord[]
  changedSteps: StepRecord[]
}

export const noRows: WrittenRows = {
  newMessages: [],
  changedMessages: [],
  removedMessages: [],
  newSteps: [],
  changedSteps: [],
}

export type WriteOutcome =
  /** With the run's metadata if these are no longer those that were written with its change: clients may change them. */
  | { outcome: 'ok'; metadata?: Metadata }
  /** No such thread in this project (any more). */
  | { outcome: 'gone' }
  /** The thread is there, the message to delete is not. */
  | { outcome: 'missing' }
  /** The thread has this active run. */
  | { outcome: 'locked'; runId: string }
  /** The run is no longer at the version that the write was computed from. */
  | { outcome: 'stale' }

/**
 * Commits a batch of writes to different threads in one transaction. Answers one outcome per write, in order;
 * a write whose guard fails changes nothing and does not disturb the others. An error means that nothing of
 * the batch was written, unless the connection broke in between: then the outcome is unknown, and
 * `committedWrites` tells it.
 */
export async function commitThreadWrites(pool: pg.Pool, batch: ThreadWrite[]): Promise<WriteOutcome[]> {
  const rows = await queryOnce<OutcomeRow>(
    pool,
    'commit_thread_writes',
    threadWritesText,
    writeParameters(batch),
  )
  return rows.map(({ outcome, run_id, metadata }) => {
    if (outcome === 'locked') return { outcome, runId: run_id ?? '' }
    return outcome === 'ok' && metadata !== null ? { outcome, metadata } : { outcome }
  })
}

interface OutcomeRow {
  n: number
  outcome: WriteOutcome['outcome']
  run_id: string | null
  metadata: Metadata | null
}
