import type pg from 'pg'
import type { Metadata } from '../contract/schema.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { MessageRecord, RunRecord, StepRecord, ThreadRecord } from '../domain/records.ts'
import type { Lease } from '../domain/run.ts'
import type { LogRow } from './event-log.ts'
import type { KeptAnswer } from './idempotency.ts'
import { queryOnce, Unsendable } from './pool.ts'
import { writeParameters } from './thread-write-rows.ts'
import { statementFor } from './thread-write-statement.ts'
import type { Charge } from './usage-days.ts'

// What may be written to a thread, and its commit: many writes in one statement (thread-write-sql.ts).

/** One write to one thread, with the answer to be kept if its request has an Idempotency-Key. */
export type ThreadWrite = ThreadChange & { kept?: KeptAnswer | null }

/** Rows in it belong to the thread. */
type ThreadChange =
  /** A new thread, its first messages, and perhaps the run that holds it. */
  | { kind: 'create_thread'; thread: ThreadRecord; messages: MessageRecord[]; run?: RunRecord }
  /** Needs a thread without an active run. */
  | ({ kind: 'append'; thread: ThreadKey; messages: MessageRecord[] } & Bounded)
  | ({
      kind: 'create_run'
      thread: ThreadKey
      messages: MessageRecord[]
      run: RunRecord
      /** The run's first turn may begin beside the commit (early-turns.ts). */
      early?: boolean
      /** What the run has done by the time of the commit, which writes it as this leaves it. */
      turn?: Advance
    } & Bounded)
  | { kind: 'delete_message'; thread: ThreadKey; messageId: string }
  /** Needs a thread that a run holds, and room among what waits for it. A run in it must be a waiting one. */
  | ({
      kind: 'enqueue'
      thread: ThreadKey
      messages: MessageRecord[]
      run?: RunRecord
      /** It goes before all that were not to replace a run. */
      front: boolean
    } & Bounded)
  /** Gives a thread that nobody holds to what waits for it. */
  | { kind: 'promote'; thread: ThreadKey }
  | Advance
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

/** A change of a run. Needs it to be at `version` still. */
export interface Advance {
  kind: 'advance'
  thread: ThreadKey
  run: RunRecord
  version: number
  /** Names this very change, so that it can be told from another that was made from the same version. */
  stamp: number
  release: boolean
  /** The run ends while it waits for the thread. */
  withdraws?: boolean
  rows: WrittenRows
  log?: LogRow | null
  /** Tokens that it adds to those of a day, if anyone counts them. */
  charge?: Charge | null
}

interface Bounded {
  /** With its messages the thread must not have more than these, what waits for it counted. */
  mostMessages?: number
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

/** These rows and no others. */
export function written(rows: Partial<WrittenRows>): WrittenRows {
  return { ...noRows, ...rows }
}

export type WriteOutcome =
  /** With the run's metadata if these are no longer those that were written with its change: clients may change them. */
  | {
      outcome: 'ok'
      metadata?: Metadata
      /** The thread's counter before it, for what the store keeps of threads. */
      counter?: number
    }
  /** No such thread in this project (any more). */
  | { outcome: 'gone' }
  /** The thread is there, the message to delete is not. */
  | { outcome: 'missing' }
  /** The thread has this active run, and perhaps a policy of its own. */
  | { outcome: 'locked'; runId: string; policy: ThreadPolicy | null }
  /** Nothing is to be waited for: the thread is free. */
  | { outcome: 'free' }
  /** As much as may waits for the thread. */
  | { outcome: 'full' }
  /** The thread would have more messages than it may. */
  | { outcome: 'long' }
  /** The run is no longer at the version that the write was computed from. */
  | { outcome: 'stale' }

/** What a batch may answer besides, of a write that was not done. */
export type BatchOutcome =
  | WriteOutcome
  /** It leaves a thread for which others wait. */
  | { outcome: 'awaited' }
  /** Someone else holds the row of its thread or run. */
  | { outcome: 'busy' }

/**
 * Commits a batch of writes to different threads in one transaction. Answers one outcome per write, in order;
 * a write whose guard fails changes nothing and does not disturb the others. An error means that nothing of
 * the batch was written, unless the connection broke in between: then the outcome is unknown, and
 * `committedWrites` tells it. Throws Unsendable for a batch that cannot be put into words. `waits`: rows that others hold are
 * waited for, as long as the pool's lock time-out lets.
 */
export async function commitThreadWrites(
  pool: pg.Pool,
  batch: ThreadWrite[],
  waits = false,
): Promise<BatchOutcome[]> {
  const { name, text, takes } = statementFor(batch, waits)
  return outcomesOf(await queryOnce<OutcomeRow>(pool, name, text, inWords(batch, takes, false)))
}

/** The same within a transaction, which will also give threads that are left to those that wait for them. */
export async function writeThreads(
  client: pg.ClientBase,
  batch: ThreadWrite[],
  waits: boolean,
): Promise<BatchOutcome[]> {
  const { name, text, takes } = statementFor(batch, waits)
  const { rows } = await client.query<OutcomeRow>({ name, text, values: inWords(batch, takes, true) })
  return outcomesOf(rows)
}

function inWords(batch: ThreadWrite[], takes: readonly number[], leaves: boolean): string[] {
  try {
    const parameters = writeParameters(batch, leaves)
    return takes.map((place) => parameters[place]?.() ?? '')
  } catch (cause) {
    throw new Unsendable('a write cannot be sent', { cause })
  }
}

interface OutcomeRow {
  n: number
  outcome: BatchOutcome['outcome']
  run_id: string | null
  policy: ThreadPolicy | null
  metadata: Metadata | null
  base: number | null
}

/** In the order of the writes, which is not that of the rows. */
function outcomesOf(rows: OutcomeRow[]): BatchOutcome[] {
  const outcomes: BatchOutcome[] = []
  for (const { n, outcome, run_id, policy, metadata, base } of rows)
    outcomes[n] =
      outcome === 'locked'
        ? { outcome, runId: run_id ?? '', policy }
        : outcome === 'ok'
          ? {
              outcome,
              ...(metadata === null ? {} : { metadata }),
              ...(base === null ? {} : { counter: base }),
            }
          : { outcome }
  return outcomes
}
