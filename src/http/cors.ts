import type { FastifyInstance } from 'fastify'
import { isAllowedOrigin } from './access.ts'

// Pages of other origins (wire.md §1 "CORS"): those on this machine may call, and those that the operator lists.

const exposed = [
  'x-request-id',
  'x-assistants-dialect',
  'x-tools-not-run',
  'x-thread-policy',
  'idempotent-replayed',
  'openai-poll-after-ms',
  'openai-processing-ms',
  'retry-after',
  'retry-after-ms',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
].join(', ')

/** Answers preflights and names the origins that may read. Any header may be sent: SDKs add new ones. */
export function registerCors(app: FastifyInstance, listed: readonly string[]): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { origin, 'access-control-request-headers': asked } = request.headers
    // Most requests are of no page.
    if (origin === undefined || !isAllowedOrigin(origin, listed)) return done()
    reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed })
    if (request.method !== 'OPTIONS') return done()
    reply.headers({
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-max-age': '600',
      'content-length': '0',
      vary: `${String(reply.getHeader('vary'))}, Access-Control-Request-Headers`,
      ...(asked === undefined ? {} : { 'access-control-allow-headers': asked }),
    })
    // Before anyone asks for a key, which a browser leaves out.
    reply.code(204).send()
  })
}
