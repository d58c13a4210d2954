import { Type, type Static } from 'typebox'
import type { ApiError, ErrorKey } from './errors.ts'

// Errors in the memgpt dialect (memgpt-dialect.md §2-§4): `{detail}` as FastAPI wrote it, and 422 with a list of
// places for a request that does not fit the schema.

export const MemgptError = Type.Object({ detail: Type.String() }, { title: 'MemgptError' })

export const ValidationError = Type.Object(
  {
    loc: Type.Array(Type.Union([Type.String(), Type.Integer()])),
    msg: Type.String(),
    type: Type.String(),
    input: Type.Optional(Type.Unknown()),
  },
  { title: 'ValidationError' },
)

export const HTTPValidationError = Type.Object(
  { detail: Type.Array(ValidationError) },
  { title: 'HTTPValidationError' },
)

export type MemgptError = Static<typeof MemgptError>
export type HTTPValidationError = Static<typeof HTTPValidationError>

/** The names that pydantic has for what does not fit a schema. A key that is not here is answered as `{detail}`. */
const schemaFaults: Partial<Record<ErrorKey, string>> = {
  malformed_json: 'json_invalid',
  missing_parameter: 'missing',
  unknown_parameter: 'extra_forbidden',
  invalid_type: 'type_error',
  invalid_value: 'value_error',
  string_too_long: 'string_too_long',
  string_too_short: 'string_too_short',
  array_too_long: 'too_long',
  array_too_short: 'too_short',
  object_too_large: 'too_long',
  property_name_too_long: 'string_too_long',
  integer_too_large: 'less_than_equal',
  integer_too_small: 'greater_than_equal',
  number_too_large: 'less_than_equal',
  number_too_small: 'greater_than_equal',
}

/**
 * Status and body of an error in the memgpt dialect. `place` is where the fault lies and `input` what the client
 * sent there.
 */
export function toMemgptError(
  error: ApiError,
  place: 'body' | 'query',
  input: unknown,
): { status: number; body: MemgptError | HTTPValidationError } {
  const type = schemaFaults[error.key]
  if (type === undefined || error.status !== 400) {
    // An unknown cursor is an unknown id, and the dialect says 404 to all of those.
    const status = error.key === 'unknown_cursor' ? 404 : error.status
    return { status, body: { detail: status === 401 ? 'Unauthorized' : error.message } }
  }
  const path = pathOf(error.param)
  // Of a missing field pydantic shows the object that lacks it.
  const shown = valueAt(input, type === 'missing' ? path.slice(0, -1) : path)
  const fault: Static<typeof ValidationError> = {
    type,
    loc: [place, ...path],
    msg: type === 'missing' ? 'Field required' : error.message,
    ...(shown === undefined ? {} : { input: shown }),
  }
  return { status: 422, body: { detail: [fault] } }
}

/** `messages[0].content` as its parts. */
function pathOf(param: string | null): (string | number)[] {
  const parts = param?.match(/[^.[\]]+/g) ?? []
  return parts.map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}

function valueAt(input: unknown, path: (string | number)[]): unknown {
  let value: unknown = input ?? {}
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}
