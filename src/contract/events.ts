import { Type, type Static, type TSchema } from 'typebox'
import { ErrorFields, ErrorResponse, type ErrorBody } from './errors.ts'
import { MessageObject, RunObject, RunStepObject, ThreadObject, type RunStatus } from './objects.ts'

// Stream events (wire.md §7). The payload is the whole object at that moment, deltas aside.

export const MessageDelta = Type.Object(
  {
    id: Type.String({ description: 'The message that grows' }),
    object: Type.Literal('thread.message.delta'),
    delta: Type.Object({
      content: Type.Array(
        Type.Object({
          index: Type.Integer({ description: 'Which part of the content' }),
          type: Type.Literal('text'),
          text: Type.Object({
            value: Type.String({ description: 'What to append' }),
            annotations: Type.Optional(Type.Array(Type.Unknown())),
          }),
        }),
      ),
    }),
  },
  { title: 'MessageDelta' },
)
export type MessageDelta = Static<typeof MessageDelta>

export const StepDelta = Type.Object(
  {
    id: Type.String({ description: 'The step that grows' }),
    object: Type.Literal('thread.run.step.delta'),
    delta: Type.Object({
      step_details: Type.Object({
        type: Type.Literal('tool_calls'),
        tool_calls: Type.Array(
          Type.Object({
            index: Type.Integer({ description: 'Which of the calls' }),
            // Both SDKs concatenate strings.
            id: Type.Optional(Type.String({ description: 'Only in the first delta of a call' })),
            type: Type.Literal('function'),
            function: Type.Object({
              name: Type.Optional(Type.String({ description: 'Only in the first delta of a call' })),
              arguments: Type.String({ description: 'What to append' }),
              output: Type.Optional(Type.Null()),
            }),
          }),
        ),
      }),
    }),
  },
  { title: 'RunStepDelta' },
)
export type StepDelta = Static<typeof StepDelta>

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

const ErrorEvent = Type.Object(
  { ...ErrorResponse.properties, ...ErrorFields.properties },
  { title: 'ErrorEvent' },
)

/** What each event carries; the type makes the list complete. */
export const eventData: Readonly<Record<StreamEvent['event'], TSchema>> = {
  'thread.created': ThreadObject,
  'thread.run.created': RunObject,
  'thread.run.queued': RunObject,
  'thread.run.in_progress': RunObject,
  'thread.run.requires_action': RunObject,
  'thread.run.cancelling': RunObject,
  'thread.run.cancelled': RunObject,
  'thread.run.failed': RunObject,
  'thread.run.completed': RunObject,
  'thread.run.incomplete': RunObject,
  'thread.run.expired': RunObject,
  'thread.run.step.created': RunStepObject,
  'thread.run.step.in_progress': RunStepObject,
  'thread.run.step.delta': StepDelta,
  'thread.run.step.completed': RunStepObject,
  'thread.run.step.failed': RunStepObject,
  'thread.run.step.cancelled': RunStepObject,
  'thread.run.step.expired': RunStepObject,
  'thread.message.created': MessageObject,
  'thread.message.in_progress': MessageObject,
  'thread.message.delta': MessageDelta,
  'thread.message.completed': MessageObject,
  'thread.message.incomplete': MessageObject,
  error: ErrorEvent,
}

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
