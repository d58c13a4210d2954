import { Type, type Static, type TSchema } from 'typebox'

// Wire shapes of the v2 dialect (wire.md §4-§6). One definition gives the TypeScript type and the JSON schema.

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export type Metadata = Record<string, string>

export const FunctionTool = Type.Object(
  {
    type: Type.Literal('function'),
    function: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 64 }),
        description: Type.Optional(Type.String()),
        parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
        strict: Type.Optional(Nullable(Type.Boolean())),
      },
      { additionalProperties: false },
    ),
  },
  { additionalProperties: false },
)
export type FunctionTool = Static<typeof FunctionTool>

export type Tool = FunctionTool | { type: 'code_interpreter' } | { type: 'file_search'; file_search?: Record<string, unknown> }

export type ToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { type: 'function'; function: { name: string } }
  | { type: 'file_search' }
  | { type: 'code_interpreter' }

export type ResponseFormat =
  | 'auto'
  | { type: 'text' }
  | { type: 'json_object' }
  | { type: 'json_schema'; json_schema: { name: string; description?: string; schema?: Record<string, unknown>; strict?: boolean | null } }
