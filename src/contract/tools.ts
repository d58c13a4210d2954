import { Type, type Static } from 'typebox'
import { closed, Literals, Maybe, Nullable } from './schema.ts'

// What assistants and runs are set to do (wire.md §4, §5): the same shapes in requests and in answers.

export const FunctionTool = Type.Object(
  {
    type: Type.Literal('function'),
    function: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 64 }),
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

export const ToolResources = Type.Object(
  {
    code_interpreter: Type.Optional(
      Type.Object({ file_ids: Type.Optional(Type.Array(Type.String(), { maxItems: 20 })) }, closed),
    ),
    file_search: Type.Optional(
      Type.Object(
        {
          vector_store_ids: Type.Optional(Type.Array(Type.String(), { maxItems: 1 })),
          vector_stores: Type.Optional(
            Type.Array(Type.Record(Type.String(), Type.Unknown()), { maxItems: 1 }),
          ),
        },
        closed,
      ),
    ),
  },
  { ...closed, title: 'ToolResources' },
)

export type FunctionTool = Static<typeof FunctionTool>
export type Tool = Static<typeof Tool>
export type HostedToolName = Static<typeof HostedToolName>
export type ToolChoice = Static<typeof ToolChoice>
export type ResponseFormat = Static<typeof ResponseFormat>
export type TruncationStrategy = Static<typeof TruncationStrategy>
export type ToolResources = Static<typeof ToolResources>
