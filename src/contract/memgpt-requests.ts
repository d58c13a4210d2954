import { Type, type Static } from 'typebox'
import { CreateMessage } from './requests.ts'
import { Maybe, Metadata, MetadataChange } from './schema.ts'
import { FunctionTool, Tool } from './tools.ts'

// Requests in the memgpt dialect (memgpt-dialect.md §2-§5). Keys that nobody knows are left alone, as pydantic did;
// keys that only v2 has are refused by http/memgpt-input.ts, since leaving them out would change what is asked for.

/** `limit` is clamped, not refused, above 10,000; 0 gives an empty list. */
export const MemgptPage = Type.Object({
  limit: Type.Integer({ minimum: 0, default: 1_000 }),
  // The page of the original client shows the value in quotes, and so do programs that were copied from it.
  order: Type.Enum(['asc', 'desc', "'asc'", "'desc'", '"asc"', '"desc"'], { default: 'asc' }),
  after: Type.Optional(Type.String()),
  before: Type.Optional(Type.String()),
})

/** A call instead of a definition: the arguments, if they are JSON of an object, are taken as the parameters' schema. */
const ToolCallForm = Type.Object({
  id: Maybe(Type.String()),
  type: Maybe(Type.Literal('function')),
  function: Type.Object({
    name: Type.String({ minLength: 1, maxLength: 64 }),
    arguments: Maybe(Type.String()),
  }),
})

const RunTools = Maybe(Type.Array(Type.Unknown(), { maxItems: 20 }))

export const MemgptCreateRun = Type.Object(
  {
    assistant_id: Type.String(),
    instructions: Type.String({ maxLength: 256_000, description: "Empty: the assistant's." }),
    model: Maybe(Type.String({ maxLength: 256 })),
    additional_instructions: Maybe(Type.String({ maxLength: 256_000 })),
    tools: RunTools,
    metadata: Maybe(Metadata),
  },
  { title: 'CreateRunRequest' },
)

export const MemgptCreateThreadRun = Type.Object(
  {
    assistant_id: Type.String(),
    thread: Type.Object({
      id: Maybe(Type.String()),
      object: Maybe(Type.String()),
      created_at: Maybe(Type.Integer()),
      messages: Maybe(Type.Array(CreateMessage, { maxItems: 1_000 })),
      metadata: Maybe(Metadata),
    }),
    model: Type.String({ maxLength: 256, description: "Empty: the assistant's." }),
    instructions: Type.String({ maxLength: 256_000, description: "Empty: the assistant's." }),
    tools: RunTools,
    metadata: Maybe(Metadata),
  },
  { title: 'CreateThreadRunRequest' },
)

export const MemgptModify = Type.Object({ metadata: Maybe(MetadataChange) }, { title: 'ModifyRunRequest' })

const Outputs = Maybe(
  Type.Array(
    Type.Object({ tool_call_id: Type.String(), output: Type.String() }, { title: 'ToolCallOutput' }),
    { maxItems: 1_000 },
  ),
)

export const MemgptSubmit = Type.Object(
  { tools_outputs: Outputs, tool_outputs: Outputs },
  { title: 'SubmitToolOutputsToRunRequest' },
)

const AssistantFields = {
  description: Maybe(Type.String({ maxLength: 512 })),
  tools: Maybe(Type.Array(Type.Unknown(), { maxItems: 128 })),
  file_ids: Maybe(Type.Array(Type.String(), { maxItems: 20 })),
  metadata: Maybe(Metadata),
  embedding_model: Maybe(Type.String()),
}

export const MemgptCreateAssistant = Type.Object(
  {
    model: Type.String({ minLength: 1, maxLength: 256 }),
    name: Type.String({ maxLength: 256 }),
    instructions: Type.String({ maxLength: 256_000 }),
    ...AssistantFields,
  },
  { title: 'CreateAssistantRequest' },
)

export const MemgptAttachFile = Type.Object(
  { file_id: Type.String() },
  { title: 'CreateAssistantFileRequest' },
)

export const MemgptCreateThread = Type.Object(
  {
    messages: Maybe(Type.Array(Type.String({ minLength: 1, maxLength: 256_000 }), { maxItems: 1_000 })),
    metadata: Maybe(Metadata),
    assistant_name: Maybe(Type.String()),
  },
  { title: 'CreateThreadRequest' },
)

export const MemgptCreateMessage = Type.Object(
  {
    role: Type.Enum(['user', 'assistant']),
    content: Type.String({ minLength: 1, maxLength: 256_000 }),
    file_ids: Maybe(Type.Array(Type.String(), { maxItems: 100 })),
    metadata: Maybe(Metadata),
  },
  { title: 'CreateMessageRequest' },
)

/** The forms that a tool of a run may have. */
export const RunToolForms = { call: ToolCallForm, definition: Tool, function: FunctionTool }

export type MemgptPage = Static<typeof MemgptPage>
export type MemgptCreateRun = Static<typeof MemgptCreateRun>
export type MemgptCreateThreadRun = Static<typeof MemgptCreateThreadRun>
export type MemgptSubmit = Static<typeof MemgptSubmit>
export type MemgptCreateAssistant = Static<typeof MemgptCreateAssistant>
export type MemgptCreateThread = Static<typeof MemgptCreateThread>
export type MemgptCreateMessage = Static<typeof MemgptCreateMessage>
export type ToolCallForm = Static<typeof ToolCallForm>
