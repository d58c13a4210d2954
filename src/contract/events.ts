import type { ErrorBody } from './errors.ts'
import type { MessageObject, RunObject, RunStatus, RunStepObject, ThreadObject } from './objects.ts'

// Stream events (wire.md §7). The payload is the whole object at that moment, deltas aside.

export interface MessageDelta {
  id: string
  object: 'thread.message.delta'
  delta: {
    content: { index: number; type: 'text'; text: { value: string; annotations?: unknown[] } }[]
  }
}

export interface StepDelta {
  id: string
  object: 'thread.run.step.delta'
  delta: {
    step_details: {
      type: 'tool_calls'
      tool_calls: {
        index: number
        /** Only in the first delta of a call: both SDKs concatenate strings. */
        id?: string
        type: 'function'
        function: { name?: string; arguments: string; output?: null }
      }[]
    }
  }
}

export type StreamEvent =
  | { event: 'thread.created'; data: ThreadObject }
  | { event: `thread.run.${RunStatus | 'created'}`; data: RunObject }
  | {
      event: `thread.run.step.${'created' | 'in_progress' | 'completed' | 'failed' | 'cancelled' | 'expired'}`
      data: RunStepObject
    }
  | { event: 'thread.run.step.delta'; data: StepDelta }
  | { event: `thread.message.${'created' | 'in_progress' | 'completed' | 'incomplete'}`; data: MessageObject }
  | { event: 'thread.message.delta'; data: MessageDelta }
  | { event: 'error'; data: ErrorBody & ErrorBody['error'] }

/** The statuses after which the response of a streaming request ends. */
export function endsStream(status: RunStatus): boolean {
  return status === 'requires_action' || isTerminal(status)
}

const terminal: ReadonlySet<RunStatus> = new Set([
  'completed',
  'failed',
  'cancelled',
  'expired',
  'incomplete',
])

/** Whether a run of this status has ended (wire.md §5). */
export function isTerminal(status: RunStatus): boolean {
  return terminal.has(status)
}
