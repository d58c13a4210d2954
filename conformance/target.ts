import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { judgingFetch, parseFrame } from '../test/support/contract.ts'
import type { ConformanceModel } from './mock-model.ts'

// The server under test, as checks reach it: by the official SDK and by raw HTTP, nothing else. Every answer in v2 is
// judged by the published schema on its way.

type Thread = OpenAI.Beta.Thread
export type Run = OpenAI.Beta.Threads.Run
type RunFields = Partial<OpenAI.Beta.Threads.RunCreateParamsNonStreaming>
type AssistantFields = Partial<OpenAI.Beta.AssistantCreateParams>

export interface TargetOptions {
  apiKey: string
  /** The model that assistants name. */
  modelName: string
  /** Seconds after which a run of this server expires; null if nobody said. */
  runTtl: number | null
}

export interface Reply<T> {
  status: number
  headers: Headers
  text: string
  /** The body, if it is JSON. */
  json: T
}

export interface ErrorFields {
  message: string
  type: string
  param: string | null
  code: string | null
}

/** An error as wire.md §9 has it; what is left out is not looked at. */
export interface Refusal {
  status?: number
  type?: string
  code?: string | null
  param?: string | null
  text?: string | RegExp
}

/** What no client of v2 would leave out. */
export const v2 = { 'openai-beta': 'assistants=v2' }

/** How long a check waits for one thing at most, in milliseconds. */
const patience = 20_000

export class Target {
  /** Without /v1. */
  readonly url: string
  readonly model: ConformanceModel
  readonly options: TargetOptions
  readonly client: OpenAI

  constructor(baseUrl: string, model: ConformanceModel, options: TargetOptions) {
    this.url = baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '')
    this.model = model
    this.options = options
    this.client = new OpenAI({ ...this.settings, baseURL: `${this.url}/v1` })
  }

  /** For a client of any class. */
  get settings() {
    return { apiKey: this.options.apiKey, maxRetries: 0, timeout: patience, fetch: judgingFetch }
  }

  /** Seconds until a run expires, as the contract has it if nobody said otherwise. */
  get ttl(): number {
    return this.options.runTtl ?? 600
  }

  /** A request by hand; `body` that is not a string or a form is sent as JSON. */
  async raw<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = v2,
    by: typeof fetch = judgingFetch,
  ): Promise<Reply<T>> {
    const asIs = typeof body === 'string' || body instanceof FormData || body instanceof Uint8Array
    const json = body === undefined || body instanceof FormData ? {} : { 'content-type': 'application/json' }
    const response = await by(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.options.apiKey}`, ...json, ...headers },
      ...(body === undefined ? {} : { body: asIs ? (body as RequestInit['body']) : JSON.stringify(body) }),
      signal: AbortSignal.timeout(patience),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parsed(text) as T }
  }

  get<T>(path: string): Promise<Reply<T>> {
    return this.raw('GET', path)
  }

  post<T>(path: string, body?: unknown): Promise<Reply<T>> {
    return this.raw('POST', path, body)
  }

  /** The text of a streaming POST, read to its end. */
  stream(
    path: string,
    body: object,
    patienceMs = patience,
  ): Promise<Pick<Reply<unknown>, 'text' | 'headers'>> {
    return this.watched(path, body, async () => {}, patienceMs)
  }

  /** The same; `watch` sees the text so far at each piece. */
  async watched(
    path: string,
    body: object,
    watch: (text: string) => Promise<void>,
    patienceMs = patience,
  ): Promise<Pick<Reply<unknown>, 'text' | 'headers'>> {
    const response = await judgingFetch(this.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.options.apiKey}`, 'content-type': 'application/json', ...v2 },
      body: JSON.stringify({ ...body, stream: true }),
      signal: AbortSignal.timeout(patienceMs),
    })
    if (response.status !== 200) assert.fail(`${response.status} ${await response.text()}`)
    let text = ''
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += piece
      await watch(text)
    }
    return { text, headers: response.headers }
  }

  /** The events of a streaming POST, without the `done`, which must be there. */
  async events(path: string, body: object): Promise<OpenAI.Beta.AssistantStreamEvent[]> {
    return eventsOf((await this.stream(path, body)).text)
  }

  assistant(fields: AssistantFields = {}): Promise<OpenAI.Beta.Assistant> {
    return this.client.beta.assistants.create({ model: this.options.modelName, ...fields })
  }

  /** A thread with these messages of the user. */
  thread(...texts: string[]): Promise<Thread> {
    const messages = texts.map((content) => ({ role: 'user' as const, content }))
    return this.client.beta.threads.create({ messages })
  }

  /** An assistant and a thread whose newest message is `text`. */
  async ready(text: string, fields: AssistantFields = {}): Promise<{ assistant: string; thread: string }> {
    const [assistant, thread] = await Promise.all([this.assistant(fields), this.thread(text)])
    return { assistant: assistant.id, thread: thread.id }
  }

  /** A run as it was created, on a thread of its own whose newest message is `text`. */
  async created(text: string, run: RunFields = {}, fields: AssistantFields = {}): Promise<Run> {
    const { assistant, thread } = await this.ready(text, fields)
    return this.client.beta.threads.runs.create(thread, { assistant_id: assistant, ...run })
  }

  /** The same when the run has stopped. */
  async ran(text: string, run: RunFields = {}, fields: AssistantFields = {}): Promise<Run> {
    return this.stopped(await this.created(text, run, fields))
  }

  /** A run that waits for the output of each of these functions. */
  async asking(...names: string[]): Promise<Run> {
    const run = await this.ran(`#calls ${names.join(' ')}`, {}, { tools: names.map(tool) })
    assert.equal(run.status, 'requires_action')
    return run
  }

  /** A run that works until it is cancelled or expires. */
  async hanging(): Promise<Run> {
    return this.until(await this.created('#hang'), ({ status }) => status === 'in_progress')
  }

  /** Reads a run until it is as wanted; `patienceMs` is longer for what takes the server's own time. */
  async until(run: Run, wanted: (run: Run) => boolean, patienceMs = patience): Promise<Run> {
    const end = performance.now() + patienceMs
    for (;;) {
      const now = await this.now(run)
      if (wanted(now)) return now
      assert.ok(performance.now() < end, `the run stays ${now.status}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** The run when it waits for outputs or has ended. */
  stopped(run: Run): Promise<Run> {
    return this.until(run, ({ status }) => !['queued', 'in_progress', 'cancelling'].includes(status))
  }

  now(run: Run): Promise<Run> {
    return this.client.beta.threads.runs.retrieve(run.id, { thread_id: run.thread_id })
  }

  /** Cancels a run and waits until it has ended. */
  async cancelled(run: Run): Promise<Run> {
    await this.client.beta.threads.runs.cancel(run.id, { thread_id: run.thread_id })
    return this.stopped(run)
  }

  /** Submits an output for each call, and waits until the run stops. */
  async answered(run: Run): Promise<Run> {
    const tool_outputs = outputsOf(run)
    const queued = await this.client.beta.threads.runs.submitToolOutputs(run.id, {
      thread_id: run.thread_id,
      tool_outputs,
    })
    return this.stopped(queued)
  }

  /** A small text file. */
  file(text = 'Corn.', purpose: OpenAI.FilePurpose = 'assistants'): Promise<OpenAI.FileObject> {
    return this.client.files.create({ file: new File([text], 'corn.txt'), purpose })
  }

  async messages(thread: string): Promise<OpenAI.Beta.Threads.Message[]> {
    return (await this.client.beta.threads.messages.list(thread, { order: 'asc', limit: 100 })).data
  }

  async steps({ id, thread_id }: Run): Promise<OpenAI.Beta.Threads.Runs.RunStep[]> {
    const page = await this.client.beta.threads.runs.steps.list(id, { thread_id, order: 'asc' })
    return page.data
  }

  /** Fails unless a request by hand is refused with this error. */
  async refused(method: string, path: string, body: unknown, expected: Refusal): Promise<void> {
    const { status, json, text: answer, headers } = await this.raw<{ error: ErrorFields }>(method, path, body)
    const { text, type = 'invalid_request_error', status: wanted = 400, ...rest } = expected
    assert.equal(status, wanted, answer.slice(0, 300))
    const { error } = json
    const seen = Object.fromEntries(Object.keys(rest).map((key) => [key, error[key as keyof ErrorFields]]))
    assert.deepEqual({ type: error.type, ...seen }, { type, ...rest }, answer.slice(0, 300))
    if (typeof text === 'string') assert.equal(error.message, text)
    else if (text) assert.match(error.message, text)
    assert.match(headers.get('x-request-id') ?? '', /^req_/)
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The events of a stream's text, without the `done`, which must be there and the last. */
export function eventsOf(text: string): OpenAI.Beta.AssistantStreamEvent[] {
  const frames = text.split('\n\n').flatMap(parseFrame)
  assert.deepEqual(frames.pop(), { event: 'done', data: '[DONE]' })
  return frames.map(
    ({ event, data }) => ({ event, data: JSON.parse(data) }) as OpenAI.Beta.AssistantStreamEvent,
  )
}

/** An output for each call that a run waits for. */
export function outputsOf(run: Run): { tool_call_id: string; output: string }[] {
  const calls = run.required_action?.submit_tool_outputs.tool_calls ?? []
  return calls.map(({ id }) => ({ tool_call_id: id, output: `of ${id}` }))
}

/** A function tool. */
export const tool = (name: string): OpenAI.Beta.FunctionTool => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: {} } },
})

/** The text of a message. */
export function textOf(message: OpenAI.Beta.Threads.Message | undefined): string {
  const part = message?.content[0]
  return part?.type === 'text' ? part.text.value : ''
}

/** A word that nothing else holds. */
export const unique = (): string => `mark-${Math.random().toString(36).slice(2)}`

/** The path of a thread's or a run's own resources. */
export const runsPath = (thread: string): string => `/v1/threads/${thread}/runs`
export const runPath = ({ id, thread_id }: Run): string => `${runsPath(thread_id)}/${id}`

/** So many of something. */
export const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index))
