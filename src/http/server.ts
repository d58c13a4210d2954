import type { IncomingMessage } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { unknownUrl } from '../contract/errors.ts'
import { newRequestId } from '../contract/ids.ts'
import { checkAccess } from './access.ts'
import { bodyLimit, registerBodyParsers } from './body.ts'
import { answerClientError } from './client-error.ts'
import type { HttpContext } from './context.ts'
import { registerCors } from './cors.ts'
import { checkOverride, dialectOf, withoutMount, type Dialect } from './dialect.ts'
import { answerError } from './error-answer.ts'
import { refuseExpectations } from './expectation.ts'
import { Idempotency } from './idempotency.ts'
import { gatherRoutes } from './openapi.ts'
import { answered } from './observed.ts'
import { identify, identifyAdmin, type Principal } from './principal.ts'
import { RateLimits } from './rate-limit.ts'
import { answerDialect } from './route.ts'
import { adminRoutes } from './routes/admin.ts'
import { assistantRoutes } from './routes/assistants.ts'
import { docsRoutes } from './routes/docs.ts'
import { fileRoutes } from './routes/files.ts'
import { memgptAssistantRoutes } from './routes/memgpt-assistants.ts'
import { memgptRunRoutes } from './routes/memgpt-runs.ts'
import { memgptThreadRoutes } from './routes/memgpt-threads.ts'
import { messageRoutes } from './routes/messages.ts'
import { metricsRoute } from './routes/metrics.ts'
import { modelRoutes } from './routes/models.ts'
import { runEventRoutes } from './routes/run-events.ts'
import { runRoutes } from './routes/runs.ts'
import { serviceRoutes } from './routes/service.ts'
import { stepRoutes } from './routes/steps.ts'
import { threadRoutes } from './routes/threads.ts'
import { v1FileRoutes } from './routes/v1-files.ts'
import { boundedBody } from './size-limits.ts'
import { refuseSlowBodies } from './slow-bodies.ts'
import { registerV1Era } from './v1-era.ts'

const allRoutes = [
  serviceRoutes,
  modelRoutes,
  assistantRoutes,
  threadRoutes,
  messageRoutes,
  runRoutes,
  runEventRoutes,
  stepRoutes,
  fileRoutes,
  metricsRoute,
  adminRoutes,
  v1FileRoutes,
  memgptAssistantRoutes,
  memgptThreadRoutes,
  memgptRunRoutes,
]

/** Builds the HTTP server; the caller listens and closes. */
export function buildServer(context: HttpContext): FastifyInstance {
  const dialectFor = (request: IncomingMessage & { originalUrl?: string }) =>
    dialectOf(request.originalUrl ?? request.url ?? '', request.headers, context.dialect)
  const answerFailed = (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
    answerError(context, answerDialect(request) ?? dialectFor(request.raw), error, request, reply)
  const app = Fastify({
    bodyLimit,
    logger: false,
    genReqId: newRequestId,
    keepAliveTimeout: context.timeouts.keepAliveMs,
    forceCloseConnections: 'idle',
    rewriteUrl: (request) => withoutMount(request.url ?? ''),
    routerOptions: {
      ignoreTrailingSlash: true,
      maxParamLength: 256,
      constraints: { dialect: dialectConstraint(dialectFor) },
    },
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => answerClientError(context, error, socket),
    // A request without a host is refused below, in the form of all errors.
    http: {
      requireHostHeader: false,
      headersTimeout: context.timeouts.headersMs,
      connectionsCheckingInterval: context.timeouts.checkMs,
    },
    // What fails before a route is found, such as a path with a broken percent escape, answers like the rest.
    frameworkErrors: (error, request, reply) => {
      standardHeaders(request, reply, dialectFor(request.raw))
      answerFailed(error, request, reply)
    },
  })
  app.decorate('unknownKeys', context.unknownKeys)
  app.decorate('idempotency', new Idempotency(context))
  const described = gatherRoutes(app)
  registerBodyParsers(app)
  registerV1Era(app)
  app.decorateRequest('receivedAt', 0)
  app.decorateRequest('operation')
  // Hooks are not async: a promise costs more than what most of them do.
  app.addHook('onRequest', (request, reply, done) => {
    request.receivedAt = performance.now()
    request.operation = request.routeOptions.config.operation
    standardHeaders(request, reply, answerDialect(request) ?? dialectFor(request.raw))
    done()
  })
  registerCors(app, context.allowedOrigins)
  refuseExpectations(app)
  refuseSlowBodies(app, context.timeouts, (error, socket, request) =>
    answerClientError(context, error, socket, request),
  )
  // Before the body is read, and after CORS has said who may read the answer.
  app.decorateRequest('principal')
  const rates = new RateLimits(context.monotonic)
  app.addHook('preParsing', (request, reply, body, done) => {
    checkAccess(request, context)
    checkOverride(request.headers)
    const admit = (principal: Principal) => {
      request.principal = principal
      if (principal.limits.length > 0) rates.admit(principal.limits, reply)
      if (request.is404) throw unknownUrl(request.method, request.originalUrl)
      return principal.limits.length > 0 ? boundedBody(request, body) : body
    }
    const found = request.operation?.admin
      ? identifyAdmin(context.adminKey, request)
      : identify(context.keys, context.openDoor, request, reply)
    if (found instanceof Promise) return void found.then(admit).then((bounded) => done(null, bounded), done)
    done(null, admit(found))
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    answered(context, request, reply)
    // The next request had better go to a server that stays.
    if (context.stopping.aborted) reply.header('connection', 'close')
    done()
  })
  app.setNotFoundHandler(({ method, originalUrl }) => {
    throw unknownUrl(method, originalUrl)
  })
  app.setErrorHandler(answerFailed)
  for (const routes of allRoutes) routes(app, context)
  docsRoutes(app, described)
  return app
}

/** Lets a route be registered once for each dialect; what has no form in the request's is answered in v2. */
function dialectConstraint(dialectFor: (request: IncomingMessage) => Dialect) {
  return {
    name: 'dialect',
    storage: () => {
      // Handlers are the router's own: they are kept, not looked into.
      const handlers = new Map<string, never>()
      return {
        get: (dialect: string) => handlers.get(dialect) ?? null,
        set(dialect: string, handler: never) {
          handlers.set(dialect, handler)
        },
      }
    },
    validate: () => {},
    deriveConstraint: dialectFor,
    mustMatchWhenDerived: false,
  }
}

/** wire.md §1 "Response headers"; set early, so that streams carry them too. */
function standardHeaders(request: FastifyRequest, reply: FastifyReply, dialect: Dialect): void {
  reply.headers({
    'x-request-id': request.id,
    'openai-version': '2020-10-01',
    'x-assistants-dialect': dialect,
    // By Origin for what CORS says.
    vary: 'Origin, OpenAI-Beta, User-Agent, X-Assistants-Dialect',
    'cache-control': 'no-store',
    // No page of another origin shows it as an image or runs it; CORS says who may read it.
    'cross-origin-resource-policy': 'same-origin',
  })
}
