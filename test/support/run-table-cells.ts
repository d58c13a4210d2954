import type { RunStatus, RunToolCall } from '../../src/contract/objects.ts'
import {
  transition,
  type EventOf,
  type RunEvent,
  type RunEventType,
  type RunState,
  type StateOf,
} from '../../src/domain/run.ts'

// What every cell of the run's table must answer, spelled out apart from the code: no spread and no default, so
// that a new status or event does not compile before someone has decided all of its cells.

export type Answer = RunStatus | 'refuse' | 'drop'

/** What an answer may depend on, with its two cases in the order in which they are told. */
export const cases = {
  owner: ['owned', 'unowned'],
  attempts: ['attempts left', 'attempts used up'],
  deadline: ['before the deadline', 'from the deadline on'],
  thread: ['holding its thread', 'waiting'],
} as const
type CasesOf<D extends keyof typeof cases> = Record<(typeof cases)[D][number], Answer>
export type Expected =
  | Answer
  | CasesOf<'owner'>
  | CasesOf<'attempts'>
  | CasesOf<'deadline'>
  | CasesOf<'thread'>

const expires = { 'before the deadline': 'drop', 'from the deadline on': 'expired' } as const

/** An event of a worker comes with the run's present lease here; any other is dropped whatever the cell says. */
export const expectedTable: Record<RunStatus, Record<RunEventType, Expected>> = {
  queued: {
    start: 'in_progress',
    progress: 'drop',
    ask_tools: 'drop',
    finish: 'drop',
    truncate: 'drop',
    fail: 'failed',
    stop: 'drop',
    release: 'queued',
    submit_outputs: 'refuse',
    cancel: { owned: 'cancelling', unowned: 'cancelled' },
    lose_lease: { 'attempts left': 'queued', 'attempts used up': 'failed' },
    expire: expires,
    abandon: 'cancelled',
    promote: { waiting: 'queued', 'holding its thread': 'drop' },
  },
  in_progress: {
    start: 'drop',
    progress: 'in_progress',
    ask_tools: 'requires_action',
    finish: 'completed',
    truncate: 'incomplete',
    fail: 'failed',
    stop: 'drop',
    release: 'queued',
    submit_outputs: 'refuse',
    cancel: 'cancelling',
    lose_lease: { 'attempts left': 'queued', 'attempts used up': 'failed' },
    expire: expires,
    abandon: 'cancelled',
    promote: 'drop',
  },
  requires_action: {
    start: 'drop',
    progress: 'drop',
    ask_tools: 'drop',
    finish: 'drop',
    truncate: 'drop',
    fail: 'drop',
    stop: 'drop',
    release: 'drop',
    submit_outputs: 'queued',
    cancel: 'cancelled',
    lose_lease: 'drop',
    expire: expires,
    abandon: 'cancelled',
    promote: 'drop',
  },
  cancelling: {
    start: 'drop',
    progress: 'drop',
    ask_tools: 'cancelled',
    finish: 'cancelled',
    truncate: 'cancelled',
    fail: 'cancelled',
    stop: 'cancelled',
    release: 'cancelled',
    submit_outputs: 'refuse',
    cancel: 'refuse',
    lose_lease: 'cancelled',
    expire: { 'before the deadline': 'drop', 'from the deadline on': 'cancelled' },
    abandon: 'cancelled',
    promote: 'drop',
  },
  completed: {
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
  },
  failed: {
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
  },
  incomplete: {
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
  },
  cancelled: {
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
  },
  expired: {
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
  },
}

export const statuses = Object.keys(expectedTable) as RunStatus[]
export const eventTypes = Object.keys(expectedTable.queued) as RunEventType[]

export const call: RunToolCall = { id: 'call_a', type: 'function', function: { name: 'f', arguments: '{}' } }

/** A run in the middle of its life, so that a field which is lost or reset shows. */
export const middle = {
  version: 7,
  epoch: 3,
  deadline: 1000,
  started_at: 400,
  usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  turns: 2,
  attempts: 1,
}

const states: { [S in RunStatus]: StateOf<S> } = {
  queued: { ...middle, status: 'queued', owner: 'node-a', waits: false },
  in_progress: { ...middle, status: 'in_progress', owner: 'node-a' },
  requires_action: { ...middle, status: 'requires_action', calls: [call] },
  cancelling: { ...middle, status: 'cancelling', owner: 'node-a' },
  completed: { ...middle, status: 'completed', ended_at: 450 },
  failed: { ...middle, status: 'failed', error: { code: 'server_error', message: 'x' }, ended_at: 450 },
  incomplete: { ...middle, status: 'incomplete', reason: 'max_completion_tokens', ended_at: 450 },
  cancelled: { ...middle, status: 'cancelled', ended_at: 450 },
  expired: { ...middle, status: 'expired', ended_at: 450 },
}

export const presentLease = { node: 'node-a', epoch: middle.epoch }
export const turnUsage = { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 }
const by = { lease: presentLease, now: 500 }

const events: { [E in RunEventType]: EventOf<E> } = {
  start: { type: 'start', ...by },
  progress: { type: 'progress', ...by },
  ask_tools: { type: 'ask_tools', calls: [call], usage: turnUsage, ...by },
  finish: { type: 'finish', usage: turnUsage, ...by },
  truncate: { type: 'truncate', reason: 'max_prompt_tokens', usage: turnUsage, ...by },
  fail: { type: 'fail', error: { code: 'rate_limit_exceeded', message: 'slow' }, usage: turnUsage, ...by },
  stop: { type: 'stop', usage: turnUsage, ...by },
  release: { type: 'release', ...by },
  submit_outputs: { type: 'submit_outputs', owner: 'node-b', deadline: 1100, now: 500 },
  cancel: { type: 'cancel', now: 500 },
  lose_lease: { type: 'lose_lease', maxAttempts: 3, ...by },
  expire: { type: 'expire', usage: turnUsage, now: 500 },
  abandon: { type: 'abandon', now: 500 },
  promote: { type: 'promote', owner: 'node-b', deadline: 1100, now: 500 },
}

/** One way in which a cell can be met. */
export interface Scenario {
  state: RunState
  event: RunEvent
  /** The case of each dimension. */
  is: Record<keyof typeof cases, 0 | 1>
}

/** All ways to meet a cell, with the worker's events under the present lease. */
export function scenariosOf(status: RunStatus, type: RunEventType): Scenario[] {
  const both = [0, 1] as const
  const is = both.flatMap((owner) =>
    both.flatMap((attempts) =>
      both.flatMap((deadline) => both.map((thread) => ({ owner, attempts, deadline, thread }))),
    ),
  )
  return is.flatMap((each) => scenarioOf(status, type, each) ?? [])
}

function scenarioOf(status: RunStatus, type: RunEventType, is: Scenario['is']): Scenario | null {
  const state: RunState = { ...states[status] }
  const event: RunEvent = { ...events[type], now: middle.deadline - (is.deadline === 0 ? 1 : 0) }
  if (is.owner === 1) {
    // Only a queued run can be without an owner, and then it has no worker.
    if (state.status !== 'queued' || 'lease' in event) return null
    state.owner = null
  }
  if (is.thread === 1) {
    // A run that waits has no owner, and no deadline that could pass.
    if (state.status !== 'queued' || is.owner === 0 || is.deadline === 1) return null
    state.waits = true
    event.now = middle.deadline + 1
  }
  if (event.type === 'lose_lease') event.maxAttempts = middle.attempts + (is.attempts === 0 ? 2 : 1)
  return { state, event, is }
}

/** What the code answers in a cell, in the form of the expected table. */
export function answerOf(status: RunStatus, type: RunEventType): Expected {
  const answers = scenariosOf(status, type).map(({ state, event, is }) => {
    const next = transition(state, event)
    return { is, answer: typeof next === 'string' ? next : next.status }
  })
  const dimensions = Object.keys(cases) as (keyof typeof cases)[]
  const of = (dimension: keyof typeof cases, which: 0 | 1) => [
    ...new Set(answers.filter(({ is }) => is[dimension] === which).map(({ answer }) => answer)),
  ]
  const [first] = answers
  if (first && answers.every(({ answer }) => answer === first.answer)) return first.answer
  for (const dimension of dimensions) {
    const [a, ...moreA] = of(dimension, 0)
    const [b, ...moreB] = of(dimension, 1)
    if (a === undefined || b === undefined || moreA.length > 0 || moreB.length > 0) continue
    return { [cases[dimension][0]]: a, [cases[dimension][1]]: b } as Exclude<Expected, Answer>
  }
  throw new Error(`${status} + ${type} depends on more than one condition`)
}

/** The statuses to which a cell may lead. */
export function targetsOf(expected: Expected): RunStatus[] {
  const answers: Answer[] = typeof expected === 'string' ? [expected] : Object.values(expected)
  return answers.filter((answer) => answer !== 'refuse' && answer !== 'drop')
}

/** The fields that a run of a status has besides those that every run has. */
export const ownFields: Record<RunStatus, string[]> = {
  queued: ['owner', 'waits'],
  in_progress: ['owner'],
  requires_action: ['calls'],
  cancelling: ['owner'],
  completed: ['ended_at'],
  failed: ['error', 'ended_at'],
  incomplete: ['reason', 'ended_at'],
  cancelled: ['ended_at'],
  expired: ['ended_at'],
}

/** What a run's fields must be called, in alphabetical order. */
export function fieldsOf(status: RunStatus): string[] {
  return [...Object.keys(middle), 'status', ...ownFields[status]].toSorted()
}

export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(deepFreeze)
  }
  return value
}
