// The work of fetch by Node's own HTTP client, for what fetch cannot do there: names under .localhost, which not every
// system's resolver knows, and agents of the caller's. Browsers resolve these names themselves.

import type * as Http from 'node:http'
import type * as Stream from 'node:stream'

interface NodeRequest {
  method: string
  headers: Record<string, string>
  body: string | Uint8Array | undefined
  signal: AbortSignal
  /** An agent of node:http or node:https. */
  agent: unknown
}

/** Where a name under .localhost leads (RFC 6761 §6.3): to this machine, whatever a resolver says. */
const loopback = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]

let keepAlive: Http.Agent | undefined

/** Whether this is Node, or a runtime that stands in for it. */
export function isNode(): boolean {
  return typeof globalThis.process?.versions?.node === 'string'
}

/** Whether a name leads to this machine by definition. `localhost` itself is known to every resolver. */
export function isLocalhostName(hostname: string): boolean {
  return /\.localhost\.?$/i.test(hostname)
}

/** As fetch, without following redirects. A name under .localhost is that of 127.0.0.1, then of ::1. */
export async function nodeFetch(url: string, request: NodeRequest): Promise<Response> {
  const { protocol, hostname } = new URL(url)
  const secure = protocol === 'https:'
  const http = (await builtin(secure ? 'https' : 'http')) as typeof Http
  const { Readable } = (await builtin('stream')) as typeof Stream
  const agent = (request.agent ??
    (secure ? undefined : (keepAlive ??= new http.Agent({ keepAlive: true })))) as Http.Agent | undefined
  const { method, headers, body, signal } = request
  const options = { method, headers, signal, ...(agent ? { agent } : {}) }
  return new Promise((resolve, reject) => {
    const sent = http.request(url, isLocalhostName(hostname) ? { ...options, ...toLoopback } : options)
    sent.on('error', reject)
    sent.on('response', (message) => {
      const { statusCode: status = 0, statusMessage: statusText = '', rawHeaders } = message
      const received = new Headers()
      for (let at = 0; at < rawHeaders.length; at += 2)
        received.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '')
      const isEmpty = status === 204 || status === 205 || status === 304
      if (isEmpty) message.resume()
      const stream = isEmpty ? null : (Readable.toWeb(message) as ReadableStream)
      resolve(new Response(stream, { status, statusText, headers: received }))
    })
    sent.end(body)
  })
}

const toLoopback = {
  // The second address is tried when the first refuses.
  autoSelectFamily: true,
  lookup(
    _hostname: string,
    options: { all?: boolean | undefined },
    done: (error: null, address: string | typeof loopback, family?: number) => void,
  ) {
    if (options.all) done(null, loopback)
    else done(null, '127.0.0.1', 4)
  },
}

/** A module of Node. Bundlers for browsers must not find it, hence no import that they can read. */
async function builtin(name: 'http' | 'https' | 'stream'): Promise<unknown> {
  const specifier = `node:${name}`
  // Node 20.16 and 22.3 were the first to have this.
  const found: unknown = globalThis.process.getBuiltinModule?.(specifier)
  return found ?? import(/* webpackIgnore: true */ /* @vite-ignore */ specifier)
}
