import { Agent, request, type Dispatcher } from 'undici'

// The few calls of the API that the lines beside the baseline's load need. Any answer but a good one throws.

export interface RunView {
  id: string
  status: string
  required_action?: { submit_tool_outputs: { tool_calls: { id: string }[] } } | null
  last_error?: { message: string } | null
}

interface ListView {
  data: { id: string; role?: string; content?: { text?: { value: string } }[] }[]
}

const headers = {
  authorization: 'Bearer bench',
  'openai-beta': 'assistants=v2',
  'content-type': 'application/json',
}
const over = new Set(['completed', 'failed', 'cancelled', 'expired', 'incomplete', 'requires_action'])

export class Api {
  readonly #base: string
  readonly #agent: Agent

  constructor(base: string, connections = 256) {
    this.#base = base
    this.#agent = new Agent({ connections, headersTimeout: 300_000, bodyTimeout: 300_000 })
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }

  async call<T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
    const answer = await this.#send(method, path, body)
    return (await answer.body.json()) as T
  }

  async #send(method: 'GET' | 'POST', path: string, body?: object): Promise<Dispatcher.ResponseData> {
    const answer = await request(this.#base + path, {
      method,
      headers,
      dispatcher: this.#agent,
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    if (answer.statusCode === 200) return answer
    throw new Error(`${method} ${path}: ${answer.statusCode} ${(await answer.body.text()).slice(0, 300)}`)
  }

  async assistant(settings: object = {}): Promise<string> {
    return (await this.call<RunView>('POST', '/assistants', { model: 'mock', ...settings })).id
  }

  /** A thread with one message. */
  async thread(content?: string): Promise<string> {
    const { id } = await this.call<RunView>('POST', '/threads', {})
    if (content !== undefined) await this.message(id, content)
    return id
  }

  async message(thread: string, content: string): Promise<string> {
    return (await this.call<RunView>('POST', `/threads/${thread}/messages`, { role: 'user', content })).id
  }

  async run(thread: string, assistant: string, settings: object = {}): Promise<string> {
    const body = { assistant_id: assistant, ...settings }
    return (await this.call<RunView>('POST', `/threads/${thread}/runs`, body)).id
  }

  getRun(thread: string, run: string): Promise<RunView> {
    return this.call('GET', `/threads/${thread}/runs/${run}`)
  }

  messages(thread: string, query = 'limit=20'): Promise<ListView> {
    return this.call('GET', `/threads/${thread}/messages?${query}`)
  }

  steps(thread: string, run: string): Promise<ListView> {
    return this.call('GET', `/threads/${thread}/runs/${run}/steps?limit=20`)
  }

  /** Polls as the baseline's load does, until the run waits for nobody but the client. */
  async ended(thread: string, run: string, mostMs = 120_000): Promise<RunView> {
    const until = performance.now() + mostMs
    for (let wait = 4; ; wait = Math.min(100, wait * 1.6)) {
      const now = await this.getRun(thread, run)
      if (over.has(now.status)) return now
      if (performance.now() > until) throw new Error(`a run is ${now.status} after ${mostMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
  }

  /** A run that must complete; milliseconds from its create to the poll that saw its end. */
  async timedRun(thread: string, assistant: string, settings: object = {}): Promise<number> {
    const since = performance.now()
    const run = await this.run(thread, assistant, settings)
    const { status, last_error } = await this.ended(thread, run)
    if (status !== 'completed') throw new Error(`a run ended ${status}: ${last_error?.message ?? ''}`)
    return performance.now() - since
  }

  /** A streamed run that must complete: milliseconds to its end, and all that the stream said. */
  async timedStream(
    thread: string,
    assistant: string,
    settings: object = {},
  ): Promise<{ ms: number; text: string }> {
    const since = performance.now()
    const body = { assistant_id: assistant, ...settings }
    const text = await (await this.stream(`/threads/${thread}/runs`, body)).text()
    if (!text.includes('event: thread.run.completed')) throw new Error(`a stream ended: ${text.slice(-300)}`)
    return { ms: performance.now() - since, text }
  }

  /** The body of a streaming POST, as it comes. */
  async stream(path: string, body: object): Promise<Dispatcher.ResponseData['body']> {
    return (await this.#send('POST', path, { ...body, stream: true })).body
  }
}

/** Runs `work` `count` times, at most `width` at a time; rejects with the first failure. */
export async function inParallel(
  count: number,
  width: number,
  work: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
}
