import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { toMemgptError } from '../contract/memgpt-errors.ts'
import { reasonOf } from '../log.ts'
import { bodyLimit } from './body.ts'
import type { HttpContext } from './context.ts'
import type { Dialect } from './dialect.ts'

// Whatever a request fails with becomes one of the registry's errors, in the words of the request's dialect.

/** Sends the answer to a request that failed; what is not the client's mistake is logged. */
export function answerError(
  context: HttpContext,
  dialect: Dialect,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const answer = toApiError(error)
  if (answer.status >= 500) {
    const route = request.routeOptions.url ?? 'unknown'
    context.log.error('a request failed', { request: request.id, route, reason: reasonOf(error) })
  }
  if (answer.key === 'not_ready') reply.header('retry-after', '1')
  if (dialect === 'openai') return reply.code(answer.status).send(answer.body())
  const place = request.method === 'GET' ? 'query' : 'body'
  const { status, body } = toMemgptError(answer, place, place === 'query' ? request.query : request.body)
  return reply.code(status).send(body)
}

/** Errors of Postgres that mean "not now": connection lost or refused, too many connections, shutting down, timed out. */
const transient =
  /^(08...|53...|57P0.|57014|55P03|40P01|ECONN.*|ENOENT|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH)$/
const lost =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error/

/** The registry's error for anything that a request may fail with. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
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
  if (lost.test(reasonOf(error)) || (typeof code === 'string' && transient.test(code))) {
    return new ApiError('not_ready', 'The database does not answer at the moment. Try again shortly.')
  }
  return new ApiError('internal', 'The server had an error while processing your request.')
}
