import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import type { App } from '../../src/app.ts'
import { startApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { until } from './npm-start.ts'

// Clients that go on while the database comes and goes, and what must be true of every answer that they got.

interface Acknowledged {
  thread: string
  run: string
  text: string
}

interface Answer {
  status: number
  path: string
  headers: Headers
  body: string
  /** Milliseconds from the request to its answer. */
  took: number
}

/** Milliseconds within which every request has an answer: 5 s for a connection, 8 s for the fate of a commit, and some. */
const answeredWithin = 15_000

/** Starts a server that uses this environment only; the caller stops it. */
export function startNode(env: Record<string, string>): Promise<App> {
  return startApp(readConfig({ PORT: '0', ...env }), createLog('silent'), { drainMs: 1_000 })
}

/** Begins runs, and reads them, on each of `urls` in turn; remembers what was answered. */
export class OutageLoad {
  readonly answers: Answer[] = []
  readonly acknowledged: Acknowledged[] = []
  /** What /readyz of the first URL said, without repetitions. */
  readonly readiness: number[] = []
  readonly #urls: string[]
  readonly #workers: Promise<void>[]
  #assistant = ''
  #over = false

  constructor(urls: string[], workers = 6) {
    this.#urls = urls
    const ready = this.#makeAssistant()
    this.#workers = [
      ...Array.from({ length: workers }, (_, i) => ready.then(() => this.#work(i))),
      ready.then(() => this.#watch()),
    ]
  }

  /** Resolves when `more` runs were acknowledged from now on. */
  async goesOn(more: number): Promise<void> {
    const goal = this.acknowledged.length + more
    await until(() => this.acknowledged.length >= goal, `${more} more runs`)
  }

  /** Ends the load. */
  async stop(): Promise<void> {
    this.#over = true
    await Promise.all(this.#workers)
  }

  /** Every answer was 2xx, or a 503 that says what to do; what was acknowledged is there, once, and every run has completed. */
  async check(): Promise<void> {
    for (const { status, path, headers, body, took } of this.answers) {
      assert.ok(took < answeredWithin, `${path} was answered after ${took} ms`)
      if (status === 200) continue
      assert.equal(status, 503, `${path}: ${body}`)
      const unknown = body.includes('Look whether it was done')
      assert.equal(headers.get('x-should-retry'), unknown ? 'false' : null, body)
      assert.equal(headers.get('retry-after'), unknown ? null : '1', body)
      assert.ok(path.startsWith('POST') || !unknown, `${path}: a read has no unknown outcome`)
    }
    const client = new OpenAI({ baseURL: `${this.#urls.at(-1)}/v1`, apiKey: 'unused' })
    for (const { thread, run, text } of this.acknowledged) {
      const ended = await client.beta.threads.runs.poll(run, { thread_id: thread })
      assert.equal(ended.status, 'completed', ended.last_error?.message)
      const messages = await client.beta.threads.messages.list(thread, { order: 'asc' })
      const told = messages.data.map(({ role, content: [part] }) => [
        role,
        part?.type === 'text' ? part.text.value : '',
      ])
      assert.deepEqual(told, [
        ['user', text],
        ['assistant', 'Done.'],
      ])
    }
  }

  async #makeAssistant(): Promise<void> {
    const { body } = await this.#send(this.#urls[0] ?? '', 'POST /v1/assistants', { model: 'mock-model' })
    this.#assistant = (JSON.parse(body) as { id: string }).id
  }

  async #work(worker: number): Promise<void> {
    for (let i = 0; !this.#over; i++) {
      const url = this.#urls[(worker + i) % this.#urls.length] ?? ''
      const text = `Worker ${worker}, question ${i}`
      const made = await this.#send(url, 'POST /v1/threads/runs', {
        assistant_id: this.#assistant,
        thread: { messages: [{ role: 'user', content: text }] },
      })
      if (made.status === 200) {
        const run = JSON.parse(made.body) as { id: string; thread_id: string }
        this.acknowledged.push({ thread: run.thread_id, run: run.id, text })
        await this.#send(url, `GET /v1/threads/${run.thread_id}/messages`)
      }
      await sleep(20)
    }
  }

  async #watch(): Promise<void> {
    while (!this.#over) {
      const { status } = await fetch(`${this.#urls[0]}/readyz`)
      if (this.readiness.at(-1) !== status) this.readiness.push(status)
      await sleep(20)
    }
  }

  async #send(url: string, path: string, body?: object): Promise<Answer> {
    const [method = '', target = ''] = path.split(' ')
    const since = performance.now()
    const response = await fetch(url + target, {
      method,
      headers: { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const answer = {
      status: response.status,
      path,
      headers: response.headers,
      body: await response.text(),
      took: performance.now() - since,
    }
    this.answers.push(answer)
    return answer
  }
}
