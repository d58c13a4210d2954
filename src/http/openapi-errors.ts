import { ApiError, ErrorResponse, errorKinds, type ErrorKey } from '../contract/errors.ts'
import { HTTPValidationError, MemgptError, toMemgptError } from '../contract/memgpt-errors.ts'
import type { JsonSchema } from './openapi-schema.ts'
import type { Operation } from './route.ts'

// Which errors an operation answers: those that follow from its shape, and those that it names.

/** The errors of one status. */
export interface ErrorAnswer {
  status: number
  keys: ErrorKey[]
  schema: typeof ErrorResponse | typeof MemgptError | typeof HTTPValidationError
}

/** The error answers of an operation, by status. */
export function errorAnswers(operation: Operation): ErrorAnswer[] {
  const answers = new Map<number, ErrorAnswer>()
  const keys = new Set([...errorsOfShape(operation), ...(operation.errors ?? [])])
  // In the order of the registry, which is that of docs/errors.md.
  for (const key of Object.keys(errorKinds) as ErrorKey[]) {
    if (!keys.has(key)) continue
    const { status, schema } = answerOf(key, operation)
    const answer = answers.get(status) ?? { status, keys: [], schema }
    answer.keys.push(key)
    answers.set(status, answer)
  }
  return [...answers.values()].toSorted((a, b) => a.status - b.status)
}

function answerOf(key: ErrorKey, { dialect }: Operation): Pick<ErrorAnswer, 'status' | 'schema'> {
  if (dialect !== 'memgpt') return { status: errorKinds[key].status, schema: ErrorResponse }
  const { status, body } = toMemgptError(new ApiError(key, ''), 'body', {})
  return { status, schema: Array.isArray(body.detail) ? HTTPValidationError : MemgptError }
}

/** What may be wrong with the Idempotency-Key that any POST may have. */
const keyErrors = [
  'malformed_idempotency_key',
  'idempotency_key_reused',
  'idempotency_key_in_use',
] as const satisfies ErrorKey[]

function errorsOfShape(operation: Operation): ErrorKey[] {
  const { method, path, query, body, form, dialect, policy, admin } = operation
  const ids = path.includes('_id}')
  return [
    // Any request may lack a host or a key or come from where it may not, name a dialect that there is not, or come at a bad moment.
    'malformed_request',
    'host_not_allowed',
    'origin_not_allowed',
    'missing_api_key',
    'invalid_api_key',
    'conflicting_credentials',
    'rate_limited',
    'unknown_dialect',
    'not_ready',
    'internal',
    // Texts may hold what cannot be stored, such as NUL.
    ...(query || body || form ? (['invalid_value'] as const) : []),
    ...(method === 'GET' ? [] : (['outcome_unknown', 'unsupported_content_type'] as const)),
    ...(method === 'POST' && !admin ? keyErrors : []),
    ...(method === 'GET' || form ? [] : (['malformed_json', 'body_too_large'] as const)),
    ...(form ? (['malformed_form', 'file_too_large'] as const) : []),
    // An id of the dialect memgpt has no form.
    ...(ids && !admin && dialect !== 'memgpt' && !path.startsWith('/files')
      ? (['malformed_id'] as const)
      : []),
    ...(policy ? (['unknown_thread_policy'] as const) : []),
    ...(policy === 'applies' ? (['thread_queue_full'] as const) : []),
    ...(path.includes('{') ? (['not_found'] as const) : []),
    ...(query && 'after' in query.properties ? (['unknown_cursor'] as const) : []),
    ...[query, body, form].flatMap((schema) => (schema ? errorsOfSchema(schema as JsonSchema) : [])),
  ]
}

/** What a value is told that breaks each rule of a schema. */
function errorsOfSchema(schema: JsonSchema): ErrorKey[] {
  const word = schema.type === 'integer' ? 'integer' : 'number'
  const { properties = {}, additionalProperties: rest, propertyNames, items, anyOf = [] } = schema
  const rules: [unknown, ErrorKey][] = [
    [schema.type ?? schema.enum, 'invalid_type'],
    [schema.const ?? schema.enum ?? schema.pattern, 'invalid_value'],
    [schema.required?.length, 'missing_parameter'],
    [rest === false, 'unknown_parameter'],
    [schema.maxLength, 'string_too_long'],
    [schema.minLength, 'string_too_short'],
    [schema.maxItems, 'array_too_long'],
    [schema.minItems, 'array_too_short'],
    [schema.maxProperties, 'object_too_large'],
    [propertyNames?.maxLength, 'property_name_too_long'],
    [schema.maximum, `${word}_too_large`],
    [schema.minimum, `${word}_too_small`],
  ]
  const parts = [...Object.values(properties), ...anyOf, items, typeof rest === 'object' ? rest : undefined]
  return [
    // A bound may be 0.
    ...rules.flatMap(([rule, key]) => (rule === undefined || rule === false ? [] : [key])),
    ...parts.flatMap((part) => (part ? errorsOfSchema(part) : [])),
  ]
}
