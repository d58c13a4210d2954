import { Readable } from 'node:stream'
import { Agent, type Dispatcher } from 'undici'
import { scrubCredentials } from './faults.ts'
import type { Headers } from './model.ts'
import {
  serverSettings,
  TransportError,
  type SettingNames,
  type Transport,
  type TransportFault,
  type TransportResponse,
} from './transport.ts'

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
    // Timed here instead (Watch): undici counts the wait for the first byte of a body as time between bytes.
    headersTimeout: 0,
    bodyTimeout: 0,
    // Below the 5 s after which common servers close, since a request on a closing connection is lost.
    keepAliveTimeout: 4000,
  })

  async function send(
    request: Request,
    firstByteMs: number,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    const watch = new Watch(signal, firstByteMs)
    try {
      const { statusCode, headers, body } = await agent.request({
        origin: target.origin,
        path: target.path + request.path + target.search,
        method: request.method,
        ...carried(request.body, { ...request.headers, ...target.headers }),
        signal: watch.signal,
      })
      // Never asked for, and a few kilobytes of it can unpack to gigabytes.
      if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw watch.end('compressed')
      return {
        status: statusCode,
        headers: single(headers),
        body: watched(body, watch, timeouts.betweenBytesMs),
      }
    } catch (error) {
      watch.stop()
      throw watch.fault ?? transportError(error)
    }
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

/** Ends a request by the caller's signal or by the clock, whichever comes first. */
class Watch {
  readonly #abort = new AbortController()
  readonly #signal: AbortSignal
  #timer: NodeJS.Timeout
  fault: TransportError | undefined

  constructor(signal: AbortSignal, firstByteMs: number) {
    this.#signal = signal
    this.#timer = setTimeout(() => this.end('first_byte_timeout'), firstByteMs)
    if (signal.aborted) this.end('aborted')
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** From now on the time between bytes counts. */
  begin(betweenBytesMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.end('idle_timeout'), betweenBytesMs)
  }

  touch(): void {
    this.#timer.refresh()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => void this.end('aborted')

  /** Closes the request; the first fault is the one that counts. */
  end(fault: TransportFault): TransportError {
    clearTimeout(this.#timer)
    this.fault ??= new TransportError(fault)
    this.#abort.abort(this.fault)
    return this.fault
  }
}

type Body = Dispatcher.ResponseData['body']

async function* watched(body: Body, watch: Watch, betweenBytesMs: number): AsyncGenerator<Uint8Array> {
  let begun = false
  try {
    // Left open by an early return, for the connection is worth keeping when only the last bytes are missing.
    for await (const chunk of body.iterator({ destroyOnReturn: false })) {
      if (begun) watch.touch()
      else watch.begin(betweenBytesMs)
      begun = true
      yield chunk as Uint8Array
    }
  } catch (error) {
    throw watch.fault ?? transportError(error)
  } finally {
    watch.stop()
    drain(body)
  }
}

const drainMs = 250
const drainBytes = 16_384

/** Reads the few bytes after the end of an answer, so that the connection can serve again; else closes it. */
function drain(body: Body): void {
  if (body.destroyed || body.readableEnded) return
  let left = drainBytes
  const timer = setTimeout(() => body.destroy(), drainMs)
  body
    .on('error', () => {})
    .on('close', () => clearTimeout(timer))
    .on('data', (chunk: Uint8Array) => {
      left -= chunk.length
      if (left < 0) body.destroy()
    })
    .resume()
}

function single(headers: Dispatcher.ResponseData['headers']): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
}

const faultsByCode: Readonly<Record<string, TransportFault>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'refused',
  ENETUNREACH: 'refused',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'unknown_host',
  ETIMEDOUT: 'connect_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
}

function transportError(error: unknown): TransportError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const untrusted = /CERT|SELF_SIGNED|ERR_TLS|ERR_SSL|UNABLE_TO_VERIFY/.test(code)
  return new TransportError(faultsByCode[code] ?? (untrusted ? 'untrusted' : 'cut'), { cause: error })
}
