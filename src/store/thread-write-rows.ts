import { mostWaiting } from '../contract/thread-policy.ts'
import type { MessageRecord, RunRecord, StepRecord } from '../domain/records.ts'
import { creationBatch, encodeEvents } from '../domain/event-log.ts'
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
    () => JSON.stringify(inOrder(batch).map(([n, write]) => opRow(write, n, leave))),
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

// The rows that most batches have are arrays, with their values in the order in which the statement names them: Postgres reads them in
// half the time that objects take.

/** As $1 of the statement. */
function opRow(write: ThreadWrite, n: number, leave: boolean): unknown[] {
  const { kind, thread } = write
  const release = kind === 'delete_thread' || turnOf(write)?.release === true
  const run = kind === 'log' ? write.log.run_id : 'run' in write ? write.run?.id : null
  const row = [n, kind, thread.project_id, thread.id, run, numbersOf(write), release, leave]
  if (kind === 'create_thread' || kind === 'append' || kind === 'create_run') return row
  const { node, epoch } = kind === 'log' ? write.lease : { node: null, epoch: null }
  return [
    ...row,
    'version' in write ? write.version : null,
    node,
    epoch,
    kind === 'delete_message' ? write.messageId : null,
    kind === 'delete_thread' ? write.now : null,
    kind === 'enqueue' ? write.front : null,
    mostWaiting,
  ]
}

/** In one order for all servers: that of code units, which no collation changes. */
function inOrder(batch: readonly ThreadWrite[]): [number, ThreadWrite][] {
  return [...batch.entries()].sort(([, a], [, b]) => (a.thread.id < b.thread.id ? -1 : 1))
}

/** As $10 of the statement. */
function newThreads(write: ThreadWrite): unknown[][] {
  if (write.kind !== 'create_thread') return []
  const { id, project_id, created_at, tool_resources, metadata, policy } = write.thread
  const held = write.run?.id
  return [[id, project_id, created_at, tool_resources, metadata, numbersOf(write), held, policy]]
}

/** As $12 of the statement; as its first turn leaves it, if that is done. */
function newRuns(write: ThreadWrite, n: number): unknown[][] {
  const made = newRunOf(write)
  if (!made) return []
  const turn = turnOf(write)
  const run = turn?.run ?? made
  const ord = write.kind === 'enqueue' ? 1 : inserted(write).length + 1
  const { thread_id, project_id, assistant_id, created_at, settings } = run
  return [[n, ord, thread_id, project_id, assistant_id, created_at, settings, turn?.stamp, ...columnsOf(run)]]
}

/** As $11 of the statement. */
function changedRuns(write: ThreadWrite, n: number): unknown[][] {
  if ((write.kind !== 'advance' && write.kind !== 'delete_thread') || !write.run) return []
  const stamp = write.kind === 'advance' ? write.stamp : null
  return [[n, write.thread.id, stamp, ...columnsOf(write.run)]]
}

/** What of a run may change, behind its id. */
function columnsOf({ id, state, metadata }: RunRecord): unknown[] {
  const { usage } = state
  return [
    id,
    metadata,
    isWaiting(state) ? 'waiting' : state.status,
    state.version,
    'owner' in state ? state.owner : null,
    state.epoch,
    state.deadline,
    state.started_at,
    'ended_at' in state ? state.ended_at : null,
    state.status === 'requires_action' ? state.calls : null,
    state.status === 'failed' ? state.error : null,
    state.status === 'incomplete' ? state.reason : null,
    usage.prompt_tokens,
    usage.completion_tokens,
    usage.total_tokens,
    state.turns,
    state.attempts,
  ]
}

/** As $2 of the statement. */
function newMessages(write: ThreadWrite, n: number): unknown[][] {
  const before = inserted(write)
  const fresh = before.map((message, i) => messageRow(message, n, i + 1))
  const said = saidAtOnce(write)
  if (said.length === 0) return fresh
  return [...fresh, ...said.map((message, i) => messageRow(message, n, before.length + 2 + i))]
}

function messageRow(message: MessageRecord, n: number, ord: number): unknown[] {
  const { thread_id, id, project_id, role, status, content, assistant_id, run_id } = message
  const { attachments, metadata, created_at, ended_at, incomplete_reason } = message
  const items = [content, assistant_id, run_id, attachments, metadata]
  return [n, ord, thread_id, id, project_id, role, status, ...items, created_at, ended_at, incomplete_reason]
}

/** As $13 of the statement. */
function changedMessages(write: ThreadWrite, n: number): unknown[][] {
  const changed = rowsOf(write)?.changedMessages ?? []
  return changed.map(({ thread_id, id, status, content, ended_at, incomplete_reason }) => [
    n,
    thread_id,
    id,
    status,
    content,
    ended_at,
    incomplete_reason,
  ])
}

function removedRows(write: ThreadWrite, n: number) {
  const ids = rowsOf(write)?.removedMessages ?? []
  return ids.map((id) => ({ n, thread_id: write.thread.id, id }))
}

/** As $3 of the statement. */
function newSteps(write: ThreadWrite, n: number): unknown[][] {
  const steps = rowsOf(write)?.newSteps ?? []
  return steps.map((step) => {
    const { thread_id, id, project_id, run_id, assistant_id, seq, turn, created_at, expires_at } = step
    const fixed = [thread_id, id, project_id, run_id, assistant_id, seq, turn, created_at, expires_at]
    return [n, ...fixed, ...stepColumns(step)]
  })
}

/** As $14 of the statement. */
function changedSteps(write: ThreadWrite, n: number): unknown[][] {
  const steps = rowsOf(write)?.changedSteps ?? []
  return steps.map((step) => [n, step.thread_id, step.id, step.expires_at, ...stepColumns(step)])
}

function stepColumns({ status, details, usage, error, ended_at }: StepRecord): unknown[] {
  const { prompt_tokens, completion_tokens, total_tokens } = usage ?? {}
  return [status, details, prompt_tokens, completion_tokens, total_tokens, error, ended_at]
}

/** A new run's log begins with the commit that creates it. */
function logsOf(write: ThreadWrite): (LogRow | null | undefined)[] {
  if ('log' in write) return [write.log]
  if (write.kind !== 'create_run' && write.kind !== 'create_thread' && write.kind !== 'enqueue') return []
  const turn = turnOf(write)
  // Over before anybody could know of it: whoever asks is told of it from its rows (docs/decisions/0031).
  if (turn?.log?.ends) return []
  const thread = write.kind === 'create_thread' ? write.thread : null
  const begin = write.run && logRow(write.run.id, creationBatch(write.run, thread))
  return [begin, turn?.log]
}

/** The rows of the log, as $5 of the statement, and their texts beside them. */
function logRows(batch: ThreadWrite[]): { row: unknown[]; events: string }[] {
  return batch.flatMap((write, n) =>
    logsOf(write).flatMap((log) => {
      if (!log) return []
      const { events, run_id, term, first_no, last_no, ends } = log
      const { id, project_id } = write.thread
      const row = [n, id, run_id, term, first_no, last_no, project_id, ends]
      return { row, events: encodeEvents(events) }
    }),
  )
}
