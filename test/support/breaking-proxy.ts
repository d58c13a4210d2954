import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { atEnd } from './database.ts'

// A proxy in front of a server that breaks one rule of its answers, to see who notices.

export interface Answer {
  status: number
  headers: Headers
  body: string
}

/**
 * Changes an answer; `url` is the request's path and query, after its method: `GET /v1/threads/x`. Of a stream it is
 * given frame by frame, each with its empty line, and only what it does at the first changes status and headers.
 */
export type Break = (answer: Answer, url: string) => void

export interface BreakingProxy {
  url: string
  /** What it does to answers from now on. */
  breaks: Break
}

/** Starts a proxy to `target` for the tests of this file; at first it breaks nothing. */
export async function startBreakingProxy(target: string): Promise<BreakingProxy> {
  const proxy: BreakingProxy = { url: '', breaks: () => {} }
  const server = createServer((request, response) => {
    pass(request, response, target, (answer, url) => proxy.breaks(answer, url)).catch(() =>
      response.destroy(),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  atEnd(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return proxy
}

/** Headers that belong to one connection. */
const hops = ['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive']

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  breaks: Break,
): Promise<void> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  const body = Buffer.concat(pieces)
  const headers = Object.entries(request.headers).filter(([name]) => !hops.includes(name)) as [
    string,
    string,
  ][]
  const method = request.method ?? 'GET'
  const answer = await fetch(target + request.url, { method, headers, ...(body.length > 0 ? { body } : {}) })
  const held = (text: string): Answer => ({
    status: answer.status,
    headers: new Headers(answer.headers),
    body: text,
  })
  const changed = (text: string) => {
    const made = held(text)
    breaks(made, `${method} ${request.url}`)
    return made
  }
  if (!answer.headers.get('content-type')?.startsWith('text/event-stream') || !answer.body) {
    const whole = changed(await answer.text())
    begin(response, whole)
    response.end(whole.body)
    return
  }
  let rest = ''
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const frames = (rest + piece).split('\n\n')
    rest = frames.pop() ?? ''
    for (const frame of frames.map((each) => changed(`${each}\n\n`))) {
      if (!response.headersSent) begin(response, frame)
      response.write(frame.body)
    }
  }
  response.end(rest)
}

function begin(response: ServerResponse, { status, headers }: Answer): void {
  for (const [name, value] of headers) if (!hops.includes(name)) response.setHeader(name, value)
  response.writeHead(status)
}
