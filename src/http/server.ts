import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { newRequestId } from '../contract/ids.ts'
import { reasonOf } from '../log.ts'
import { bodyLimit, registerBodyParsers } from './body.ts'
import type { HttpContext } from './context.ts'
import { assistantRoutes } from './routes/assistants.ts'
import { messageRoutes } from './routes/messages.ts'
import { modelRoutes } from './routes/models.ts'
import { runRoutes } from './routes/runs.ts'
import { serviceRoutes } from './routes/service.ts'
import { stepRoutes } from './routes/steps.ts'
import { threadRoutes } from './routes/threads.ts'

/** Builds the HTTP server; the caller listens and closes. */
export function buildServer(context: HttpContext): FastifyInstance {
  const app = Fastify({
    bodyLimit,
    logger: false,
    genReqId: newRequestId,
    // Above the 60 s at which common load balancers drop idle connections.
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 256 },
    return503OnClosing: false,
    // What fails before a route is found, such as a path with a broken percent escape, answers like the rest.
    frameworkErrors: (error, request, reply) => {
      standardHeaders(request, reply)
      answerError(context, error, request, reply)
    },
  })
  registerBodyParsers(app)
  app.addHook('onRequest', async (request, reply) => standardHeaders(request, reply))
  app.addHook('onSend', async (_request, reply) => {
    reply.header('openai-processing-ms', Math.ceil(reply.elapsedTime))
  })
  app.setNotFoundHandler((request) => {
    throw new ApiError('unknown_url', `Unknown request URL: ${request.method} ${request.url.split('?')[0]}.`)
  })
  app.setErrorHandler((error, request, reply) => answerError(context, error, request, reply))
  for (const routes of [
    serviceRoutes,
    modelRoutes,
    assistantRoutes,
    threadRoutes,
    messageRoutes,
    runRoutes,
    stepRoutes,
  ]) {
    routes(app, context)
  }
  return app
}

/** wire.md §1 "Response headers"; set early, so that streams carry them too. */
function standardHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({
    'x-request-id': request.id,
    'openai-version': '2020-10-01',
    'x-assistants-dialect': 'openai',
  })
}

function answerError(
  context: HttpContext,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const answer = toApiError(error)
  if (answer.key === 'internal' || answer.key === 'not_ready') {
    const route = request.routeOptions.url ?? 'unknown'
    context.log.error('a request failed', { request: request.id, route, reason: reasonOf(error) })
  }
  if (answer.key === 'not_ready') reply.header('retry-after', '1')
  return reply.code(answer.status).send(answer.body())
}

/** Errors of Postgres that mean "not now": connection lost or refused, too many connections, shutting down, timed out. */
const transient = /^(08...|53...|57P0.|57014|55P03|ECONN.*|ENOENT|EPIPE|ETIMEDOUT)$/

function toApiError(error: unknown): ApiError {
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
  const lost = /Connection terminated|timeout exceeded when trying to connect/.test(reasonOf(error))
  if (lost || (typeof code === 'string' && transient.test(code))) {
    return new ApiError('not_ready', 'The database does not answer at the moment. Try again shortly.')
  }
  return new ApiError('internal', 'The server had an error while processing your request.')
}
