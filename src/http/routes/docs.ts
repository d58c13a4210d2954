import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { originMark } from '../docs-example.ts'
import { docsPage, docsPolicy } from '../docs-page.ts'
import { openApiDocument, type Routes } from '../openapi.ts'
import type { ServicePage } from '../service-page.ts'

/** The API's description, for programs and for people. */
export function docsRoutes(app: FastifyInstance, routes: Routes): void {
  let json = ''
  // Made when somebody first asks for it: nobody waits for it at the start.
  let page: string | undefined
  app.addHook('onReady', async () => {
    json = JSON.stringify(openApiDocument(routes))
  })

  app.get('/openapi.json', { config: { page: documentPage } }, async (_request, reply) => {
    reply.type('application/json; charset=utf-8')
    return json
  })

  app.get('/docs', { config: { page: readablePage } }, async (request, reply) => {
    reply.headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': docsPolicy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
    page ??= docsPage(openApiDocument(routes))
    return page.replaceAll(originMark, originOf(request))
  })
}

/** The address under which the reader has found this server, for the examples. A host of a strange form is not shown. */
function originOf({ host, protocol }: FastifyRequest): string {
  return /^(?:[\w.-]+|\[[\da-f:]+\])(?::\d+)?$/i.test(host)
    ? `${protocol}://${host}`
    : 'http://127.0.0.1:8283'
}

const documentPage: ServicePage = {
  id: 'getOpenApiDocument',
  summary: 'This document.',
  answers: { 200: { description: 'OpenAPI 3.1.', type: 'application/json', schema: Type.Object({}) } },
}

const readablePage: ServicePage = {
  id: 'getDocs',
  summary: 'This document for people.',
  answers: { 200: { description: 'A page.', type: 'text/html', schema: Type.String() } },
}
