import { Transform } from 'node:stream'
import type { FastifyRequest, RequestPayload } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { leastOf } from '../contract/limits.ts'
import { discardRest } from './multipart.ts'
import type { Principal } from './principal.ts'

// How large the bodies and threads of a key and of a project may be, within what the server takes of anyone (docs/decisions/0024).

/**
 * The body as it may be read. Throws ApiError for one that says that it is too large; one that does not say how large it is fails with
 * it when it turns out to be. The forms of files have a bound of their own.
 */
export function boundedBody(request: FastifyRequest, body: RequestPayload): RequestPayload {
  const { principal, headers, raw } = request
  const least = leastOf(principal.limits, 'body_bytes')
  if (least === null || request.operation?.form) return body
  const tooLarge = () =>
    new ApiError(
      'body_too_large',
      `The request body is larger than the ${least.most} bytes that the ${least.name} may send.`,
    )
  if (Number(headers['content-length']) > least.most) throw tooLarge()
  if (headers['transfer-encoding'] === undefined) return body
  let left = least.most
  const bounded = new Transform({
    transform(data: Buffer, _encoding, done) {
      left -= data.length
      if (left >= 0) return done(null, data)
      discardRest(raw)
      done(tooLarge())
    },
  })
  body.pipe(bounded)
  // Whoever reads it must hear of a client that goes away.
  body.once('close', () => bounded.writableEnded || bounded.destroy(new Error('the body broke off')))
  return bounded
}

/** How many messages a thread may have, for writes of this principal; undefined: no matter how many. */
export function mostMessages({ limits }: Principal): number | undefined {
  return limits.length === 0 ? undefined : leastOf(limits, 'thread_messages')?.most
}

/** Throws ApiError for more first messages than a thread may have. `param`: where they stand. */
export function refuseLongThread(principal: Principal, messages: readonly unknown[], param: string): void {
  const most = mostMessages(principal)
  if (most === undefined || messages.length <= most) return
  const sizes = `Expected an array with maximum length ${most}, but got an array with length ${messages.length} instead.`
  throw new ApiError('array_too_long', `Invalid '${param}': array too long. ${sizes}`, param)
}

/** For a thread that would have more messages than it may. `param`: what brings them, or the thread if nothing does. */
export function threadTooLong({ limits }: Principal, thread: string, param: string): ApiError {
  const { name, most } = leastOf(limits, 'thread_messages') ?? { name: 'project', most: 0 }
  const text = `The ${name} may have ${most} messages in a thread, and ${thread} would have more. Delete some, or begin another thread.`
  return new ApiError('thread_too_long', text, param)
}
