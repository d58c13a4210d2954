import { Type, type Static } from 'typebox'
import { Nullable } from './schema.ts'

// The one registry of errors that this server answers (wire.md §9). docs/errors.md lists each key, and a test
// fails when either side misses one.

/** What every error says; `type` and `code` are those of its kind. */
export const ErrorFields = Type.Object(
  {
    message: Type.String({ description: 'What was wrong and what to do' }),
    type: Type.String(),
    param: Nullable(Type.String({ description: 'The path of the field that was wrong' })),
    code: Nullable(Type.String()),
  },
  { title: 'Error' },
)
export const ErrorResponse = Type.Object({ error: ErrorFields }, { title: 'ErrorResponse' })
export type ErrorBody = Static<typeof ErrorResponse>

interface ErrorKind {
  status: number
  type: 'invalid_request_error' | 'server_error' | 'requests' | 'tokens'
  code: string | null
}

const invalid = (code: string | null, status = 400): ErrorKind => ({
  status,
  type: 'invalid_request_error',
  code,
})

export const errorKinds = {
  active_run_blocks_message: invalid(null),
  active_run_blocks_message_delete: invalid(null),
  active_run_blocks_run: invalid(null),
  thread_queue_full: invalid('thread_queue_full', 429),
  thread_too_long: invalid('thread_too_long'),
  run_takes_no_outputs: invalid(null),
  outputs_do_not_match: invalid(null),
  run_not_cancellable: invalid(null),
  model_not_found: invalid('model_not_found'),
  tool_choice_unknown: invalid(null),
  tool_not_available: invalid(null),
  not_found: invalid(null, 404),
  malformed_id: invalid('invalid_value'),
  missing_parameter: invalid('missing_required_parameter'),
  unknown_parameter: invalid('unknown_parameter'),
  invalid_type: invalid('invalid_type'),
  invalid_value: invalid('invalid_value'),
  string_too_long: invalid('string_above_max_length'),
  string_too_short: invalid('string_below_min_length'),
  array_too_long: invalid('array_above_max_length'),
  array_too_short: invalid('array_below_min_length'),
  object_too_large: invalid('object_above_max_properties'),
  property_name_too_long: invalid('property_name_above_max_length'),
  integer_too_large: invalid('integer_above_max_value'),
  integer_too_small: invalid('integer_below_min_value'),
  number_too_large: invalid('decimal_above_max_value'),
  number_too_small: invalid('decimal_below_min_value'),
  unknown_cursor: invalid('invalid_value'),
  malformed_json: invalid(null),
  unsupported_content_type: invalid(null, 415),
  body_too_large: invalid(null, 413),
  malformed_form: invalid(null),
  file_too_large: invalid(null, 413),
  malformed_request: invalid(null),
  unknown_dialect: invalid('invalid_value'),
  unknown_thread_policy: invalid('invalid_value'),
  malformed_idempotency_key: invalid('invalid_value'),
  idempotency_key_reused: invalid('idempotency_key_reused'),
  idempotency_key_in_use: invalid('idempotency_key_in_use', 409),
  missing_api_key: invalid(null, 401),
  invalid_api_key: invalid('invalid_api_key', 401),
  rate_limited: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  too_many_runs: { status: 429, type: 'requests', code: 'rate_limit_exceeded' },
  tokens_spent: { status: 429, type: 'tokens', code: 'rate_limit_exceeded' },
  project_exists: invalid('project_exists'),
  secrets_key_missing: invalid('secrets_key_missing'),
  operators_only: invalid('operators_only', 403),
  conflicting_credentials: invalid('conflicting_credentials'),
  host_not_allowed: invalid('host_not_allowed', 403),
  origin_not_allowed: invalid('origin_not_allowed', 403),
  headers_too_large: invalid(null, 431),
  expectation_failed: invalid(null, 417),
  request_timeout: invalid(null, 408),
  unknown_url: invalid('unknown_url', 404),
  model_unreachable: { status: 502, type: 'server_error', code: null },
  not_ready: { status: 503, type: 'server_error', code: null },
  outcome_unknown: { status: 503, type: 'server_error', code: null },
  internal: { status: 500, type: 'server_error', code: null },
} as const satisfies Record<string, ErrorKind>

export type ErrorKey = keyof typeof errorKinds

/** An error with its place in the registry; thrown anywhere, answered by http in the request's dialect. */
export class ApiError extends Error {
  readonly key: ErrorKey
  readonly param: string | null
  constructor(key: ErrorKey, message: string, param: string | null = null) {
    super(message)
    this.name = 'ApiError'
    this.key = key
    this.param = param
  }

  get status(): number {
    return errorKinds[this.key].status
  }

  /** The v2 envelope. */
  body(): ErrorBody {
    const { type, code } = errorKinds[this.key]
    return { error: { message: this.message, type, param: this.param, code } }
  }
}

/** `{ error }` and the same fields beside it: the one form of an error event that every SDK raises (overrides.json). */
export function errorEvent(error: ApiError): { event: 'error'; data: ErrorBody & ErrorBody['error'] } {
  const body = error.body()
  return { event: 'error', data: { ...body, ...body.error } }
}

/** 404 for an id that this project does not hold. `noun` is the word of the message: thread, run, message, ... */
export function notFound(noun: string, id: string): ApiError {
  return new ApiError('not_found', `No ${noun} found with id '${id}'.`)
}

/** 404 for a file that this project does not hold. */
export function fileNotFound(id: string): ApiError {
  return new ApiError('not_found', `No such File object: ${id}`, 'id')
}

/** 404 for a method and a URL that nothing answers to; of the URL the path alone is told. */
export function unknownUrl(method: string, url: string): ApiError {
  const [path] = url.split('?')
  return new ApiError('unknown_url', `Unknown request URL: ${method} ${path}.`)
}
