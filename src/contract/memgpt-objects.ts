import { Type, type Static } from 'typebox'
import { Metadata, Nullable, Seconds } from './schema.ts'

// What the memgpt dialect shows (memgpt-dialect.md §3, §5). Every field is always there: what is not set is null,
// and lists of file ids are empty, since the original client throws when it misses one.

const FileIds = Type.Array(Type.String())

export const ToolCall = Type.Object(
  {
    id: Type.String(),
    type: Type.Literal('function'),
    function: Type.Object(
      { name: Type.String(), arguments: Type.String({ description: 'JSON' }) },
      { title: 'Function' },
    ),
  },
  { title: 'ToolCall' },
)

const OpenAIUsage = Type.Object(
  { completion_tokens: Type.Integer(), prompt_tokens: Type.Integer(), total_tokens: Type.Integer() },
  { title: 'OpenAIUsage' },
)

const OpenAIError = Type.Object({ code: Type.String(), message: Type.String() }, { title: 'OpenAIError' })

export const OpenAIRun = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.run'),
    created_at: Seconds,
    thread_id: Type.String(),
    assistant_id: Type.String(),
    status: Type.String(),
    required_action: Nullable(
      Type.Object(
        {
          type: Type.Literal('submit_tool_outputs'),
          submit_tool_outputs: Type.Array(ToolCall),
        },
        { title: 'RequiredAction' },
      ),
    ),
    last_error: Nullable(OpenAIError),
    expires_at: Seconds,
    started_at: Nullable(Seconds),
    cancelled_at: Nullable(Seconds),
    failed_at: Nullable(Seconds),
    completed_at: Nullable(Seconds),
    model: Type.String(),
    instructions: Type.String(),
    tools: Nullable(Type.Array(ToolCall, { description: 'The function calls that the run has made.' })),
    file_ids: FileIds,
    metadata: Metadata,
    usage: Nullable(OpenAIUsage),
  },
  { title: 'OpenAIRun' },
)

const StepDefaults = Type.Union(
  [
    Type.Object({ type: Type.Literal('tool_calls'), tool_calls: Type.Array(ToolCall) }),
    Type.Object({ type: Type.Literal('message_creation'), message_id: Type.String() }),
  ],
  { title: 'StepDefaults' },
)

export const OpenAIRunStep = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.run.step'),
    created_at: Seconds,
    assistant_id: Type.String(),
    thread_id: Type.String(),
    run_id: Type.String(),
    type: Type.String(),
    status: Type.String(),
    step_defaults: StepDefaults,
    last_error: Nullable(OpenAIError),
    expired_at: Nullable(Seconds),
    failed_at: Nullable(Seconds),
    completed_at: Nullable(Seconds),
    usage: Nullable(OpenAIUsage),
  },
  { title: 'OpenAIRunStep' },
)

export const OpenAIAssistant = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    object: Type.Literal('assistant'),
    description: Nullable(Type.String()),
    created_at: Seconds,
    model: Type.String(),
    instructions: Type.String(),
    tools: Type.Array(Type.String()),
    file_ids: FileIds,
    metadata: Metadata,
  },
  { title: 'OpenAIAssistant' },
)

export const AssistantFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('assistant.file'),
    created_at: Seconds,
    assistant_id: Type.String(),
  },
  { title: 'AssistantFile' },
)

export const OpenAIThread = Type.Object(
  { id: Type.String(), object: Type.Literal('thread'), created_at: Seconds, metadata: Metadata },
  { title: 'OpenAIThread' },
)

const MessagePart = Type.Union([
  Type.Object({ object: Type.Literal('text'), text: Type.String() }, { title: 'Text' }),
  Type.Object({ type: Type.Literal('image_file'), file_id: Type.String() }, { title: 'ImageFile' }),
])

export const OpenAIMessage = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.message'),
    created_at: Seconds,
    thread_id: Type.String(),
    role: Type.String(),
    content: Type.Array(MessagePart),
    assistant_id: Type.String(),
    run_id: Nullable(Type.String()),
    file_ids: FileIds,
    metadata: Metadata,
  },
  { title: 'OpenAIMessage' },
)

export const MessageFile = Type.Object(
  {
    id: Type.String(),
    object: Type.Literal('thread.message.file'),
    created_at: Seconds,
    message_id: Type.String(),
  },
  { title: 'MessageFile' },
)

export type ToolCall = Static<typeof ToolCall>
export type OpenAIRun = Static<typeof OpenAIRun>
export type OpenAIRunStep = Static<typeof OpenAIRunStep>
export type OpenAIAssistant = Static<typeof OpenAIAssistant>
export type AssistantFile = Static<typeof AssistantFile>
export type OpenAIThread = Static<typeof OpenAIThread>
export type OpenAIMessage = Static<typeof OpenAIMessage>
export type MessageFile = Static<typeof MessageFile>
