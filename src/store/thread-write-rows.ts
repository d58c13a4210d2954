import { mostWaiting } from '../contract/thread-policy.ts'
import type { MessageRecord, RunRecord, StepRecord } from '../domain/records.ts'
import { creationBatch } from '../domain/event-log.ts'
import { isWaiting } from '../domain/run.ts'
import { logRow, type LogRow } from './event-log.ts'
import type { Advance, ThreadWrite, WrittenRows } from './thread-write.ts'
import type { Charge } from './usage-days.ts'

// Writes as the rows that their statement takes (thread-write-sql.ts).

/**
 * The parameters of the statement, in its order, each made when it is asked for. `leave`: threads may be left although others
 * wait for them.
 */
export function writeParameters(batch: ThreadWrite[], leave: boolean): (() => string)[] {
  let logs: ReturnType<typeof logRows> | null = null
  const logged = () => (logs ??= logRows(batch))
  return [
    () => JSON.stringify(batch.map((write, n) => opRow(write, n, leave))),
    () => JSON.stringify(batch.flatMap(messageRows)),
    () => JSON.stringify(batch.flatMap(stepRows)),
    () => JSON.stringify(batch.flatMap(removedRows)),
    () => JSON.stringify(logged().map(({ row }) => row)),
    () => JSON.stringify(batch.flatMap(({ kept }, n) => (kept ? { n, ...kept } : []))),
    () => JSON.stringify(batch.flatMap((write, n) => (chargeOf(write) ? { n, ...chargeOf(write) } : []))),
    () => JSON.stringify(batch.flatMap(boundRows)),
    // JSON in JSON would be escaped and read twice. A line each: JSON has no line breaks of its own.
    () =>
      logged()
        .map(({ events }) => events)
        .join('\n'),
  ]
}

/** Whether some of these writes have an answer to be kept. */
export function keeps(batch: readonly ThreadWrite[]): boolean {
  return batch.some(({ kept }) => kept)
}

/** Whether some of these writes have tokens to be counted. */
export function charges(batch: readonly ThreadWrite[]): boolean {
  return batch.some(chargeOf)
}

function chargeOf(write: ThreadWrite): Charge | null {
  return turnOf(write)?.charge ?? null
}

/** The change of a run in a write, if it is one or begins with one. */
function turnOf(write: ThreadWrite): Advance | null {
  if (write.kind === 'advance') return write
  return (write.kind === 'create_run' && write.turn) || null
}

/** What is written with a run's change. */
export function rowsOf(write: ThreadWrite): WrittenRows | null {
  return write.kind === 'delete_thread' ? write.rows : (turnOf(write)?.rows ?? null)
}

/** Whether some of these writes may find their threads too long. */
export function bounds(batch: readonly ThreadWrite[]): boolean {
  return batch.some((write) => 'mostMessages' in write && write.mostMessages !== undefined)
}

function boundRows(write: ThreadWrite, n: number) {
  if (!('mostMessages' in write) || write.mostMessages === undefined) return []
  return [{ n, fresh: write.messages.length, most: write.mostMessages }]
}

/** The messages that a write inserts, those of a new run's first turn aside: they take the thread's next numbers, in this order. */
function inserted(write: ThreadWrite): MessageRecord[] {
  if ('messages' in write) return write.messages
  return 'rows' in write ? write.rows.newMessages : []
}

/** The messages of a new run's first turn: their numbers come behind the run's. */
function saidAtOnce(write: ThreadWrite): MessageRecord[] {
  return (write.kind === 'create_run' && write.turn?.rows.newMessages) || []
}

/** Without what is null: Postgres reads each key that is sent. */
function opRow(write: ThreadWrite, n: number, leave: boolean) {
  const count = inserted(write).length
  const createsRun =
    write.kind === 'create_run' || (write.kind === 'create_thread' && write.run !== undefined)
  const waits = write.kind === 'enqueue'
  const turn = turnOf(write)
  const run = turn?.run ?? ('run' in write ? write.run : undefined)
  return {
    n,
    leave,
    kind: write.kind,
    project_id: write.thread.project_id,
    thread_id: write.thread.id,
    // What waits takes one number, for its place in the queue.
    seqs: waits ? 1 : createsRun ? count + 1 + saidAtOnce(write).length : count,
    run_ord: waits ? 1 : count + 1,
    ...(waits ? { front: write.front, most: mostWaiting } : {}),
    release: write.kind === 'delete_thread' || turn?.release === true,
    thread: write.kind === 'create_thread' ? write.thread : undefined,
    message_id: write.kind === 'delete_message' ? write.messageId : undefined,
    now: write.kind === 'delete_thread' ? write.now : undefined,
    from_version: 'version' in write ? write.version : undefined,
    stamp: turn?.stamp,
    ...(run !== undefined ? runColumns(run) : {}),
    ...(run !== undefined && !('version' in write) ? fixedColumns(run) : {}),
    ...(write.kind === 'log'
      ? { run_id: write.log.run_id, owner_node: write.lease.node, lease_epoch: write.lease.epoch }
      : {}),
  }
}

/** What of a run never changes: sent with the write that makes it only. */
function fixedColumns({ assistant_id, created_at, settings }: RunRecord) {
  return { assistant_id, created_at, settings }
}

function runColumns({ id, state, metadata }: RunRecord) {
  return {
    run_id: id,
    metadata,
    status: isWaiting(state) ? 'waiting' : state.status,
    version: state.version,
    owner_node: 'owner' in state ? state.owner : undefined,
    lease_epoch: state.epoch,
    deadline: state.deadline,
    started_at: state.started_at ?? undefined,
    ended_at: 'ended_at' in state ? state.ended_at : undefined,
    calls: state.status === 'requires_action' ? state.calls : undefined,
    error: state.status === 'failed' ? state.error : undefined,
    reason: state.status === 'incomplete' ? state.reason : undefined,
    ...state.usage,
    turns: state.turns,
    attempts: state.attempts,
  }
}

function messageRows(write: ThreadWrite, n: number) {
  const before = inserted(write)
  const fresh = before.map((message, i) => ({ n, ord: i + 1, ...message }))
  const said = saidAtOnce(write).map((message, i) => ({ n, ord: before.length + 2 + i, ...message }))
  const changed = rowsOf(write)?.changedMessages ?? []
  return [...fresh, ...said, ...changed.map((message) => ({ n, ord: null, ...message }))]
}

function removedRows(write: ThreadWrite, n: number) {
  const ids = rowsOf(write)?.removedMessages ?? []
  return ids.map((id) => ({ n, thread_id: write.thread.id, id }))
}

function stepRows(write: ThreadWrite, n: number) {
  const rows = rowsOf(write)
  if (!rows) return []
  const row = (is_new: boolean) => (step: StepRecord) => ({
    n,
    is_new,
    ...step,
    ...step.usage,
    usage: undefined,
  })
  return [...rows.newSteps.map(row(true)), ...rows.changedSteps.map(row(false))]
}

/** A new run's log begins with the commit that creates it. */
function logsOf(write: ThreadWrite): (LogRow | null | undefined)[] {
  if ('log' in write) return [write.log]
  if (write.kind !== 'create_run' && write.kind !== 'create_thread' && write.kind !== 'enqueue') return []
  const thread = write.kind === 'create_thread' ? write.thread : null
  const begin = write.run && logRow(write.run.id, creationBatch(write.run, thread))
  return [begin, turnOf(write)?.log]
}

/** The rows of the log, their texts beside them. */
function logRows(batch: ThreadWrite[]): { row: object; events: string }[] {
  return batch.flatMap((write, n) =>
    logsOf(write).flatMap((log) => {
      if (!log) return []
      const { events, ...row } = log
      return { row: { n, thread_id: write.thread.id, project_id: write.thread.project_id, ...row }, events }
    }),
  )
}
