import type { FastifyInstance } from 'fastify'
import type { HttpContext } from '../context.ts'

/** What is not the API itself: a first page for people, and health for machines. */
export function serviceRoutes(app: FastifyInstance, { store, stopping }: HttpContext): void {
  app.get('/', async (_request, reply) => {
    reply.type('text/plain; charset=utf-8')
    return [
      'Threadmill serves the OpenAI Assistants API here.',
      'Point an OpenAI SDK at this address with the path /v1 as its base URL.',
      '/v1/models lists the models; /healthz and /readyz tell how the server is.',
      '',
    ].join('\n')
  })

  // Alive: the process answers. Says nothing of the database.
  app.get('/healthz', async () => ({ status: 'ok' }))

  // Ready: requests can be served now.
  app.get('/readyz', async (_request, reply) => {
    if (stopping.aborted) return reply.code(503).send({ status: 'stopping' })
    if (!(await store.ready())) return reply.code(503).send({ status: 'database unavailable' })
    return { status: 'ready' }
  })
}
