import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { Literals } from '../../contract/schema.ts'
import type { HttpContext } from '../context.ts'
import type { ServicePage } from '../service-page.ts'

/** What is not the API itself: a first page for people, and health for machines. */
export function serviceRoutes(app: FastifyInstance, { store, stopping }: HttpContext): void {
  app.get('/', { config: { page: firstPage } }, async (_request, reply) => {
    reply.type('text/plain; charset=utf-8')
    return [
      'Threadmill serves the OpenAI Assistants API here.',
      'Point an OpenAI SDK at this address with the path /v1 as its base URL.',
      '/docs describes the API, and /openapi.json does so for programs.',
      '/v1/models lists the models; /healthz, /readyz and /metrics tell how the server is.',
      '',
    ].join('\n')
  })

  // Alive: the process answers. Says nothing of the database.
  app.get('/healthz', { config: { page: alive } }, async () => ({ status: 'ok' }))

  // Ready: requests can be served now.
  app.get('/readyz', { config: { page: ready } }, async (_request, reply) => {
    if (stopping.aborted) return reply.code(503).send({ status: 'stopping' })
    const status = await store.readiness()
    if (status !== 'ready') reply.code(503)
    return { status }
  })
}

const firstPage: ServicePage = {
  id: 'getFirstPage',
  summary: 'Tells people where to go.',
  answers: { 200: { description: 'A few lines.', type: 'text/plain', schema: Type.String() } },
}

const json = (description: string, ...statuses: string[]) => ({
  description,
  type: 'application/json',
  schema: Type.Object({ status: Literals(...statuses) }),
})

const alive: ServicePage = {
  id: 'getHealth',
  summary: 'Tells whether the process answers; says nothing of the database.',
  answers: { 200: json('It does.', 'ok') },
}

const ready: ServicePage = {
  id: 'getReadiness',
  summary: 'Tells whether requests can be served now.',
  answers: {
    200: json('They can.', 'ready'),
    503: json('They cannot.', 'stopping', 'database unavailable', 'database full', 'database too new'),
  },
}
