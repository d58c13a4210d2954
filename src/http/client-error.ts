import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { newRequestId } from '../contract/ids.ts'
import type { HttpContext } from './context.ts'
import { noteAnswer, noteUnread } from './observed.ts'

// What cannot be read as HTTP never becomes a request: it is answered here, in the form of all other errors, and its
// connection is closed.

/** Milliseconds that a client gets to read the answer while it may still be sending. */
const lingerMs = 1_000

const reasons: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

/** Answers on a connection whose bytes could not be read: as a request, or, of this one, as its body. */
export function answerClientError(
  context: HttpContext,
  failure: NodeJS.ErrnoException,
  socket: Socket,
  request?: FastifyRequest,
): void {
  if (socket.destroyed || socket.writableEnded) return
  // In the middle of an answer another one would only spoil it.
  if (failure.code === 'ECONNRESET' || isAnswering(socket)) {
    socket.destroy()
    return
  }
  const id = request?.id ?? newRequestId()
  const error = toApiError(failure.code)
  socket.end(answer(error, id))
  if (request) noteAnswer(context, request, error.status)
  else noteUnread(context, id, error)
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

function isAnswering(socket: Socket): boolean {
  const { _httpMessage: message } = socket as Socket & { _httpMessage?: { headersSent: boolean } | null }
  return message?.headersSent === true
}

function toApiError(code: string | undefined): ApiError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    const text = 'The request has too many or too long headers, or too long a URL.'
    return new ApiError('headers_too_large', text)
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ApiError('request_timeout', 'The request did not arrive in time.')
  }
  return new ApiError('malformed_request', 'The request is not valid HTTP.')
}

function answer(error: ApiError, id: string): string {
  const body = JSON.stringify(error.body())
  return [
    `HTTP/1.1 ${error.status} ${reasons[error.status] ?? 'Error'}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${id}`,
    'openai-version: 2020-10-01',
    'cache-control: no-store',
    'connection: close',
    '',
    body,
  ].join('\r\n')
}
