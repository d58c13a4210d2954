import { Type, type Static } from 'typebox'
import { closed, Literals, Maybe, Metadata, MetadataChange } from './schema.ts'
import {
  HostedToolName,
  ImageDetail,
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

const Temperature = Type.Number({
  minimum: 0,
  maximum: 2,
  description: 'Passed on to the model, if it was set by the run or the assistant',
})
const TopP = Type.Number({
  minimum: 0,
  maximum: 1,
  description: 'Passed on to the model, if it was set by the run or the assistant',
})
const Instructions = Type.String({
  maxLength: 256_000,
  description: 'What the model is told before the messages',
})

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
const Model = Type.String({
  minLength: 1,
  maxLength: 256,
  description: 'A model of `/v1/models`, or a name that `MODEL_ALIASES` leads to one',
})

export const CreateAssistant = Type.Object(
  { ...assistantFields, model: Model, tool_resources: Maybe(NewToolResources), metadata: Maybe(Metadata) },
  { ...closed, title: 'CreateAssistant', examples: [{ model: 'demo', instructions: 'Be brief.' }] },
)
export const ModifyAssistant = Type.Object(
  {
    ...assistantFields,
    model: Type.Optional(Model),
    tool_resources: Maybe(ToolResources),
    metadata: Maybe(MetadataChange),
  },
  {
    ...closed,
    title: 'ModifyAssistant',
    description: 'What is not sent stays as it is; null takes a value back to its default.',
    examples: [{ instructions: 'Be kind, too.' }],
  },
)

/** Its beginning is looked at: `data:` URLs may be long. */
const Url = Type.String({
  pattern: '^[A-Za-z][A-Za-z0-9+.-]*:',
  description: 'Handed on to the model, which fetches it',
})
const ContentPart = Type.Union([
  Type.Object(
    { type: Type.Literal('text'), text: Type.String({ minLength: 1, maxLength: 256_000 }) },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('image_file'),
      image_file: Type.Object({ file_id: Type.String(), detail: Type.Optional(ImageDetail) }, closed),
    },
    closed,
  ),
  Type.Object(
    {
      type: Type.Literal('image_url'),
      image_url: Type.Object({ url: Url, detail: Type.Optional(ImageDetail) }, closed),
    },
    closed,
  ),
])

export const CreateMessage = Type.Object(
  {
    role: Literals('user', 'assistant'),
    content: Type.Union(
      [
        Type.String({ minLength: 1, maxLength: 256_000 }),
        Type.Array(ContentPart, { minItems: 1, maxItems: 1_000 }),
      ],
      { description: 'A text, or a list of texts and images' },
    ),
    attachments: Maybe(
      Type.Array(
        Type.Object(
          {
            file_id: Type.String(),
            tools: Type.Array(Type.Object({ type: HostedToolName }, closed), {
              maxItems: 20,
              description: 'The tools that the file is for',
            }),
          },
          closed,
        ),
        { maxItems: 100 },
      ),
    ),
    metadata: Maybe(Metadata),
  },
  {
    ...closed,
    title: 'CreateMessage',
    examples: [{ role: 'user', content: 'How did people grind corn?' }],
  },
)

export const CreateThread = Type.Object(
  {
    messages: Type.Optional(Type.Array(CreateMessage, { maxItems: 10_000 })),
    tool_resources: Maybe(NewToolResources),
    metadata: Maybe(Metadata),
  },
  {
    ...closed,
    title: 'CreateThread',
    examples: [{ messages: [{ role: 'user', content: 'How did people grind corn?' }] }],
  },
)
export const ModifyThread = Type.Object(
  { tool_resources: Maybe(ToolResources), metadata: Maybe(MetadataChange) },
  { ...closed, title: 'ModifyThread', examples: [{ metadata: { topic: 'mills' } }] },
)
export const ModifyMetadata = Type.Object(
  { metadata: Maybe(MetadataChange) },
  { ...closed, title: 'ModifyMetadata', examples: [{ metadata: { topic: 'mills' } }] },
)

const Stream = Type.Boolean({ description: "Whether the answer is a stream of the run's events" })

const runFields = {
  assistant_id: Type.String(),
  model: Maybe(Model),
  instructions: Maybe(Type.String({ description: "In place of the assistant's" })),
  tools: Maybe(
    Type.Array(Tool, { maxItems: 20, description: "In place of the assistant's; an empty list means none" }),
  ),
  metadata: Maybe(Metadata),
  temperature: Maybe(Temperature),
  top_p: Maybe(TopP),
  stream: Maybe(Stream),
  max_prompt_tokens: Maybe(
    Type.Integer({
      minimum: 256,
      description: 'Over all turns; a run that needs more ends as `incomplete`',
    }),
  ),
  max_completion_tokens: Maybe(
    Type.Integer({
      minimum: 256,
      description: 'Over all turns; a run that needs more ends as `incomplete`',
    }),
  ),
  truncation_strategy: Maybe(
    Type.Object(
      {
        type: Literals('auto', 'last_messages'),
        last_messages: Maybe(
          Type.Integer({
            minimum: 1,
            description: 'How many messages the model is shown, for `last_messages`',
          }),
        ),
      },
      { ...closed, description: 'What the model is shown of the thread; `auto` is what fits' },
    ),
  ),
  tool_choice: Maybe(ToolChoice),
  parallel_tool_calls: Type.Optional(
    Type.Boolean({ default: true, description: 'Whether the model may ask for several calls at once' }),
  ),
  response_format: Maybe(ResponseFormat),
  reasoning_effort: Maybe(ReasoningEffort),
}

export const CreateRun = Type.Object(
  {
    ...runFields,
    additional_instructions: Maybe(Type.String({ description: 'Appended to the instructions' })),
    additional_messages: Maybe(
      Type.Array(CreateMessage, {
        maxItems: 10_000,
        description: 'Added to the thread together with the run, or not at all',
      }),
    ),
  },
  {
    ...closed,
    title: 'CreateRun',
    examples: [{ assistant_id: 'asst_0Cp7dQ2vKfMz8sLh1TnYbW4x' }],
  },
)
export const CreateThreadAndRun = Type.Object(
  { ...runFields, thread: Type.Optional(CreateThread), tool_resources: Maybe(ToolResources) },
  {
    ...closed,
    title: 'CreateThreadAndRun',
    examples: [
      {
        assistant_id: 'asst_0Cp7dQ2vKfMz8sLh1TnYbW4x',
        thread: { messages: [{ role: 'user', content: 'How did people grind corn?' }] },
        stream: true,
      },
    ],
  },
)
export const SubmitToolOutputs = Type.Object(
  {
    tool_outputs: Type.Array(
      Type.Object(
        { tool_call_id: Type.Optional(Type.String()), output: Type.Optional(Type.String()) },
        closed,
      ),
      { maxItems: 1_000, description: 'One for each call that the run waits for' },
    ),
    stream: Maybe(Stream),
  },
  {
    ...closed,
    title: 'SubmitToolOutputs',
    examples: [{ tool_outputs: [{ tool_call_id: 'call_0Cp7dQ2vKfMz8sLh1TnYbW4x', output: '22 degrees' }] }],
  },
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
