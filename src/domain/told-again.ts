import type { StreamEvent } from '../contract/events.ts'
import { runEvent } from './closing.ts'
import type { MessageRecord, RunRecord, StepRecord } from './records.ts'
import type { RunState } from './run.ts'
import { toMessage, toRun, toStep } from './to-wire.ts'
import { noUsage } from './usage.ts'

// The events of a run that has ended, made from what is stored of it: for when its log is not there any more. Each
// text comes in one delta. What the store has forgotten - when the run waited, messages that were deleted - is not told.

/** `steps` and `messages` are all that the run has, in order. */
export function eventsToldAgain(
  run: RunRecord,
  steps: readonly StepRecord[],
  messages: readonly MessageRecord[],
): StreamEvent[] {
  const byId = new Map(messages.map((message) => [message.id, message]))
  const queued = {
    ...run,
    state: before(run.state, { status: 'queued', owner: null, waits: false, started_at: null }),
  }
  const events: StreamEvent[] = [{ event: 'thread.run.created', data: toRun(queued) }, runEvent(queued)]
  if (run.state.started_at !== null) events.push(began(run))
  // A turn that was given up and run again has the same number as the one that followed it.
  const attempts = [...Map.groupBy(steps, (step) => step.turn).values()].flatMap(attemptsOf)
  for (const [i, attempt] of attempts.entries()) {
    events.push(...attempt.flatMap((step) => stepEvents(run, step, byId)))
    if (i < attempts.length - 1 || attempt.some(wasAnswered)) events.push(...goOn(run))
  }
  return [...events, runEvent(run)]
}

/** The run as it was in an earlier status, as far as that is known. */
function before(
  { version, epoch, deadline, started_at, turns, attempts }: RunState,
  state:
    | { status: 'queued'; owner: null; waits: false; started_at?: null }
    | { status: 'in_progress'; owner: string }
    | Waiting,
): RunState {
  return { version, epoch, deadline, started_at, turns, attempts, usage: noUsage, ...state }
}

type Waiting = Pick<Extract<RunState, { status: 'requires_action' }>, 'status' | 'calls'>

function began(run: RunRecord): StreamEvent {
  return runEvent({ ...run, state: before(run.state, { status: 'in_progress', owner: '' }) })
}

function goOn(run: RunRecord): StreamEvent[] {
  return [
    runEvent({ ...run, state: before(run.state, { status: 'queued', owner: null, waits: false }) }),
    began(run),
  ]
}

/** Steps of one turn by the attempts at it, each with its message before its calls, as streams show them. */
function attemptsOf(steps: StepRecord[]): StepRecord[][] {
  const attempts: StepRecord[][] = [[]]
  for (const step of steps) {
    const attempt = attempts.at(-1) ?? []
    const last = attempt.at(-1)
    // Within an attempt all steps fail or none does, and there is one of each type.
    const another =
      last &&
      (last.details.type === step.details.type || (last.status === 'failed') !== (step.status === 'failed'))
    if (another) attempts.push([step])
    else attempt.push(step)
  }
  return attempts.map((attempt) => attempt.toSorted((a, b) => typeOrder(a) - typeOrder(b)))
}

/** Whether the step's calls got their outputs, so that the run went on. */
function wasAnswered(step: StepRecord): boolean {
  return step.details.type === 'tool_calls' && step.status === 'completed'
}

function typeOrder(step: StepRecord): number {
  return step.details.type === 'message_creation' ? 0 : 1
}

function stepEvents(run: RunRecord, step: StepRecord, messages: Map<string, MessageRecord>): StreamEvent[] {
  const { details } = step
  const empty: StepRecord['details'] =
    details.type === 'message_creation' ? details : { type: 'tool_calls', tool_calls: [] }
  const open = toStep({
    ...step,
    details: empty,
    status: 'in_progress',
    usage: null,
    error: null,
    ended_at: null,
  })
  const content =
    details.type === 'tool_calls'
      ? callEvents(run, step, details.tool_calls)
      : messageEvents(messages.get(details.message_creation.message_id))
  return [
    { event: 'thread.run.step.created', data: open },
    { event: 'thread.run.step.in_progress', data: open },
    ...content,
    ...(step.status === 'in_progress'
      ? []
      : [{ event: `thread.run.step.${step.status}` as const, data: toStep(step) }]),
  ]
}

function messageEvents(message: MessageRecord | undefined): StreamEvent[] {
  if (message === undefined || message.status === 'in_progress') return []
  const data = toMessage({
    ...message,
    status: 'in_progress',
    content: [],
    ended_at: null,
    incomplete_reason: null,
  })
  const [part] = message.content
  const value = part?.type === 'text' ? part.text.value : ''
  const delta = { content: [{ index: 0, type: 'text' as const, text: { value, annotations: [] } }] }
  return [
    { event: 'thread.message.created', data },
    { event: 'thread.message.in_progress', data },
    ...(value === ''
      ? []
      : [
          {
            event: 'thread.message.delta' as const,
            data: { id: message.id, object: 'thread.message.delta' as const, delta },
          },
        ]),
    { event: `thread.message.${message.status}`, data: toMessage(message) },
  ]
}

type Calls = Extract<StepRecord['details'], { type: 'tool_calls' }>['tool_calls']

/** The deltas of calls, and the run that waited for their outputs, unless the model never came to the end of them. */
function callEvents(run: RunRecord, step: StepRecord, calls: Calls): StreamEvent[] {
  const deltas = calls.map(({ id, type, function: { name, arguments: args } }, index): StreamEvent => {
    const tool_calls = [{ index, id, type, function: { name, arguments: args, output: null } }]
    const delta = { step_details: { type: 'tool_calls' as const, tool_calls } }
    return { event: 'thread.run.step.delta', data: { id: step.id, object: 'thread.run.step.delta', delta } }
  })
  const [first, ...rest] = calls.map(({ id, type, function: { name, arguments: args } }) => ({
    id,
    type,
    function: { name, arguments: args },
  }))
  // Its usage is known when the turn had ended.
  if (!first || (step.status !== 'completed' && step.usage === null)) return deltas
  return [
    ...deltas,
    runEvent({ ...run, state: before(run.state, { status: 'requires_action', calls: [first, ...rest] }) }),
  ]
}
