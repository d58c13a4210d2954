import { AbortError } from './abort-error.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import type { CookieJar } from './cookie-jar.ts'
import { NetworkError } from './network-error.ts'
import { isLocalhostName, isNode, nodeFetch } from './node-fetch.ts'
import { TimeoutError } from './timeout-error.ts'
import { startTimer } from './timer.ts'

/** What of the client's settings matters for sending. */
export interface Sender {
  enableCookies: boolean
  agent: CookieJar | undefined
  requestAgent: unknown
}

/**
 * Sends a request and resolves with the head of its answer. Rejects with what it was aborted with, or with a
 * NetworkError.
 */
export async function send(
  client: Sender,
  request: ApiRequest,
  body: string | Uint8Array<ArrayBuffer> | undefined,
): Promise<Response> {
  const { url, method, header, signal } = request
  const jar = client.enableCookies ? client.agent : undefined
  const cookies = jar?.header(url)
  if (cookies) request.set('Cookie', cookies)
  const response = await guarded(request, () => {
    // An aborted request must not reach the server.
    signal.throwIfAborted()
    if (isNode() && (client.requestAgent || isLocalhostName(new URL(url).hostname)))
      return nodeFetch(url, { method, headers: header, body, signal, agent: client.requestAgent })
    const credentials = client.enableCookies ? 'include' : 'same-origin'
    return fetch(url, { method, headers: header, body: body ?? null, signal, credentials })
  })
  jar?.save(url, response.headers)
  return response
}

/** Does a part of a request's work. Whatever breaks it is thrown as the error that the caller is to see. */
export async function guarded<T>(request: ApiRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason
    throw new NetworkError(error)
  }
}

/** Does a request's work under its limits: the caller's signal, and `timeout` in milliseconds (0: none). */
export async function limited<T>(
  request: ApiRequest,
  { signal, timeout }: Pick<RequestOptions, 'signal' | 'timeout'>,
  work: () => Promise<T>,
): Promise<T> {
  const release = obey(request, signal)
  const stopTimer = startTimer(timeout, () => request.abort(new TimeoutError(timeout ?? 0)))
  try {
    return await work()
  } finally {
    stopTimer()
    release()
  }
}

/** Aborts the request when the signal fires, until the function that it returns is called. */
export function obey(request: ApiRequest, signal: AbortSignal | undefined): () => void {
  const stop = () => request.abort(new AbortError(signal?.reason))
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop)
  return () => signal?.removeEventListener('abort', stop)
}
