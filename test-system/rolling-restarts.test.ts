import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import OpenAI from 'openai'
import { createDatabase } from '../test/support/database.ts'
import { atEnd, root } from '../test/support/embedded-postgres.ts'
import { startMockModel, text } from '../test/support/mock-model.ts'
import { freePort, start, until, type Started } from '../test/support/npm-start.ts'
import { parseFrame } from '../test/support/contract.ts'

// Two servers that are restarted in turn, again and again, under load.

const restarts = 50

/** Milliseconds. */
const stopWithin = 15_000

interface Node {
  readonly url: string
  process: Started
  start(): Promise<void>
}

async function node(t: TestContext, env: Record<string, string>): Promise<Node> {
  const port = await freePort()
  const command: [string, ...string[]] = [process.execPath, join(root, 'src/main.ts')]
  const one: Node = {
    url: `http://127.0.0.1:${port}`,
    process: undefined as unknown as Started,
    async start() {
      one.process = start(t, { command, env: { ...env, PORT: String(port) } })
      await one.process.listening()
    },
  }
  await one.start()
  return one
}

/** The status of /readyz; 0 if nobody answers. */
function readinessOf(url: string): Promise<number> {
  return fetch(`${url}/readyz`).then(
    ({ status }) => status,
    () => 0,
  )
}

/** Whether the server was not there, said that it is leaving, or closed a connection that was idle as the request came: ask the other. */
function isNotThere(error: unknown): boolean {
  if (error instanceof OpenAI.APIConnectionError)
    return /ECONNREFUSED|UND_ERR_SOCKET|ECONNRESET|EPIPE/.test(inspect(error, { depth: 5 }))
  return (
    error instanceof OpenAI.APIError && error.status === 503 && error.headers?.get('retry-after') !== null
  )
}

class Load {
  readonly runs: { thread: string; run: string; asked: string }[] = []
  readonly #clients: OpenAI[]
  readonly #urls: string[]
  rejoined = 0
  #over = false

  constructor(urls: string[]) {
    this.#urls = urls
    this.#clients = urls.map((url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 }))
  }

  /** Asks one server, and the other when the first is not there. */
  async ask<T>(first: number, work: (client: OpenAI) => Promise<T>): Promise<T> {
    for (let i = first; ; i++) {
      try {
        return await work(this.#clients[i % 2] ?? assert.fail())
      } catch (error) {
        if (!isNotThere(error)) throw error
        await sleep(20)
      }
    }
  }

  async work(worker: number, assistant_id: string): Promise<void> {
    for (let i = 0; !this.#over; i++) {
      const asked = `Worker ${worker}, question ${i}`
      const body = { assistant_id, thread: { messages: [{ role: 'user' as const, content: asked }] } }
      // It may have been done although its connection broke: with its key it is not done twice.
      const headers = { 'idempotency-key': `${worker}-${i}` }
      const run = await this.ask(worker + i, (client) => client.beta.threads.createAndRun(body, { headers }))
      this.runs.push({ thread: run.thread_id, run: run.id, asked })
      assert.equal(await this.#follow(worker + i, run.thread_id, run.id), 'One, two, three.')
    }
  }

  /** Reads the events of a run to their end, from wherever they can be had; answers the text of the deltas that stay. */
  async #follow(first: number, thread: string, run: string): Promise<string> {
    const said = new Map<string, string>()
    let last = ''
    for (let i = first; ; i++) {
      try {
        const response = await fetch(`${this.#urls[i % 2]}/v1/threads/${thread}/runs/${run}/events`, {
          headers: { 'openai-beta': 'assistants=v2', ...(last ? { 'last-event-id': last } : {}) },
        })
        if (!response.ok) continue
        let rest = ''
        for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
          const frames = (rest + chunk).split('\n\n')
          rest = frames.pop() ?? ''
          for (const frame of frames) {
            last = /^id: (.+)$/m.exec(frame)?.[1] ?? last
            for (const { event, data } of parseFrame(frame)) {
              if (event === 'done') return [...said.values()].join('|')
              take(said, event ?? '', JSON.parse(data) as Delta)
            }
          }
        }
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
      }
      // It broke off: on it goes behind what was seen last.
      this.rejoined += 1
      await sleep(20)
    }
  }

  stop(): void {
    this.#over = true
  }
}

interface Delta {
  id: string
  delta?: { content?: { text?: { value?: string } }[] }
}

function take(said: Map<string, string>, event: string, { id, delta }: Delta): void {
  if (event === 'thread.message.incomplete') said.delete(id)
  const text = delta?.content?.[0]?.text?.value
  if (text !== undefined) said.set(id, (said.get(id) ?? '') + text)
}

test(
  `${restarts} rolling restarts of two servers under load lose nothing`,
  { timeout: 280_000 },
  async (t) => {
    const db = await createDatabase()
    atEnd(t, () => db.drop())
    const mock = await startMockModel()
    atEnd(t, () => mock.close())
    mock.when(
      () => true,
      (exchange) => text('One, ', sleep(60), 'two, ', sleep(120), 'three.')(exchange),
    )
    const env = { DATABASE_URL: db.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' }
    const nodes = [await node(t, env), await node(t, env)] as const
    const load = new Load(nodes.map(({ url }) => url))
    const { id } = await load.ask(0, (client) => client.beta.assistants.create({ model: 'mock-model' }))
    const workers = Promise.all(Array.from({ length: 4 }, (_, i) => load.work(i, id)))
    let [longest, leaving] = [0, 0]
    for (let i = 0; i < restarts; i++) {
      const one = nodes[i % 2] ?? assert.fail()
      const before = load.runs.length
      await Promise.race([workers, until(() => load.runs.length > before, 'the load goes on')])
      const since = performance.now()
      one.process.signalGroup('SIGTERM')
      let readiness = 200
      // The signal takes a moment to arrive; from then on it never says 200 again.
      while (readiness === 200) readiness = await readinessOf(one.url)
      if (readiness === 503) leaving += 1
      assert.equal(await one.process.ended(), 0, one.process.output())
      longest = Math.max(longest, performance.now() - since)
      await one.start()
    }
    load.stop()
    await workers
    assert.equal(leaving, restarts, 'each server said that it is leaving before it closed its port')
    assert.ok(longest < stopWithin, `${longest} ms`)
    t.diagnostic(
      `${load.runs.length} runs, ${load.rejoined} streams rejoined, the longest stop ${Math.round(longest)} ms, readyz 503 seen ${leaving} times`,
    )
    for (const { thread, run, asked } of load.runs) {
      const ended = await load.ask(0, (client) =>
        client.beta.threads.runs.retrieve(run, { thread_id: thread }),
      )
      assert.equal(ended.status, 'completed', ended.last_error?.message)
      const messages = await load.ask(0, (client) =>
        client.beta.threads.messages.list(thread, { order: 'asc' }),
      )
      const told = messages.data.map(({ content: [part] }) => (part?.type === 'text' ? part.text.value : ''))
      assert.deepEqual(told, [asked, 'One, two, three.'])
    }
  },
)
