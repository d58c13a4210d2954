import type { StreamEvent } from '../contract/events.ts'
import type { IncompleteReason, StepStatus } from '../contract/objects.ts'
import type { MessageRecord, OpenItems, RunRecord, StepRecord } from './records.ts'
import { toMessage, toRun, toStep } from './to-wire.ts'

// When a run ends or leaves a turn, what it was in the middle of ends with it, in the same commit. How follows
// from the run's new status alone, so that every way out closes its items alike (wire.md §6, §7).

interface Ending {
  message: 'completed' | 'incomplete'
  reason: IncompleteReason | null
  step: StepStatus
  error: StepRecord['error']
}

/** Said by the step of a turn that is run again because its server went away. */
export const turnAbandoned = 'The server stopped during this turn; the turn is run again.'

function endingFor(run: RunRecord): Ending {
  const { state } = run
  const step = (status: StepStatus, reason: IncompleteReason, error: Ending['error'] = null): Ending => ({
    message: 'incomplete',
    reason,
    step: status,
    error,
  })
  switch (state.status) {
    case 'completed':
    case 'requires_action':
      return { message: 'completed', reason: null, step: 'completed', error: null }
    case 'incomplete':
      return step('completed', 'max_tokens')
    case 'cancelled':
      return step('cancelled', 'run_cancelled')
    case 'expired':
      return step('expired', 'run_expired')
    case 'failed': {
      const code = state.error.code === 'rate_limit_exceeded' ? 'rate_limit_exceeded' : 'server_error'
      return step('failed', 'run_failed', { code, message: state.error.message })
    }
    case 'queued':
      return step('failed', 'run_failed', { code: 'server_error', message: turnAbandoned })
    case 'in_progress':
    case 'cancelling':
      throw new Error(`a run that is ${state.status} closes nothing`)
  }
}

export interface ClosedItems extends OpenItems {
  events: StreamEvent[]
}

/**
 * Ends open items as the run's new status demands. Steps go in order, each message before its step. The
 * messages of a turn that is run again must be removed by the caller: they were never part of the thread.
 */
export function closeItems(
  run: RunRecord,
  open: OpenItems,
  now: number,
  reason?: IncompleteReason,
): ClosedItems {
  const ending = endingFor(run)
  const closed: ClosedItems = { steps: [], messages: [], events: [] }
  for (const step of open.steps) {
    const { details } = step
    if (details.type === 'message_creation') {
      const message = open.messages.find((m) => m.id === details.message_creation.message_id)
      if (message) closeMessage(message, ending, now, reason, closed)
    }
    const ended: StepRecord = { ...step, status: ending.step, error: ending.error, ended_at: now }
    closed.steps.push(ended)
    closed.events.push({ event: `thread.run.step.${endedStatus(ended.status)}`, data: toStep(ended) })
  }
  return closed
}

function closeMessage(
  message: MessageRecord,
  ending: Ending,
  now: number,
  reason: IncompleteReason | undefined,
  closed: ClosedItems,
): void {
  const ended: MessageRecord = {
    ...message,
    status: ending.message,
    incomplete_reason: ending.message === 'incomplete' ? (reason ?? ending.reason) : null,
    ended_at: now,
  }
  closed.messages.push(ended)
  closed.events.push({ event: `thread.message.${ending.message}`, data: toMessage(ended) })
}

function endedStatus(status: StepStatus): Exclude<StepStatus, 'in_progress'> {
  if (status === 'in_progress') throw new Error('a closed step is not in progress')
  return status
}

/** The event that says which status the run has now. */
export function runEvent(run: RunRecord): StreamEvent {
  return { event: `thread.run.${run.state.status}`, data: toRun(run) }
}
