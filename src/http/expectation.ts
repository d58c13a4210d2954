import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../contract/errors.ts'

/**
 * Refuses requests that expect something other than `100-continue` (RFC 9110 §10.1.1) in the form of all errors: Node would do it
 * before they are any, without a body or an id. To be registered behind what sets the headers of every answer.
 */
export function refuseExpectations(app: FastifyInstance): void {
  const refused = new WeakSet<IncomingMessage>()
  app.server.on('checkExpectation', (request, response) => {
    refused.add(request)
    app.server.emit('request', request, response)
  })
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    if (!refused.has(raw)) return done()
    const text = `This server does not do what the header Expect asks for: '${String(raw.headers.expect).slice(0, 200)}'.`
    done(new ApiError('expectation_failed', text))
  })
}
