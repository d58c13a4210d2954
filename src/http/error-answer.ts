import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { toMemgptError } from '../contract/memgpt-errors.ts'
import { reasonOf } from '../log.ts'
import { UnknownOutcome } from '../store/group-commit.ts'
import { connectionBroke, NotDone } from '../store/pool.ts'
import { bodyLimit } from './body.ts'
import type { HttpContext } from './context.ts'
import type { Dialect } from './dialect.ts'

// Whatever a request fails with becomes one of the registry's errors, in the words of the request's dialect.

/** What a request that failed is answered. */
export interface ErrorAnswer {
  error: ApiError
  status: number
  body: object
}

/** The answer to a request that failed, in the words of its dialect. */
export function errorAnswer(dialect: Dialect, failure: unknown, request: FastifyRequest): ErrorAnswer {
  const error = toApiError(failure, request.method !== 'GET')
  if (dialect === 'openai') return { error, status: error.status, body: error.body() }
  const place = request.method === 'GET' ? 'query' : 'body'
  return { error, ...toMemgptError(error, place, place === 'query' ? request.query : request.body) }
}

/** Sends the answer to a request that failed; what is not the client's mistake is logged. */
export function answerError(
  context: HttpContext,
  dialect: Dialect,
  failure: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { error, status, body } = errorAnswer(dialect, failure, request)
  if (error.status >= 500) {
    const route = request.routeOptions.url ?? 'unknown'
    context.log.error('a request failed', { request: request.id, route, reason: reasonOf(failure) })
  }
  // RFC 9110 §11.6.1
  if (error.status === 401) reply.header('www-authenticate', 'Bearer')
  if (['not_ready', 'idempotency_key_in_use', 'too_many_runs'].includes(error.key))
    reply.header('retry-after', '1')
  // SDKs repeat a 503 by themselves, and what may have been done must not be done twice (wire.md §1). Nor is it of use to ask for
  // what is there again tomorrow.
  if (error.key === 'outcome_unknown' || error.key === 'tokens_spent') reply.header('x-should-retry', 'false')
  return reply.code(status).send(body)
}

/** Errors that mean "not now", and that nothing was done: no connection, no room, someone holds the row. */
const notDone = /^(53...|57P03|57014|55P03|40P01|40001|ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/
const notDoneText = /timeout exceeded when trying to connect|terminated due to connection timeout/

/** The registry's error for anything that a request may fail with; `writes` says that it was to change something. */
function toApiError(error: unknown, writes: boolean): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof UnknownOutcome) return outcomeUnknown()
  if (error instanceof NotDone) return notReady()
  const { code, statusCode } = error as { code?: unknown; statusCode?: unknown }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new ApiError('body_too_large', `The request body is larger than the limit of ${bodyLimit} bytes.`)
  }
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_MAX_PARAM_LENGTH') {
    return new ApiError('unknown_url', 'Unknown request URL: its path cannot be read or has too long an id.')
  }
  if (typeof code === 'string' && code.startsWith('FST_ERR_CTP')) {
    return new ApiError('unsupported_content_type', "Send the request body as 'application/json'.")
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new ApiError('malformed_json', 'The request could not be read.')
  }
  if ((typeof code === 'string' && notDone.test(code)) || notDoneText.test(reasonOf(error))) return notReady()
  if (connectionBroke(error)) return writes ? outcomeUnknown() : notReady()
  return new ApiError('internal', 'The server had an error while processing your request.')
}

function notReady(): ApiError {
  return new ApiError('not_ready', 'The database does not answer at the moment. Try again shortly.')
}

function outcomeUnknown(): ApiError {
  return new ApiError(
    'outcome_unknown',
    'The database went away while it saved this. Look whether it was done before you try again.',
  )
}
