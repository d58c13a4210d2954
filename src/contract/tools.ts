import { Type, type Static } from 'typebox'
import { closed, Literals, Maybe, Metadata, Nullable } from './schema.ts'

// What assistants and runs are set to do (wire.md §4, §5): the same shapes in requests and in answers.

export const FunctionTool = Type.Object(
  {
    type: Type.Literal('function'),
    function: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-zA-Z0-9_-]+$' }),
        description: Type.Optional(Type.String()),
        parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        strict: Maybe(Type.Boolean()),
      },
      closed,
    ),
  },
  { ...closed, title: 'FunctionTool' },
)

const CodeInterpreterTool = Type.Object({ type: Type.Literal('code_interpreter') }, closed)

const FileSearchTool = Type.Object(
  {
    type: Type.Literal('file_search'),
    file_search: Type.Optional(
      Type.Object(
        {
          max_num_results: Type.Optional(Type.Integer({ minimum: 1, maximum: 50 })),
          ranking_options: Type.Optional(
            Type.Object(
              {
                ranker: Type.Optional(Literals('auto', 'default_2024_08_21')),
                score_threshold: Type.Number({ minimum: 0, maximum: 1 }),
              },
              closed,
            ),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
)

export const Tool = Type.Union([FunctionTool, CodeInterpreterTool, FileSearchTool], { title: 'Tool' })

/** A tool that the hosted service ran itself. */
export const HostedToolName = Literals('code_interpreter', 'file_search')

export const ToolChoice = Type.Union(
  [
    Literals('none', 'auto', 'required'),
    Type.Object(
      { type: Type.Literal('function'), function: Type.Object({ name: Type.String() }, closed) },
      closed,
    ),
    Type.Object({ type: Type.Literal('file_search') }, closed),
    Type.Object({ type: Type.Literal('code_interpreter') }, closed),
  ],
  { title: 'ToolChoice' },
)

export const ResponseFormat = Type.Union(
  [
    Type.Literal('auto'),
    Type.Object({ type: Type.Literal('text') }, closed),
    Type.Object({ type: Type.Literal('json_object') }, closed),
    Type.Object(
      {
        type: Type.Literal('json_schema'),
        json_schema: Type.Object(
          {
            name: Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
            description: Type.Optional(Type.String()),
            schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
            strict: Maybe(Type.Boolean()),
          },
          closed,
        ),
      },
      closed,
    ),
  ],
  { title: 'ResponseFormat' },
)

/** What a run shows; a request may leave last_messages out. */
export const TruncationStrategy = Type.Object(
  { type: Literals('auto', 'last_messages'), last_messages: Nullable(Type.Integer({ minimum: 1 })) },
  closed,
)

export const ReasoningEffort = Literals('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max')

const codeFiles = Type.Optional(
  Type.Object({ file_ids: Type.Optional(Type.Array(Type.String(), { maxItems: 20 })) }, closed),
)
const storeIds = Type.Optional(Type.Array(Type.String(), { maxItems: 1 }))

/** What a tool works with, as it is shown and changed. */
export const ToolResources = Type.Object(
  {
    code_interpreter: codeFiles,
    file_search: Type.Optional(Type.Object({ vector_store_ids: storeIds }, closed)),
  },
  { ...closed, title: 'ToolResources' },
)

const ChunkingStrategy = Type.Union(
  [
    Type.Object({ type: Type.Literal('auto') }, closed),
    Type.Object(
      {
        type: Type.Literal('static'),
        static: Type.Object(
          {
            max_chunk_size_tokens: Type.Integer({ minimum: 100, maximum: 4_096 }),
            chunk_overlap_tokens: Type.Integer({ minimum: 0 }),
          },
          closed,
        ),
      },
      closed,
    ),
  ],
  { title: 'ChunkingStrategy' },
)

const VectorStoreHelper = Type.Object(
  {
    file_ids: Type.Optional(Type.Array(Type.String())),
    chunking_strategy: Type.Optional(ChunkingStrategy),
    metadata: Maybe(Metadata),
  },
  { ...closed, title: 'VectorStoreHelper' },
)

/** What a tool is to work with, at a creation: besides the ids of vector stores, one store to be made. */
export const NewToolResources = Type.Object(
  {
    code_interpreter: codeFiles,
    file_search: Type.Optional(
      Type.Object(
        {
          vector_store_ids: storeIds,
          vector_stores: Type.Optional(Type.Array(VectorStoreHelper, { maxItems: 1 })),
        },
        closed,
      ),
    ),
  },
  { ...closed, title: 'NewToolResources' },
)

export type FunctionTool = Static<typeof FunctionTool>
export type Tool = Static<typeof Tool>
export type HostedToolName = Static<typeof HostedToolName>
export type ToolChoice = Static<typeof ToolChoice>
export type ResponseFormat = Static<typeof ResponseFormat>
export type TruncationStrategy = Static<typeof TruncationStrategy>
export type ToolResources = Static<typeof ToolResources>
export type NewToolResources = Static<typeof NewToolResources>
