import { Type, type Static } from 'typebox'
import { Literals, Metadata, Nullable, Seconds } from './schema.ts'
import {
  HostedToolName,
  ImageDetail,
  ResponseFormat,
  Tool,
  ToolChoice,
  ToolResources,
  TruncationStrategy,
} from './tools.ts'

// Wire shapes of the v2 dialect (wire.md §4-§6): what this server sends. Timestamps are Unix seconds.
//
// Glossary. thread: a conversation; it holds messages. run: one execution of an assistant on a thread. step:
// one thing a run did (wrote a message, or called tools). tool call: a function the model asks the client to
// run; its output comes back by submit_tool_outputs. turn: one call of the model; a run has one or more.

export const UsageObject = Type.Object(
  { prompt_tokens: Type.Integer(), completion_tokens: Type.Integer(), total_tokens: Type.Integer() },
  { title: 'Usage' },
)

export const AssistantObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('assistant'),
    created_at: Seconds,
    name: Nullable(Type.String()),
    description: Nullable(Type.String()),
    model: Type.String(),
    instructions: Nullable(Type.String()),
    tools: Type.Array(Tool),
    tool_resources: Nullable(ToolResources),
    metadata: Metadata,
    temperature: Type.Number({ description: '1 if it was not set' }),
    top_p: Type.Number({ description: '1 if it was not set' }),
    response_format: ResponseFormat,
    reasoning_effort: Nullable(Type.String()),
  },
  { title: 'Assistant' },
)

export const ThreadObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread'),
    created_at: Seconds,
    tool_resources: Nullable(ToolResources),
    metadata: Metadata,
  },
  { title: 'Thread' },
)

export const MessageContent = Type.Union(
  [
    Type.Object({
      type: Type.Literal('text'),
      text: Type.Object({ value: Type.String(), annotations: Type.Array(Type.Unknown()) }),
    }),
    Type.Object({
      type: Type.Literal('image_file'),
      image_file: Type.Object({ file_id: Type.String(), detail: Type.Optional(ImageDetail) }),
    }),
    Type.Object({
      type: Type.Literal('image_url'),
      image_url: Type.Object({ url: Type.String(), detail: Type.Optional(ImageDetail) }),
    }),
  ],
  { title: 'MessageContent' },
)

export const Attachment = Type.Object(
  {
    file_id: Type.String(),
    tools: Type.Array(Type.Object({ type: HostedToolName })),
  },
  { title: 'Attachment' },
)

export const IncompleteReason = Literals(
  'content_filter',
  'max_tokens',
  'run_cancelled',
  'run_expired',
  'run_failed',
)

export const MessageObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.message'),
    created_at: Seconds,
    thread_id: Type.String(),
    status: Literals('in_progress', 'incomplete', 'completed'),
    incomplete_details: Nullable(
      Type.Object({ reason: IncompleteReason }, { description: 'Why the model did not get to its end' }),
    ),
    completed_at: Nullable(Seconds),
    incomplete_at: Nullable(Seconds),
    role: Literals('user', 'assistant'),
    content: Type.Array(MessageContent),
    assistant_id: Nullable(Type.String({ description: 'The assistant that wrote it' })),
    run_id: Nullable(Type.String({ description: 'The run that wrote it' })),
    attachments: Type.Array(Attachment),
    metadata: Metadata,
  },
  { title: 'Message' },
)

export const RunStatus = Literals(
  'queued',
  'in_progress',
  'requires_action',
  'cancelling',
  'cancelled',
  'failed',
  'completed',
  'incomplete',
  'expired',
)

export const ErrorCode = Literals('server_error', 'rate_limit_exceeded', 'invalid_prompt')

export const RunToolCall = Type.Object(
  {
    id: Type.String(),
    type: Type.Literal('function'),
    function: Type.Object({
      name: Type.String(),
      arguments: Type.String({ description: 'JSON, as the model wrote it: check it' }),
    }),
  },
  { title: 'RunToolCall' },
)

export const RunObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.run'),
    created_at: Seconds,
    thread_id: Type.String(),
    assistant_id: Type.String(),
    status: RunStatus,
    required_action: Nullable(
      Type.Object(
        {
          type: Type.Literal('submit_tool_outputs'),
          submit_tool_outputs: Type.Object({ tool_calls: Type.Array(RunToolCall) }),
        },
        { description: 'The calls whose outputs the run waits for, while it is in `requires_action`' },
      ),
    ),
    last_error: Nullable(
      Type.Object({ code: ErrorCode, message: Type.String() }, { description: 'Why the run has failed' }),
    ),
    expires_at: Nullable(
      Type.Integer({ description: 'Unix seconds at which the run will expire; null once it has ended' }),
    ),
    started_at: Nullable(Seconds),
    cancelled_at: Nullable(Seconds),
    failed_at: Nullable(Seconds),
    completed_at: Nullable(Seconds),
    incomplete_details: Nullable(
      Type.Object(
        { reason: Literals('max_prompt_tokens', 'max_completion_tokens') },
        { description: 'Which limit the run has reached' },
      ),
    ),
    model: Type.String(),
    instructions: Type.String({ description: 'Those that apply, with the additional ones' }),
    tools: Type.Array(Tool),
    metadata: Metadata,
    usage: Nullable(UsageObject),
    temperature: Type.Number(),
    top_p: Type.Number(),
    max_prompt_tokens: Nullable(Type.Integer()),
    max_completion_tokens: Nullable(Type.Integer()),
    truncation_strategy: TruncationStrategy,
    tool_choice: ToolChoice,
    parallel_tool_calls: Type.Boolean(),
    response_format: ResponseFormat,
  },
  { title: 'Run' },
)

export const StepToolCall = Type.Object(
  {
    id: Type.String(),
    type: Type.Literal('function'),
    function: Type.Object({
      name: Type.String(),
      arguments: Type.String(),
      output: Nullable(Type.String({ description: 'Null until it has been submitted' })),
    }),
  },
  { title: 'StepToolCall' },
)

export const StepDetails = Type.Union(
  [
    Type.Object({
      type: Type.Literal('message_creation'),
      message_creation: Type.Object({ message_id: Type.String() }),
    }),
    Type.Object({ type: Type.Literal('tool_calls'), tool_calls: Type.Array(StepToolCall) }),
  ],
  { title: 'StepDetails' },
)

export const StepStatus = Literals('in_progress', 'cancelled', 'failed', 'completed', 'expired')

export const RunStepObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.run.step'),
    created_at: Seconds,
    assistant_id: Type.String(),
    thread_id: Type.String(),
    run_id: Type.String(),
    type: Literals('message_creation', 'tool_calls'),
    status: StepStatus,
    step_details: StepDetails,
    last_error: Nullable(
      Type.Object({ code: Literals('server_error', 'rate_limit_exceeded'), message: Type.String() }),
    ),
    expired_at: Nullable(Seconds),
    cancelled_at: Nullable(Seconds),
    failed_at: Nullable(Seconds),
    completed_at: Nullable(Seconds),
    metadata: Metadata,
    usage: Nullable(UsageObject),
    expires_at: Nullable(Seconds),
  },
  { title: 'RunStep' },
)

export const ModelObject = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('model'),
    created: Seconds,
    owned_by: Type.String(),
  },
  { title: 'Model' },
)

/** The answer of a delete. */
export const Deleted = <T extends string>(object: T) =>
  Type.Object({ id: Type.String(), object: Type.Literal(object), deleted: Type.Boolean() })

export type UsageObject = Static<typeof UsageObject>
export type AssistantObject = Static<typeof AssistantObject>
export type ThreadObject = Static<typeof ThreadObject>
export type MessageContent = Static<typeof MessageContent>
export type Attachment = Static<typeof Attachment>
export type IncompleteReason = Static<typeof IncompleteReason>
export type MessageObject = Static<typeof MessageObject>
export type RunStatus = Static<typeof RunStatus>
export type ErrorCode = Static<typeof ErrorCode>
export type RunToolCall = Static<typeof RunToolCall>
export type RunObject = Static<typeof RunObject>
export type StepToolCall = Static<typeof StepToolCall>
export type StepDetails = Static<typeof StepDetails>
export type StepStatus = Static<typeof StepStatus>
export type RunStepObject = Static<typeof RunStepObject>
export type ModelObject = Static<typeof ModelObject>
