import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

// A body that never ends would hold its connection for ever, and what has come of it. Node can bound only the time of a whole
// request, of which the upload of a large file may take as much as it needs. One timer looks at all bodies that are under way.

export interface RequestTimeouts {
  headersMs: number
  bodyMs: number
  keepAliveMs: number
  /** Between two looks at what is under way. */
  checkMs: number
}

interface Body {
  reply: FastifyReply
  /** When it began; of a form, when it was last seen to grow. Milliseconds of the monotonic clock. */
  since: number
  /** Bytes of the connection by then. */
  bytes: number
  /** Was found to be late by the look before. */
  isLate: boolean
}

/** What Node calls a request that does not arrive in time: it is answered as that is. */
const late = Object.assign(new Error('the body did not arrive in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })

/**
 * Ends the connection of a request whose body takes longer than `bodyMs`, or, of a form, stands still for so long: by `refuse`, or
 * without a word if the request was answered before its end. To be registered before what refuses requests.
 */
export function refuseSlowBodies(
  app: FastifyInstance,
  { bodyMs, checkMs }: RequestTimeouts,
  refuse: (error: Error, socket: Socket, request: FastifyRequest) => void,
): void {
  const coming = new Map<FastifyRequest, Body>()
  app.addHook('preParsing', (request, reply, _body, done) => {
    const { headers, raw } = request
    if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined)
      coming.set(request, {
        reply,
        since: performance.now(),
        bytes: raw.socket.bytesRead,
        isLate: false,
      })
    done()
  })
  // It was read, or it is a form, which its handler reads. Those that were refused go with the next look.
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.raw.complete) coming.delete(request)
    done()
  })
  const look = () => {
    const now = performance.now()
    for (const [request, body] of coming) {
      const { raw, headers } = request
      if (raw.complete || raw.socket.destroyed) coming.delete(request)
      else if (isForm(headers) && !body.reply.sent && raw.socket.bytesRead > body.bytes)
        Object.assign(body, { since: now, bytes: raw.socket.bytesRead, isLate: false })
      else if (now - body.since < bodyMs) continue
      // If this process stood still, what has come meanwhile is read before the next look.
      else if (!body.isLate) body.isLate = true
      else {
        coming.delete(request)
        if (body.reply.sent) raw.socket.destroy()
        else {
          // Whoever waits for the rest of it hears that it broke off, and is not to answer.
          body.reply.hijack()
          refuse(late, raw.socket, request)
        }
      }
    }
  }
  const timer = setInterval(look, checkMs)
  timer.unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

function isForm({ 'content-type': type = '' }: FastifyRequest['headers']): boolean {
  return type.toLowerCase().startsWith('multipart/form-data')
}
