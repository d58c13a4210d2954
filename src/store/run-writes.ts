import type { StreamEvent } from '../contract/events.ts'
import { isTerminal } from '../contract/events.ts'
import type { Metadata } from '../contract/schema.ts'
import { closeItems, runEvent } from '../domain/closing.ts'
import type { OpenItems, RunRecord, StepRecord } from '../domain/records.ts'
import type { EventBatch } from '../domain/event-log.ts'
import { toStep } from '../domain/to-wire.ts'
import { isWaiting, transition, type RunEvent } from '../domain/run.ts'
import { logRow, type LogRow } from './event-log.ts'
import { keepNothing, type Keeping, type KeptAnswer } from './idempotency.ts'
import { openMessages, openMessagesOfRuns } from './messages.ts'
import { getRun } from './runs.ts'
import { openStepsOfRuns, stepsOfRun } from './steps.ts'
import type { Store } from './store.ts'
import { noRows, type WrittenRows } from './thread-write.ts'

// The one place where a run's status is written: a transition, its rows, and the announcement after the commit.

export interface RunKey {
  project_id: string
  thread_id: string
  id: string
}

export type Applied =
  | { kind: 'applied'; run: RunRecord; batch: EventBatch }
  /** The event cannot be in the run's status, which `run` shows. */
  | { kind: 'refused' | 'dropped'; run: RunRecord }
  | { kind: 'gone' }

/** Where a writer that has written before goes on in the log. */
export interface LogTail {
  term: number
  /** Number of the first of `unlogged`, or of the next event. */
  first: number
  /** Published and not stored yet. */
  unlogged: readonly StreamEvent[]
}

export interface RowsAndEvents {
  rows: WrittenRows
  events: StreamEvent[]
  /** The answer of the request that the change is made for. */
  kept?: KeptAnswer | null
}

/**
 * Commits one transition of a run whose state is at hand, or several at once, each from where the one before leads. 'stale'
 * means that the run has changed since: read it again and decide again. `rowsFor` gives what is written with the last and the
 * events to publish, run event included. These go to the run's log in the same commit: behind `tail`, or in a term of
 * their own; behind those of the transitions before, which write no rows.
 */
export async function commitTransition(
  store: Store,
  run: RunRecord,
  events: readonly [...before: RunEvent[], last: RunEvent],
  rowsFor: (next: RunRecord) => RowsAndEvents,
  tail?: LogTail,
): Promise<Applied | { kind: 'stale' }> {
  let next = run
  const passed: StreamEvent[] = []
  for (const event of events) {
    if (next !== run) passed.push(runEvent(next))
    const state = transition(next.state, event)
    if (state === 'refuse') return { kind: 'refused', run }
    if (state === 'drop') return { kind: 'dropped', run }
    next = { ...run, state }
  }
  const { rows, events: own, kept } = rowsFor(next)
  const batch = batchOf(run, next, [...passed, ...own], tail)
  const waited = isWaiting(run.state)
  const written = await store.write({
    kind: 'advance',
    thread: { id: run.thread_id, project_id: run.project_id },
    run: next,
    version: run.state.version,
    stamp: newStamp(),
    release: isTerminal(next.state.status) && !waited,
    withdraws: isTerminal(next.state.status) && waited,
    rows,
    log: batchRow(run.id, batch, tail),
    charge: store.tokenLimits.chargeOf(run, next, store.node),
    kept,
  })
  if (written.outcome === 'gone') return { kind: 'gone' }
  if (written.outcome !== 'ok') return { kind: 'stale' }
  const { metadata } = written
  if (metadata === undefined) return { kind: 'applied', run: next, batch }
  const current = batch.events.map(withMetadata(metadata))
  return { kind: 'applied', run: { ...next, metadata }, batch: { ...batch, events: current } }
}

/**
 * The events of a change. A cancel that the owner of a run has to be told of is not told to others before the run
 * ends: as long as there is an owner, it alone writes to the log.
 */
export function batchOf(
  run: RunRecord,
  next: RunRecord,
  events: readonly StreamEvent[],
  tail?: LogTail,
): EventBatch {
  const { version } = next.state
  const { term, first, unlogged } = tail ?? { term: version, first: 0, unlogged: [] }
  const all = run.state.status === 'cancelling' ? [runEvent(run), ...events] : events
  return { term, first: first + unlogged.length, events: all, from: run.state.version, version }
}

function batchRow(runId: string, batch: EventBatch, tail?: LogTail): LogRow | null {
  if (!tail) return logRow(runId, batch)
  return logRow(runId, { term: tail.term, first: tail.first, events: [...tail.unlogged, ...batch.events] })
}

/** Events of a run whose metadata a client has changed since the run was read. */
function withMetadata(metadata: Metadata): (event: StreamEvent) => StreamEvent {
  return (event) =>
    'object' in event.data && event.data.object === 'thread.run'
      ? ({ event: event.event, data: { ...event.data, metadata } } as StreamEvent)
      : event
}

/** Names a change among those of its run. */
export function newStamp(): number {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER)
}

/** Tells this process of a committed change: streams first, then whoever waits for the run. */
export function announce(store: Pick<Store, 'signals'>, run: RunRecord, batch: EventBatch): void {
  store.signals.publish(run.id, batch)
  store.signals.changed(run)
}

/** A run after a change, with all that it has done. */
export interface ChangedRun {
  run: RunRecord
  steps: StepRecord[]
}

/**
 * Applies an event to a stored run, whoever owns it, and closes what it had open if that ends it. `eventFor` is
 * asked again whenever the run has changed in between; it may throw to give up. Announces what it committed. A run that was
 * just read can be given instead of its key: it is read again only if it has changed.
 */
export async function applyRunEvent(
  store: Store,
  key: RunKey | RunRecord,
  eventFor: (run: RunRecord, open: OpenItems) => { event: RunEvent; steps?: StepRecord[] },
  keeping: Keeping<ChangedRun> = keepNothing,
): Promise<Exclude<Applied, { kind: 'applied' }> | ({ kind: 'applied' } & ChangedRun)> {
  let known = 'state' in key ? key : null
  for (;;) {
    const given = known
    known = null
    const run = given ?? (await getRun(store.pool, key.project_id, key.thread_id, key.id))
    if (!run) return { kind: 'gone' }
    const { all, open } = isTerminal(run.state.status) ? nothing : await readItems(store, key)
    const { event, steps: answered } = eventFor(run, open)
    let steps = all
    const applied = await commitTransition(store, run, [event], (next) => {
      const written = rowsOf(next, open, store.clock.now(), answered)
      const changed = new Map(written.rows.changedSteps.map((step) => [step.id, step]))
      steps = all.map((step) => changed.get(step.id) ?? step)
      return { ...written, kept: keeping({ run: next, steps }) }
    })
    if (applied.kind === 'stale' || (applied.kind !== 'applied' && given)) continue
    if (applied.kind !== 'applied') return applied
    announce(store, applied.run, applied.batch)
    return { kind: 'applied', run: applied.run, steps }
  }
}

/**
 * Applies an event, from outside its turn, to a run of which all is known that it had open. False if the run takes no such event or
 * has changed since it was read. Announces what it committed.
 */
export async function applyToKnown(
  store: Store,
  run: RunRecord,
  open: OpenItems,
  event: RunEvent,
): Promise<boolean> {
  const applied = await commitTransition(store, run, [event], (next) => rowsOf(next, open, store.clock.now()))
  if (applied.kind !== 'applied') return false
  announce(store, applied.run, applied.batch)
  return true
}

interface Items {
  all: StepRecord[]
  open: OpenItems
}

const nothing: Items = { all: [], open: { steps: [], messages: [] } }

/** What the run has begun and not ended. */
export async function readOpenItems(store: Store, key: RunKey): Promise<OpenItems> {
  return (await readItems(store, key)).open
}

/** What each of these runs has begun and not ended: two reads, however many they are. */
export async function openItemsOfRuns(
  store: Store,
  runs: readonly RunRecord[],
): Promise<(run: RunRecord) => OpenItems> {
  const [steps, messages] = await Promise.all([
    openStepsOfRuns(store.pool, runs),
    openMessagesOfRuns(store.pool, runs),
  ])
  const stepsOf = Map.groupBy(steps, (step) => step.run_id)
  const messagesOf = Map.groupBy(messages, (message) => message.run_id)
  return ({ id }) => ({ steps: stepsOf.get(id) ?? [], messages: messagesOf.get(id) ?? [] })
}

async function readItems(store: Store, key: RunKey): Promise<Items> {
  const [all, messages] = await Promise.all([
    stepsOfRun(store.pool, key.project_id, key.thread_id, key.id),
    openMessages(store.pool, key.project_id, key.thread_id, key.id),
  ])
  return { all, open: { steps: all.filter((step) => step.status === 'in_progress'), messages } }
}

/** Rows and events of a change made from outside the turn: items close when the run ends or the turn is dropped. */
export function rowsOf(
  next: RunRecord,
  open: OpenItems,
  now: number,
  changedSteps?: StepRecord[],
): RowsAndEvents {
  if (changedSteps) {
    const completed = changedSteps.map(
      (step) => ({ event: 'thread.run.step.completed', data: toStep(step) }) as const,
    )
    return { rows: { ...noRows, changedSteps }, events: [...completed, runEvent(next)] }
  }
  const { status } = next.state
  if (status === 'cancelling') return { rows: noRows, events: [] }
  if (status === 'in_progress' || status === 'requires_action') {
    return { rows: noRows, events: [runEvent(next)] }
  }
  const closed = closeItems(next, open, now)
  return {
    rows: {
      ...noRows,
      changedSteps: closed.steps,
      // The text of an open message is with the task that writes it. It is not here, so the message cannot stay.
      removedMessages: closed.messages.map((message) => message.id),
    },
    events: [...closed.events, runEvent(next)],
  }
}
