import { Readable } from 'node:stream'
import { Agent } from 'undici'
import { scrubCredentials } from './faults.ts'
import { Exchange } from './http-exchange.ts'
import type { Headers } from './model.ts'
import { serverSettings, type SettingNames, type Transport, type TransportResponse } from './transport.ts'

export interface Timeouts {
  connectMs: number
  /** To the first byte of the answer's body: a local model may read a long prompt for minutes. */
  firstByteMs: number
  betweenBytesMs: number
  /** As firstByteMs, for GET: a list that takes longer is no answer. */
  listMs: number
}

const defaultTimeouts: Timeouts = {
  connectMs: 10_000,
  firstByteMs: 300_000,
  betweenBytesMs: 120_000,
  listMs: 20_000,
}

export interface HttpTransportOptions {
  /** As SDKs take it, with its /v1; a query is sent with every request, userinfo as Basic authorization. */
  baseUrl: string
  apiKey?: string
  /** The server's, unless said. */
  settings?: SettingNames
  timeouts?: Partial<Timeouts>
}

export interface HttpTransport extends Transport {
  /** Closes all connections; requests that are under way fail. */
  close(): Promise<void>
}

/** Speaks HTTP to a model backend. Redirects are not followed, so the key goes to the configured origin alone. */
export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  const target = readTarget(options)
  const agent = new Agent({
    connect: { timeout: timeouts.connectMs },
    // Timed here instead (Exchange): undici counts the wait for the first byte of a body as time between bytes.
    headersTimeout: 0,
    bodyTimeout: 0,
    // Below the 5 s after which common servers close, since a request on a closing connection is lost.
    keepAliveTimeout: 4000,
  })

  function send(request: Request, firstByteMs: number, signal: AbortSignal): Promise<TransportResponse> {
    const exchange = new Exchange(signal, firstByteMs, timeouts.betweenBytesMs)
    if (!exchange.over)
      agent.dispatch(
        {
          origin: target.origin,
          path: target.path + request.path + target.search,
          method: request.method,
          ...carried(request.body, { ...request.headers, ...target.headers }),
        },
        exchange,
      )
    return exchange.answer
  }

  return {
    description: target.description,
    settings: options.settings ?? serverSettings,
    post: (path, body, signal, headers) =>
      send({ method: 'POST', path, body: JSON.stringify(body), headers }, timeouts.firstByteMs, signal),
    get: (path, signal) => send({ method: 'GET', path }, timeouts.listMs, signal),
    scrub: target.scrub,
    close: () => agent.destroy(),
  }
}

interface Request {
  method: 'GET' | 'POST'
  path: string
  body?: string
  /** Besides those of every request, which they do not replace. */
  headers?: Headers
}

function readTarget({ baseUrl, apiKey }: HttpTransportOptions) {
  const url = new URL(baseUrl)
  const path = url.pathname.replace(/\/+$/, '')
  const headers: Record<string, string> = {
    accept: 'text/event-stream, application/json',
    'accept-encoding': 'identity',
    'content-type': 'application/json',
    'user-agent': 'threadmill',
  }
  const user = decodeURIComponent(url.username)
  const password = decodeURIComponent(url.password)
  if (apiKey) headers.authorization = `Bearer ${apiKey}`
  else if (user || password) headers.authorization = `Basic ${btoa(`${user}:${password}`)}`
  // A query may hold a key too. Below four characters it is a word like any other, and taking it out would
  // only mangle messages.
  const secrets = [apiKey, password, url.password, ...url.searchParams.values()].filter(
    (secret) => secret !== undefined && secret.length >= 4,
  ) as string[]
  return {
    origin: url.origin,
    path,
    search: url.search,
    headers,
    description: url.origin + path,
    scrub: (text: string) =>
      scrubCredentials(secrets.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text)),
  }
}

/** Bytes of a body from which on it is given piece by piece: undici holds a whole one until the answer has ended. */
const largeBody = 1 << 20

function carried(body: string | undefined, headers: Record<string, string>) {
  if (body === undefined || body.length < largeBody) return { headers, body }
  const length = String(Buffer.byteLength(body))
  return { headers: { ...headers, 'content-length': length }, body: Readable.from(inOnePiece(body)) }
}

async function* inOnePiece(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text)
}
