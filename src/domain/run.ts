import type { ErrorCode, RunStatus, RunToolCall } from '../contract/objects.ts'
import { addUsage, type Usage } from './usage.ts'

// The life of a run, as a pure table: no clock, no I/O, no randomness. SPEC.md draws it:
//
//   queued -> in_progress -> completed | failed | incomplete
//     ^           |     \--> requires_action --(outputs)--> queued
//     |           \--> cancelling --> cancelled
//     \-- (lease lost or released) --/
//   any of the four active ones -> expired | cancelled
//
// A queued run may wait for another that holds its thread. It has no owner and no deadline that counts, until it is
// promoted.
//
// A cell answers an event with the next state, with 'refuse' (a client asked for what cannot be: 400) or with
// 'drop' (a worker or a timer is late: ignored and logged). Nothing else in the code decides a status.

/** Who works on a run. The epoch grows with each owner, so that a former owner is told from the present one. */
export interface Lease {
  node: string
  epoch: number
}

interface Common {
  /** Grows by one with every change; every write names the version it was computed from. */
  version: number
  /** Of the last lease given; 0 before the first. */
  epoch: number
  /** Unix seconds at which the run expires unless it has ended. Restarted by submitted outputs. */
  deadline: number
  started_at: number | null
  /** Of all turns so far. */
  usage: Usage
  /** Model turns that ended in a commit. */
  turns: number
  /** How often the present turn lost its lease. */
  attempts: number
}

interface Ended {
  ended_at: number
}

export type RunState = Common &
  (
    | {
        status: 'queued'
        owner: string | null
        /** Another run holds the thread. Nobody owns it then, and its deadline does not count. */
        waits: boolean
      }
    | { status: 'in_progress'; owner: string }
    | { status: 'requires_action'; calls: readonly [RunToolCall, ...RunToolCall[]] }
    | { status: 'cancelling'; owner: string }
    | ({ status: 'completed' } & Ended)
    | ({ status: 'failed'; error: RunFailure } & Ended)
    | ({ status: 'cancelled' } & Ended)
    | ({ status: 'expired' } & Ended)
    | ({ status: 'incomplete'; reason: 'max_prompt_tokens' | 'max_completion_tokens' } & Ended)
  )

export interface RunFailure {
  code: ErrorCode
  /** Shown to users: no secret, no stack. */
  message: string
}

interface ByWorker {
  lease: Lease
  now: number
}

export type RunEvent =
  | ({ type: 'start' } & ByWorker)
  | ({ type: 'progress' } & ByWorker)
  | ({ type: 'ask_tools'; calls: readonly [RunToolCall, ...RunToolCall[]]; usage: Usage } & ByWorker)
  | ({ type: 'finish'; usage: Usage } & ByWorker)
  | ({ type: 'truncate'; reason: 'max_prompt_tokens' | 'max_completion_tokens'; usage: Usage } & ByWorker)
  | ({ type: 'fail'; error: RunFailure; usage: Usage } & ByWorker)
  | ({ type: 'stop'; usage: Usage } & ByWorker)
  | ({ type: 'release' } & ByWorker)
  | { type: 'submit_outputs'; owner: string | null; deadline: number; now: number }
  | { type: 'cancel'; now: number }
  | { type: 'lose_lease'; lease: Lease; maxAttempts: number; now: number }
  | { type: 'expire'; usage: Usage; now: number }
  | { type: 'abandon'; now: number }
  | { type: 'promote'; owner: string | null; deadline: number; now: number }

export type RunEventType = RunEvent['type']

type Of<U, K extends PropertyKey, V> = Extract<U, Record<K, V>>
export type StateOf<S extends RunStatus> = Of<RunState, 'status', S>
export type EventOf<E extends RunEventType> = Of<RunEvent, 'type', E>
export type Cell<S, E> = 'refuse' | 'drop' | ((run: S, event: E) => RunState | 'drop')
export type RunTable = {
  [S in RunStatus]: { [E in RunEventType]: Cell<StateOf<S>, EventOf<E>> }
}

type Active = StateOf<'queued' | 'in_progress' | 'requires_action' | 'cancelling'>

/** The fields that every state has; what belonged to the former state alone is left behind. */
function common(run: RunState): Common {
  const { version, epoch, deadline, started_at, usage, turns, attempts } = run
  return { version, epoch, deadline, started_at, usage, turns, attempts }
}

const spent = (run: RunState, usage: Usage) => ({ ...common(run), usage: addUsage(run.usage, usage) })
const cancelled = (run: Active, event: { now: number; usage?: Usage }): RunState => ({
  ...(event.usage ? spent(run, event.usage) : common(run)),
  status: 'cancelled',
  ended_at: event.now,
})
const expired = (run: Active, event: EventOf<'expire'>): RunState | 'drop' =>
  // The deadline may have been restarted since the sweeper looked.
  event.now < run.deadline ? 'drop' : { ...spent(run, event.usage), status: 'expired', ended_at: event.now }
const failed = (run: Active, event: EventOf<'fail'>): RunState => ({
  ...spent(run, event.usage),
  status: 'failed',
  error: event.error,
  ended_at: event.now,
})
const requeued = (run: Active): RunState => ({ ...common(run), status: 'queued', owner: null, waits: false })
/** Queued for a node that has it at once under the next epoch, or for whoever claims it. */
const handed = (run: Active, owner: string | null, deadline: number): RunState => ({
  ...common(run),
  status: 'queued',
  owner,
  waits: false,
  epoch: owner === null ? run.epoch : run.epoch + 1,
  deadline,
})
const cancelling = (run: Active & { owner: string }): RunState => ({
  ...common(run),
  status: 'cancelling',
  owner: run.owner,
})

const lost = (run: Active, event: EventOf<'lose_lease'>): RunState => {
  const attempts = run.attempts + 1
  if (attempts < event.maxAttempts) return requeued({ ...run, attempts })
  const message = `The server working on this run stopped ${attempts} times before the model's turn ended.`
  const error: RunFailure = { code: 'server_error', message }
  return { ...common(run), attempts, status: 'failed', error, ended_at: event.now }
}

const ended = {
  start: 'drop',
  progress: 'drop',
  ask_tools: 'drop',
  finish: 'drop',
  truncate: 'drop',
  fail: 'drop',
  stop: 'drop',
  release: 'drop',
  submit_outputs: 'refuse',
  cancel: 'refuse',
  lose_lease: 'drop',
  expire: 'drop',
  abandon: 'drop',
  promote: 'drop',
} as const

export const runTable: RunTable = {
  queued: {
    start: (run, { lease, now }) => ({
      ...common(run),
      status: 'in_progress',
      owner: lease.node,
      started_at: run.started_at ?? now,
    }),
    progress: 'drop',
    ask_tools: 'drop',
    finish: 'drop',
    truncate: 'drop',
    fail: failed,
    stop: 'drop',
    release: requeued,
    submit_outputs: 'refuse',
    // An owner may already be calling the model: it must be told, and ends the run itself.
    cancel: (run, event) => {
      const { owner } = run
      return owner === null ? cancelled(run, event) : cancelling({ ...run, owner })
    },
    // Its owner may have been calling the model: the start is committed a moment later.
    lose_lease: lost,
    expire: (run, event) => (run.waits ? 'drop' : expired(run, event)),
    abandon: cancelled,
    promote: (run, { owner, deadline }) => (run.waits ? handed(run, owner, deadline) : 'drop'),
  },
  in_progress: {
    start: 'drop',
    progress: (run) => ({ ...run }),
    ask_tools: (run, event) => ({
      ...spent(run, event.usage),
      status: 'requires_action',
      calls: event.calls,
      turns: run.turns + 1,
      attempts: 0,
    }),
    finish: (run, event) => ({
      ...spent(run, event.usage),
      status: 'completed',
      turns: run.turns + 1,
      ended_at: event.now,
    }),
    truncate: (run, event) => ({
      ...spent(run, event.usage),
      status: 'incomplete',
      reason: event.reason,
      turns: run.turns + 1,
      ended_at: event.now,
    }),
    fail: failed,
    stop: 'drop',
    release: requeued,
    submit_outputs: 'refuse',
    cancel: cancelling,
    lose_lease: lost,
    expire: expired,
    abandon: cancelled,
    promote: 'drop',
  },
  requires_action: {
    ...ended,
    submit_outputs: (run, { owner, deadline }) => handed(run, owner, deadline),
    cancel: cancelled,
    expire: expired,
    abandon: cancelled,
  },
  // A cancel that was acknowledged is kept: whatever the work does in the meantime, the run ends cancelled.
  cancelling: {
    start: 'drop',
    progress: 'drop',
    ask_tools: cancelled,
    finish: cancelled,
    truncate: cancelled,
    fail: cancelled,
    stop: cancelled,
    release: cancelled,
    submit_outputs: 'refuse',
    cancel: 'refuse',
    lose_lease: cancelled,
    expire: (run, event) => (event.now < run.deadline ? 'drop' : cancelled(run, event)),
    abandon: cancelled,
    promote: 'drop',
  },
  completed: ended,
  failed: ended,
  incomplete: ended,
  cancelled: ended,
  expired: ended,
}

/** The owner of a run with its epoch, or null if no node works on it. */
export function leaseOf(run: RunState): Lease | null {
  if (!('owner' in run) || run.owner === null) return null
  return { node: run.owner, epoch: run.epoch }
}

/**
 * Applies an event. An event of a lease that the run no longer is under is dropped whatever the cell says: its
 * sender was replaced. The answer is a new state with the next version, 'refuse' or 'drop'; `run` is not changed.
 */
export function transition(run: RunState, event: RunEvent): RunState | 'refuse' | 'drop' {
  if ('lease' in event) {
    const lease = leaseOf(run)
    if (lease === null || lease.node !== event.lease.node || lease.epoch !== event.lease.epoch) return 'drop'
  }
  // The one cast: TypeScript cannot follow that both lookups narrow the same pair.
  const cell = runTable[run.status][event.type] as Cell<RunState, RunEvent>
  if (typeof cell === 'string') return cell
  const next = cell(run, event)
  return next === 'drop' ? next : { ...next, version: run.version + 1 }
}

/** The state of a run that is being created, owned at once by `owner` if that node has room for it. */
export function newRunState(owner: string | null, deadline: number): StateOf<'queued'> {
  return {
    status: 'queued',
    owner,
    waits: false,
    version: 1,
    epoch: owner === null ? 0 : 1,
    deadline,
    started_at: null,
    usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 },
    turns: 0,
    attempts: 0,
  }
}

/** The state of a run that is being created on a thread that another holds; `deadline` says how long it may live. */
export function waitingRunState(deadline: number): StateOf<'queued'> {
  return { ...newRunState(null, deadline), waits: true }
}

/** Whether the run waits for another that holds its thread. */
export function isWaiting(run: RunState): boolean {
  return run.status === 'queued' && run.waits
}
