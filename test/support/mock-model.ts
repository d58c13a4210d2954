import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ChatBody } from '../../src/models/chat-body.ts'

// A Chat Completions backend over loopback HTTP that does as it is told: well-formed answers, the odd shapes of
// real providers, and every fault.
//
//   const mock = await startMockModel()
//   mock.next(text('Good', gate, ' morning'))        a promise among the pieces holds the rest back
//   mock.next(toolCalls([{ id, name, arguments }]))
//   mock.next(status(429, { error: { message: 'slow down' } }))
//   mock.when((body) => body.model === 'x', hang())   stays; asked before the queue of next()
//
// With nothing queued it answers `defaultAnswer`.

export interface RecordedRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: ChatBody
  /** The client's port: equal ports mean one connection used again. */
  port: number
  /** The client went away before the answer was whole. */
  aborted: boolean
  /** The answer was sent whole. */
  finished: boolean
  /** Settles with the request: how it ended. */
  ended: Promise<'finished' | 'aborted' | 'cut'>
}

export interface Exchange {
  request: RecordedRequest
  response: ServerResponse
  /** Fires when the client goes away or the mock closes. */
  signal: AbortSignal
  /** Sends a chunk as a server-sent event; the first one sends the headers too. */
  send: (chunk: object) => Promise<void>
  /** Sends bytes as they are. */
  raw: (bytes: string | Uint8Array) => Promise<void>
  /** Destroys the socket. */
  cut(): void
}

/** Answers one request. When it returns, the response is ended unless the answer ended or cut it. */
export type Answer = (exchange: Exchange) => void | Promise<void>

/** What is sent next, or what must settle first. */
export type Piece = string | Promise<unknown>

export interface MockCall {
  id?: string
  name: string
  arguments: string
}

export interface AnswerOptions {
  /** null sends none. */
  finish?: string | null
  /** null sends none. */
  usage?: object | null
  /** Whether `[DONE]` is sent; default true. */
  done?: boolean
}

export interface MockModel {
  /** Ends in /v1. */
  baseUrl: string
  /** Of chat completions, in order of arrival. */
  requests: RecordedRequest[]
  /** Queues answers, one request each. */
  next(...answers: Answer[]): void
  /** Answers every request that `matches`, until reset. The latest rule wins, and any rule wins over next(). */
  when(matches: (body: ChatBody) => boolean, answer: Answer): void
  /** Answers GET /models; default: one model named mock-model. */
  models(answer: Answer): void
  /** The nth request, counted from 0, once it has arrived. */
  received(n: number): Promise<RecordedRequest>
  /** Forgets requests, queue and rules. */
  reset(): void
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export const defaultUsage = { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 }

/** A promise to hold an answer back by, and what lets it go. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** Text, one chunk each piece. A last argument that is neither string nor promise sets the ending. */
export function text(...parts: (Piece | AnswerOptions)[]): Answer {
  const [pieces, options] = splitOptions(parts)
  return async (exchange) => {
    await exchange.send(delta({ role: 'assistant', content: '' }))
    await unfinished(pieces)(exchange)
    await finish(exchange, { finish: 'stop', ...options })
  }
}

/** Tool calls as OpenAI sends them: id and name first, then the arguments in fragments of seven characters. */
export function toolCalls(calls: MockCall[], options: AnswerOptions & { text?: string } = {}): Answer {
  return async (exchange) => {
    await exchange.send(delta({ role: 'assistant', content: options.text ?? null }))
    for (const [index, { id, name, arguments: args }] of calls.entries()) {
      const start = { index, id, type: 'function', function: { name, arguments: '' } }
      await exchange.send(delta({ tool_calls: [start] }))
      for (const part of args.match(/.{1,7}/gsu) ?? []) {
        await exchange.send(delta({ tool_calls: [{ index, function: { arguments: part } }] }))
      }
    }
    await finish(exchange, { finish: 'tool_calls', ...options })
  }
}

/** Chunks as given (the odd shapes), promises among them waited for; then usage and [DONE] as `text` does. */
export function chunks(parts: (object | Promise<unknown>)[], options: AnswerOptions = {}): Answer {
  return async (exchange) => {
    for (const part of parts) {
      if (part instanceof Promise) await part
      else await exchange.send(part)
    }
    await finish(exchange, { finish: null, ...options })
  }
}

/** Another status, with a JSON or text body. */
export function status(
  code: number,
  body: object | string = {},
  headers: Record<string, string> = {},
): Answer {
  return ({ response }) => {
    const type = typeof body === 'string' ? 'text/plain' : 'application/json'
    response.writeHead(code, { 'content-type': type, ...headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
}

/** Does nothing until the client goes away. */
export function hang(): Answer {
  return async ({ signal }) => {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  }
}

/** The pieces as text chunks, and then nothing, on an open connection. */
export function stall(...pieces: Piece[]): Answer {
  return async (exchange) => {
    await unfinished(pieces)(exchange)
    await hang()(exchange)
  }
}

/** The pieces as text chunks, and then the socket is destroyed. Without pieces: before the first byte. */
export function cut(...pieces: Piece[]): Answer {
  return async (exchange) => {
    if (pieces.length > 0) await unfinished(pieces)(exchange)
    exchange.cut()
  }
}

/** Bytes as they are, `every` bytes in a packet of their own if given. */
export function raw(
  bytes: string | Uint8Array,
  options: { every?: number; headers?: Record<string, string> } = {},
): Answer {
  return async (exchange) => {
    const all = Buffer.from(bytes)
    exchange.response.writeHead(200, { 'content-type': 'text/event-stream', ...options.headers })
    const step = options.every ?? all.length
    for (let at = 0; at < all.length; at += step) {
      await exchange.raw(all.subarray(at, at + step))
      // Lets each packet go out by itself.
      if (options.every !== undefined) await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** A chunk with this delta. */
export function delta(value: object, finishReason: string | null = null): object {
  return chunk([{ index: 0, delta: value, finish_reason: finishReason }])
}

export const defaultAnswer: Answer = text('Hello from', ' the mock.')

/** Starts a mock on a free port of the loopback. */
export async function startMockModel(): Promise<MockModel> {
  const state = new MockState()
  const server = createServer({ keepAliveTimeout: 5000 }, (message, response) => {
    state.serve(message, response).catch((error: unknown) => {
      // An answer that fails is the test's fault: it shows as a cut connection and here.
      if (!state.closing.signal.aborted && !response.destroyed) console.error('mock model:', error)
      response.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    state.closing.abort()
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  }
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests: state.requests,
    next: (...answers) => void state.queue.push(...answers),
    when: (matches, answer) => void state.rules.unshift({ matches, answer }),
    models: (answer) => void (state.modelsAnswer = answer),
    received: (n) => state.received(n),
    reset: () => state.reset(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

const modelList: Answer = status(200, {
  object: 'list',
  data: [{ id: 'mock-model', object: 'model', created: 1, owned_by: 'mock' }],
})

class MockState {
  readonly requests: RecordedRequest[] = []
  readonly queue: Answer[] = []
  readonly rules: { matches: (body: ChatBody) => boolean; answer: Answer }[] = []
  readonly closing = new AbortController()
  modelsAnswer: Answer = modelList
  #waiting: { n: number; resolve: (request: RecordedRequest) => void }[] = []

  async serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(message)
    const exchange = openExchange(message, response, body, this.closing.signal)
    const answer = this.#choose(exchange.request)
    await answer(exchange)
    if (!response.writableEnded && !response.destroyed) response.end()
  }

  received(n: number): Promise<RecordedRequest> {
    const there = this.requests[n]
    if (there !== undefined) return Promise.resolve(there)
    return new Promise((resolve) => this.#waiting.push({ n, resolve }))
  }

  reset(): void {
    this.requests.length = 0
    this.queue.length = 0
    this.rules.length = 0
    this.modelsAnswer = modelList
  }

  #choose(request: RecordedRequest): Answer {
    if (request.path.endsWith('/models')) return this.modelsAnswer
    if (!request.path.endsWith('/chat/completions'))
      return status(404, { error: { message: 'no such path' } })
    const at = this.requests.push(request) - 1
    this.#waiting = this.#waiting.filter(({ n, resolve }) => {
      if (n === at) resolve(request)
      return n !== at
    })
    const rule = this.rules.find(({ matches }) => matches(request.body))
    return rule?.answer ?? this.queue.shift() ?? defaultAnswer
  }
}

function openExchange(
  message: IncomingMessage,
  response: ServerResponse,
  body: ChatBody,
  closing: AbortSignal,
): Exchange {
  const gone = new AbortController()
  const ended = Promise.withResolvers<'finished' | 'aborted' | 'cut'>()
  const { pathname } = new URL(message.url ?? '/', 'http://mock')
  const request: RecordedRequest = {
    method: message.method ?? '',
    path: pathname,
    headers: message.headers,
    body,
    port: message.socket.remotePort ?? 0,
    aborted: false,
    finished: false,
    ended: ended.promise,
  }
  let wasCut = false
  response.on('close', () => {
    request.finished = response.writableFinished
    request.aborted = !request.finished && !wasCut && !closing.aborted
    ended.resolve(request.finished ? 'finished' : request.aborted ? 'aborted' : 'cut')
    gone.abort()
  })
  const write = async (bytes: string | Uint8Array): Promise<void> => {
    if (response.destroyed) return
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
    await new Promise<void>((resolve) => response.write(bytes, () => resolve()))
  }
  return {
    request,
    response,
    signal: AbortSignal.any([gone.signal, closing]),
    send: (value) => write(`data: ${JSON.stringify(value)}\n\n`),
    raw: write,
    cut() {
      wasCut = true
      message.socket.destroy()
    },
  }
}

async function readBody(message: IncomingMessage): Promise<ChatBody> {
  let bytes = ''
  for await (const part of message.setEncoding('utf8')) bytes += String(part)
  return (bytes === '' ? {} : JSON.parse(bytes)) as ChatBody
}

function splitOptions(parts: (Piece | AnswerOptions)[]): [Piece[], AnswerOptions] {
  const last = parts.at(-1)
  const hasOptions = typeof last === 'object' && !(last instanceof Promise)
  return [(hasOptions ? parts.slice(0, -1) : parts) as Piece[], hasOptions ? last : {}]
}

function unfinished(pieces: Piece[]): Answer {
  return async ({ send }) => {
    for (const piece of pieces) {
      if (typeof piece === 'string') await send(delta({ content: piece }))
      else await piece
    }
  }
}

async function finish({ send, raw: write }: Exchange, options: AnswerOptions): Promise<void> {
  const { finish: reason = null, usage = defaultUsage, done = true } = options
  if (reason !== null) await send(delta({}, reason))
  if (usage !== null) await send({ ...chunk([]), usage })
  if (done) await write('data: [DONE]\n\n')
}

function chunk(choices: object[]): object {
  return { id: 'chatcmpl-mock', object: 'chat.completion.chunk', created: 1, model: 'mock-model', choices }
}
