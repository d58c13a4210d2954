import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { ApiClient, type ApiResponse } from '../../client/src/index.ts'

// A server that answers what a test says, in the shapes of the memgpt dialect (memgpt-dialect.md §3).

export interface StubRequest {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
  /** The client's port: equal ports mean one connection used again. */
  port: number
}

export interface Stub {
  port: number
  url: string
  client: ApiClient
  requests: StubRequest[]
  /** The latest request. */
  last(): StubRequest
  /** Breaks all connections. */
  cut(): void
}

export type StubAnswer = (response: ServerResponse, request: StubRequest) => void

/** Starts a stub that ends with the test. */
export async function startStub(t: TestContext, answer: StubAnswer, host = '127.0.0.1'): Promise<Stub> {
  const requests: StubRequest[] = []
  const listener = async (message: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of message.setEncoding('utf8')) body += String(chunk)
    const { method = '', url = '', headers, socket } = message
    const request = { method, url, headers, body, port: socket.remotePort ?? 0 }
    requests.push(request)
    answer(response, request)
  }
  const server = createServer(listener as RequestListener)
  server.listen(0, host)
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const last = () => requests.at(-1) as StubRequest
  return { port, url, client: new ApiClient(url), requests, last, cut: () => server.closeAllConnections() }
}

/** Answers JSON. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): StubAnswer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
    response.end(JSON.stringify(body))
  }
}

/** Answers nothing. */
export const silence: StubAnswer = () => {}

export const toolCall = {
  id: 'call_1',
  type: 'function',
  function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
}

export const wireRun = {
  id: 'run_1',
  object: 'thread.run',
  created_at: 1_700_000_000,
  thread_id: 'thread_1',
  assistant_id: 'asst_1',
  status: 'requires_action',
  required_action: { type: 'submit_tool_outputs', submit_tool_outputs: [toolCall] },
  last_error: null,
  expires_at: 1_700_000_600,
  started_at: 1_700_000_001,
  cancelled_at: null,
  failed_at: null,
  completed_at: null,
  model: 'demo',
  instructions: '',
  tools: null,
  file_ids: [],
  metadata: { a: 'b' },
  usage: null,
}

export const wireStep = {
  id: 'step_1',
  object: 'thread.run.step',
  created_at: 1_700_000_001,
  assistant_id: 'asst_1',
  thread_id: 'thread_1',
  run_id: 'run_1',
  type: 'tool_calls',
  status: 'in_progress',
  step_defaults: { type: 'tool_calls', tool_calls: [toolCall] },
  last_error: null,
  expired_at: null,
  failed_at: null,
  completed_at: null,
  usage: { completion_tokens: 1, prompt_tokens: 2, total_tokens: 3 },
}

type Seen<T> = [Error | null, T | null, ApiResponse | undefined]

/** What a callback gets. */
export function called<T>(call: (callback: (...seen: Seen<T>) => void) => unknown): Promise<Seen<T>> {
  return new Promise((resolve) => void call((...seen) => resolve(seen)))
}
