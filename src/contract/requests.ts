import { Type, type Static } from 'typebox'
import { closed, Literals, Maybe, Metadata, MetadataChange } from './schema.ts'
import {
  HostedToolName,
  NewToolResources,
  ReasoningEffort,
  ResponseFormat,
  Tool,
  ToolChoice,
  ToolResources,
} from './tools.ts'

// Request bodies and queries of the v2 dialect (wire.md §4): one definition is the type and the validator.
// Keys that are not listed are refused (wire.md §1 "Unknown body keys"), and null where the published schema has none.
// The limits on parts, attachments, messages and outputs of one request are this server's own.

const Temperature = Type.Number({ minimum: 0, maximum: 2 })
const TopP = Type.Number({ minimum: 0, maximum: 1 })
const Instructions = Type.String({ maxLength: 256_000 })

const assistantFields = {
  name: Maybe(Type.String({ maxLength: 256 })),
  description: Maybe(Type.String({ maxLength: 512 })),
  instructions: Maybe(Instructions),
  tools: Type.Optional(Type.Array(Tool, { maxItems: 128 })),
  temperature: Maybe(Temperature),
  top_p: Maybe(TopP),
  response_format: Maybe(ResponseFormat),
  reasoning_effort: Maybe(ReasoningEffort),
}
const Model = Type.String({ minLength: 1, maxLength: 256 })

export const CreateAssistant = Type.Object(
  { ...assistantFields, model: Model, tool_resources: Maybe(NewToolResources), metadata: Maybe(Metadata) },
  closed,
)
export const ModifyAssistant = Type.Object(
  {
    ...assistantFields,
    model: Type.Optional(Model),
    tool_resources: Maybe(ToolResources),
    metadata: Maybe(MetadataChange),
  },
  closed,
)

/** Its beginning is looked at: `data:` URLs may be long. */
const Url = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9+.-]*:' })
const imageDetail = Type.Optional(Literals('auto', 'low', 'high'))
const ContentPart = Type.Union([
  Type.Object(
    { type: Type.Literal('text'), text: Type.String({ minLength: 1, maxLength: 256_000 }) },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('image_file'),
      image_file: Type.Object({ file_id: Type.String(), detail: imageDetail }, closed),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('image_url'),
      image_url: Type.Object({ url: Url, detail: imageDetail }, closed),
    },
    closed,
  ),
])

export const CreateMessage = Type.Object(
  {
    role: Literals('user', 'assistant'),
    content: Type.Union([
      Type.String({ minLength: 1, maxLength: 256_000 }),
      Type.Array(ContentPart, { minItems: 1, maxItems: 1_000 }),
    ]),
    attachments: Maybe(
      Type.Array(
        Type.Object(
          {
            file_id: Type.String(),
            tools: Type.Array(Type.Object({ type: HostedToolName }, closed), {
              maxItems: 20,
            }),
          },
          closed,
        ),
        { maxItems: 100 },
      ),
    ),
    metadata: Maybe(Metadata),
  },
  closed,
)

export const CreateThread = Type.Object(
  {
    messages: Type.Optional(Type.Array(CreateMessage, { maxItems: 10_000 })),
    tool_resources: Maybe(NewToolResources),
    metadata: Maybe(Metadata),
  },
  closed,
)
export const ModifyThread = Type.Object(
  { tool_resources: Maybe(ToolResources), metadata: Maybe(MetadataChange) },
  closed,
)
export const ModifyMetadata = Type.Object({ metadata: Maybe(MetadataChange) }, closed)

const runFields = {
  assistant_id: Type.String(),
  model: Maybe(Model),
  instructions: Maybe(Type.String()),
  tools: Maybe(Type.Array(Tool, { maxItems: 20 })),
  metadata: Maybe(Metadata),
  temperature: Maybe(Temperature),
  top_p: Maybe(TopP),
  stream: Maybe(Type.Boolean()),
  max_prompt_tokens: Maybe(Type.Integer({ minimum: 256 })),
  max_completion_tokens: Maybe(Type.Integer({ minimum: 256 })),
  truncation_strategy: Maybe(
    Type.Object(
      { type: Literals('auto', 'last_messages'), last_messages: Maybe(Type.Integer({ minimum: 1 })) },
      closed,
    ),
  ),
  tool_choice: Maybe(ToolChoice),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  response_format: Maybe(ResponseFormat),
  reasoning_effort: Maybe(ReasoningEffort),
}

export const CreateRun = Type.Object(
  {
    ...runFields,
    additional_instructions: Maybe(Type.String()),
    additional_messages: Maybe(Type.Array(CreateMessage, { maxItems: 10_000 })),
  },
  closed,
)
export const CreateThreadAndRun = Type.Object(
  { ...runFields, thread: Type.Optional(CreateThread), tool_resources: Maybe(ToolResources) },
  closed,
)
export const SubmitToolOutputs = Type.Object(
  {
    tool_outputs: Type.Array(
      Type.Object(
        { tool_call_id: Type.Optional(Type.String()), output: Type.Optional(Type.String()) },
        closed,
      ),
      { maxItems: 1_000 },
    ),
    stream: Maybe(Type.Boolean()),
  },
  closed,
)

export type CreateAssistant = Static<typeof CreateAssistant>
export type ModifyAssistant = Static<typeof ModifyAssistant>
export type CreateMessage = Static<typeof CreateMessage>
export type CreateThread = Static<typeof CreateThread>
export type ModifyThread = Static<typeof ModifyThread>
export type ModifyMetadata = Static<typeof ModifyMetadata>
export type CreateRun = Static<typeof CreateRun>
export type CreateThreadAndRun = Static<typeof CreateThreadAndRun>
export type SubmitToolOutputs = Static<typeof SubmitToolOutputs>
export type RunFields = Static<ReturnType<typeof Type.Object<typeof runFields>>>
