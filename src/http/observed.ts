import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ApiError } from '../contract/errors.ts'
import { looksLikeId } from '../contract/ids.ts'
import type { HttpContext } from './context.ts'
import type { Principal } from './principal.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Milliseconds of the monotonic clock; 0 if the request was refused before it could be noted. */
    receivedAt: number
  }
}

/** Methods that are told apart in metrics; what else clients send is one. */
const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Notes an answer that is about to be sent, and its time for the client (wire.md §1). */
export function answered(context: HttpContext, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('openai-processing-ms', Math.ceil(noteAnswer(context, request, reply.statusCode)))
}

/** Notes what is counted and logged of an answer. Its milliseconds. */
export function noteAnswer({ store, log }: HttpContext, request: FastifyRequest, status: number): number {
  const ms = request.receivedAt === 0 ? 0 : performance.now() - request.receivedAt
  const { method, id } = request
  // The pattern, not the path: ids would make a metric of every thread.
  const route = request.routeOptions.url ?? 'unknown'
  const { requests, requestSeconds } = store.metrics
  const knownMethod = methods.has(method) ? method : 'other'
  requests.with(route, knownMethod, String(status)).add()
  requestSeconds.with(route, knownMethod).observe(ms / 1000)
  if (log.verbose)
    log.debug('a request was answered', {
      request: id,
      ...whose(request),
      method,
      route,
      status,
      ms: Math.round(ms),
      ...named(request),
    })
  return ms
}

/** The same for what never became a request. */
export function noteUnread({ store, log }: HttpContext, id: string, { status, message }: ApiError): void {
  store.metrics.requests.with('unknown', 'other', String(status)).add()
  log.debug('a request could not be read', { request: id, status, reason: message })
}

/** The thread and run that a request names, if what it names could be one: anything can stand in a path. */
function named({ params }: FastifyRequest): { thread?: string; run?: string } {
  const { thread_id = '', run_id = '' } = (params ?? {}) as Record<string, string | undefined>
  return {
    thread: looksLikeId('thread', thread_id) ? thread_id : undefined,
    run: looksLikeId('run', run_id) ? run_id : undefined,
  }
}

/** The project and the id of the key; a request that was refused before has neither. */
function whose(request: FastifyRequest): { project?: string; key?: string } {
  const principal = request.principal as Principal | undefined
  return { project: principal?.project, key: principal?.key ?? undefined }
}
