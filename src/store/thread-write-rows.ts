import { mostWaiting } from '../contract/thread-policy.ts'
import type { MessageRecord, RunRecord } from '../domain/records.ts'
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
    () => JSON.stringify(batch.map((write, n) => opRow(write, n, leave)).sort(byThread)),
    () => JSON.stringify(batch.flatMap(newMessages)),
    () => JSON.stringify(batch.flatMap(newSteps)),
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
    () => JSON.stringify(batch.flatMap(newThreads)),
    () => JSON.stringify(batch.flatMap(changedRuns)),
    () => JSON.stringify(batch.flatMap(newRuns)),
    () => JSON.stringify(batch.flatMap(changedMessages)),
    () => JSON.stringify(batch.flatMap(changedSteps)),
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

/** How many of its thread's numbers a write takes. */
function numbersOf(write: ThreadWrite): number {
  // What waits takes one, for its place in the queue.
  if (write.kind === 'enqueue') return 1
  const count = inserted(write).length
  return newRunOf(write) ? count + 1 + saidAtOnce(write).length : count
}

function newRunOf(write: ThreadWrite): RunRecord | undefined {
  const creates = write.kind === 'create_run' || write.kind === 'create_thread' || write.kind === 'enqueue'
  return creates ? write.run : undefined
}

/** Without what is null: Postgres reads each key that is sent. */
function opRow(write: ThreadWrite, n: number, leave: boolean) {
  const { kind, thread } = write
  const release = kind === 'delete_thread' || turnOf(write)?.release === true
  return {
    n,
    kind,
    project_id: thread.project_id,
    thread_id: thread.id,
    run_id: kind === 'log' ? write.log.run_id : 'run' in write ? write.run?.id : undefined,
    seqs: numbersOf(write),
    release: release || undefined,
    leave: leave || undefined,
    from_version: 'version' in write ? write.version : undefined,
    ...(kind === 'log' ? { owner_node: write.lease.node, lease_epoch: write.lease.epoch } : {}),
    ...(kind === 'enqueue' ? { front: write.front, most: mostWaiting } : {}),
    ...(kind === 'delete_message' ? { message_id: write.messageId } : {}),
    ...(kind === 'delete_thread' ? { now: write.now } : {}),
  }
}

/** One order in which all servers lock threads: that of code units, which no collation changes. */
function byThread(a: { thread_id: string }, b: { thread_id: string }): number {
  return a.thread_id < b.thread_id ? -1 : 1
}

function newThreads(write: ThreadWrite) {
  if (write.kind !== 'create_thread') return []
  return [{ ...write.thread, next_seq: numbersOf(write), active_run_id: write.run?.id }]
}

/** As its first turn leaves it, if that is done. */
function newRuns(write: ThreadWrite, n: number) {
  const made = newRunOf(write)
  if (!made) return []
  const turn = turnOf(write)
  const run = turn?.run ?? made
  const { thread_id, project_id, assistant_id, created_at, settings } = run
  const ord = write.kind === 'enqueue' ? 1 : inserted(write).length + 1
  const fixed = { thread_id, project_id, assistant_id, created_at, settings }
  return [{ n, ord, ...fixed, ...changingColumns(run), stamp: turn?.stamp }]
}

function changedRuns(write: ThreadWrite, n: number) {
  if ((write.kind !== 'advance' && write.kind !== 'delete_thread') || !write.run) return []
  const stamp = write.kind === 'advance' ? write.stamp : undefined
  return [{ n, thread_id: write.thread.id, ...changingColumns(write.run), stamp }]
}

function changingColumns({ id, state, metadata }: RunRecord) {
  return {
    id,
    metadata,
    status: isWaiting(state) ? 'waiting' : state.status,
    version: state.version,
    owner_node: 'owner' in state ? (state.owner ?? undefined) : undefined,
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

function newMessages(write: ThreadWrite, n: number) {
  const before = inserted(write)
  const fresh = before.map((message, i) => ({ n, ord: i + 1, ...message }))
  const said = saidAtOnce(write)
  if (said.length === 0) return fresh
  return [...fresh, ...said.map((message, i) => ({ n, ord: before.length + 2 + i, ...message }))]
}

function changedMessages(write: ThreadWrite, n: number) {
  const changed = rowsOf(write)?.changedMessages ?? []
  return changed.map(({ thread_id, id, status, content, ended_at, incomplete_reason }) => ({
    n,
    thread_id,
    id,
    status,
    content,
    ended_at,
    incomplete_reason,
  }))
}

function removedRows(write: ThreadWrite, n: number) {
  const ids = rowsOf(write)?.removedMessages ?? []
  return ids.map((id) => ({ n, thread_id: write.thread.id, id }))
}

function newSteps(write: ThreadWrite, n: number) {
  const steps = rowsOf(write)?.newSteps ?? []
  return steps.map((step) => ({ n, ...step, ...step.usage, usage: undefined }))
}

function changedSteps(write: ThreadWrite, n: number) {
  const steps = rowsOf(write)?.changedSteps ?? []
  return steps.map(({ thread_id, id, status, details, usage, error, ended_at, expires_at }) => ({
    n,
    thread_id,
    id,
    status,
    details,
    ...usage,
    error,
    ended_at,
    expires_at,
  }))
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
