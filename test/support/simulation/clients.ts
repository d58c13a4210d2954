import type { FastifyInstance } from 'fastify'
import type { Process } from './process.ts'

/** What a client asked, and what it was told. */
export interface Operation {
  n: number
  kind: OperationKind
  process: Process
  thread: string | null
  run: string | null
  /** Texts of the messages that it writes. */
  texts: string[]
  /** Steps of the simulation. */
  sentAt: number
  answeredAt: number | null
  /** Null as long as there is no answer, and for ever if its process was killed. */
  status: number | null
  body: Body
  headers: Record<string, unknown>
  /** Of a stream, in order, from where its client began: also those that came before it was rejoined. */
  frames: Frame[]
  /** The stream came to its end. */
  ended: boolean
  /** What went on with the stream when its process had gone. */
  next: Operation | null
  /** What was asked. */
  request: Request | null
  /** The `n` of the operation that this one is another try of, under the same key; its own if it is the first. */
  first: number
  /** Asked when all was over. */
  last: boolean
}

export type OperationKind =
  | 'create_thread'
  | 'create_thread_and_run'
  | 'add_message'
  | 'delete_message'
  | 'create_run'
  | 'stream_run'
  | 'submit'
  | 'cancel'
  | 'delete_thread'
  | 'modify_run'
  | 'poll'
  | 'get_run'
  | 'list_messages'
  | 'follow'

export interface Frame {
  id: string | null
  event: string
  data: Record<string, unknown>
}

/** An answer, as far as the simulation looks at it. */
export interface Body {
  id?: string
  status?: string
  thread_id?: string
  required_action?: { submit_tool_outputs: { tool_calls: { id: string }[] } } | null
  data?: { id: string; content: { text: { value: string } }[]; role: string; run_id: string | null }[]
  error?: { code: string | null; message: string }
  [key: string]: unknown
}

export interface Request {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  body?: object
  headers?: Record<string, string>
}

const usual = { 'openai-beta': 'assistants=v2', host: '127.0.0.1' }

/** Sends a request to a process; `on` hears of the answer. */
export function ask(
  web: FastifyInstance,
  operation: Operation,
  { method, path, body, headers }: Request,
  on: () => void,
): void {
  const streams = operation.kind === 'follow' || operation.kind === 'stream_run'
  const request = {
    method,
    url: `/v1${path}`,
    headers: { ...usual, ...headers },
    ...(body ? { payload: body } : {}),
  }
  const answered = (status: number, text: string, all: Record<string, unknown>) => {
    if (!operation.process.alive) return
    Object.assign(operation, { status, body: text === '' ? {} : (JSON.parse(text) as Body), headers: all })
    on()
  }
  const work = async () => {
    if (!streams) {
      const { statusCode, payload, headers: all } = await web.inject(request)
      return answered(statusCode, payload, all)
    }
    const response = await web.inject({ ...request, payloadAsStream: true })
    if (response.statusCode !== 200) {
      let text = ''
      for await (const chunk of response.stream() as AsyncIterable<Buffer>) text += chunk.toString()
      return answered(response.statusCode, text, response.headers)
    }
    answered(200, '', response.headers)
    let rest = ''
    for await (const chunk of response.stream() as AsyncIterable<Buffer>) {
      if (!operation.process.alive) return
      const pieces = (rest + chunk.toString()).split('\n\n')
      rest = pieces.pop() ?? ''
      operation.frames.push(...pieces.flatMap(frameOf))
    }
    operation.ended = true
  }
  const failed = (error: unknown) => {
    if (operation.status !== null) return
    Object.assign(operation, { status: -1, body: { error: { code: 'client', message: String(error) } } })
    on()
  }
  // What `on` finds wrong is kept elsewhere.
  operation.process
    .run(work)
    .catch(failed)
    .catch(() => {})
}

/** The event of one frame; comments have none. */
function frameOf(text: string): Frame[] {
  const field = (name: string) =>
    text
      .split('\n')
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2)
  const [event, data] = [field('event'), field('data')]
  if (event === undefined || data === undefined) return []
  const parsed = event === 'done' ? {} : (JSON.parse(data) as Frame['data'])
  return [{ event, data: parsed, id: field('id') ?? null }]
}
