import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Deed, History, Reading, Request } from './history.ts'
import type { NodeProcess } from './node-process.ts'
import type { Random } from './random.ts'

// A client that knows the rules: it sends a request again only if nothing was done, or if its key makes that harmless.

const headers = { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' }

/** How long a request is tried, in milliseconds. */
const patienceMs = 60_000

/** How long a node that refused a connection is left alone, in milliseconds. */
const refusedForMs = 500

export interface Answer {
  status: number
  body: Record<string, unknown>
}

/** An answer, and what its headers say about sending the request again. */
interface Heard extends Answer {
  /** Nobody knows whether it was done. */
  unknown: boolean
  retryAfter: boolean
}

export interface How {
  /** Whether it has an Idempotency-Key, if that is not left to chance. */
  keyed?: boolean
  /** With its key it is sent twice at once, to any servers. */
  twice?: boolean
  headers?: Record<string, string>
}

/** The request was refused, or nobody knows what became of it. */
export class NotDone extends Error {}

export class Client {
  readonly #nodes: readonly NodeProcess[]
  readonly #history: History
  readonly random: Random
  /** How many of its requests have an Idempotency-Key. */
  readonly #keyed: number
  /** When each node last refused a connection, as performance.now() tells it. */
  readonly #refusedAt = new Map<NodeProcess, number>()

  constructor(nodes: readonly NodeProcess[], history: History, random: Random, keyed = 0.8) {
    this.#nodes = nodes
    this.#history = history
    this.random = random
    this.#keyed = keyed
  }

  /** Makes a change. Throws NotDone if it was refused or its outcome stays unknown. */
  async change(
    deed: Deed,
    marker: string,
    thread: string | null,
    path: string,
    body: object | null,
    more: How = {},
  ): Promise<Answer> {
    const key = deed !== 'delete' && (more.keyed ?? this.random.chance(this.#keyed)) ? randomUUID() : null
    const request: Request = {
      deed,
      marker,
      thread,
      key,
      sentAt: performance.now(),
      answeredAt: null,
      outcome: 'unknown',
      id: null,
    }
    this.#history.requests.push(request)
    const sent = { ...headers, ...(key === null ? {} : { 'idempotency-key': key }), ...more.headers }
    const method = deed === 'delete' ? 'DELETE' : 'POST'
    const send = () => this.#send(method, path, sent, body, key !== null)
    const [answer, twin] = await Promise.all([send(), key !== null && more.twice ? send() : null])
    if (answer && twin && (answer.status !== twin.status || answer.body['id'] !== twin.body['id']))
      this.#history.badAnswers.push({
        path: `${path}, sent twice with one key,`,
        status: twin.status,
        body: JSON.stringify([answer.body, twin.body]).slice(0, 300),
      })
    if (answer === null) throw new NotDone(`the outcome of ${method} ${path} is unknown`)
    request.answeredAt = performance.now()
    request.outcome = answer.status === 200 ? 'done' : 'refused'
    if (answer.status !== 200)
      throw new NotDone(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    request.id = String(answer.body['id'])
    // A run may have been made with its thread.
    if (typeof answer.body['thread_id'] === 'string') request.thread = answer.body['thread_id']
    return answer
  }

  async get(path: string): Promise<Answer> {
    const answer = await this.#send('GET', path, headers, null, true)
    if (answer === null) throw new Error(`GET ${path} was not answered`)
    return answer
  }

  /** Null if nobody can know whether it was done. */
  async #send(
    method: string,
    path: string,
    sent: Record<string, string>,
    body: object | null,
    repeatable: boolean,
  ): Promise<Answer | null> {
    const until = performance.now() + patienceMs
    for (let pause = 20; ; pause = Math.min(500, pause * 2)) {
      const node = this.#pick()
      const answer = await once(node.url + path, method, sent, body)
      if (typeof answer === 'object') this.#judge(path, answer)
      if (answer === 'refused') {
        // Nobody listens there, and nothing was sent: the next one is asked at once, as a load balancer does.
        this.#refusedAt.set(node, performance.now())
        if (this.#listening().length > 0) continue
      } else if (answer === 'broken') {
        if (!repeatable) return null
      } else if (answer.status === 503 || answer.status === 409) {
        if (answer.unknown && !repeatable) return null
      } else {
        return answer
      }
      if (performance.now() > until) throw new Error(`${method} ${path} was not answered in ${patienceMs} ms`)
      await sleep(pause)
    }
  }

  /** Any node; those that refused a moment ago only if all did. */
  #pick(): NodeProcess {
    const listening = this.#listening()
    return this.random.pick(listening.length > 0 ? listening : this.#nodes)
  }

  #listening(): NodeProcess[] {
    const since = performance.now() - refusedForMs
    return this.#nodes.filter((node) => (this.#refusedAt.get(node) ?? -Infinity) < since)
  }

  #judge(path: string, { status, body, unknown, retryAfter }: Heard): void {
    const text = JSON.stringify(body)
    const leak = /\\n\s+at |node:internal|postgres:\/\/|\bECONN|terminating connection/.test(text)
    const known = status < 500 || (status === 503 && (unknown || retryAfter))
    if (!known || leak || !text.startsWith('{'))
      this.#history.badAnswers.push({ path, status, body: text.slice(0, 300) })
  }

  /** Reads the events of a run to their end, over as many connections, to any nodes, as it takes. */
  async follow(thread: string, run: string, reading: Reading): Promise<void> {
    this.#history.readings.push(reading)
    const until = performance.now() + patienceMs
    while (!reading.whole) {
      if (performance.now() > until) throw new Error(`the events of ${run} did not end`)
      const last = reading.events.at(-1)?.id
      const path = `/v1/threads/${thread}/runs/${run}/events`
      const again = { ...headers, ...(last === undefined ? {} : { 'last-event-id': last }) }
      // Readers lose their connections too.
      const signal = AbortSignal.timeout(this.random.chance(0.3) ? 1 + this.random.below(400) : patienceMs)
      const response = await fetch(this.random.pick(this.#nodes).url + path, {
        headers: again,
        signal,
      }).catch(() => null)
      if (response?.status === 200) await read(response, reading)
      else if (response) {
        const body = await response.text().catch(() => '')
        if (response.status !== 503) this.#history.badAnswers.push({ path, status: response.status, body })
      }
      if (!reading.whole) await sleep(50)
    }
  }

  /** Opens the stream of a new run; null if it could not be opened at once: then its key is used to ask again. */
  async open(path: string, body: object, key: string): Promise<Response | null> {
    const sent = { ...headers, 'idempotency-key': key }
    return fetch(this.random.pick(this.#nodes).url + path, {
      method: 'POST',
      headers: sent,
      body: JSON.stringify(body),
    }).catch(() => null)
  }
}

async function once(
  url: string,
  method: string,
  sent: Record<string, string>,
  body: object | null,
): Promise<Heard | 'refused' | 'broken'> {
  try {
    const response = await fetch(url, { method, headers: sent, body: body && JSON.stringify(body) })
    return {
      status: response.status,
      body: parsed(await response.text()) as Record<string, unknown>,
      unknown: response.headers.get('x-should-retry') === 'false',
      retryAfter: response.headers.has('retry-after'),
    }
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string }
    return code === 'ECONNREFUSED' ? 'refused' : 'broken'
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Reads one connection of a stream until it breaks off. */
async function read(response: Response, reading: Reading): Promise<void> {
  let rest = ''
  const decoder = new TextDecoder()
  try {
    for await (const part of response.body ?? []) {
      rest += decoder.decode(part as Uint8Array, { stream: true })
      const frames = rest.split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) take(frame, reading)
    }
  } catch {
    // It broke off: the next connection goes on behind the last whole event.
  }
}

function take(frame: string, reading: Reading): void {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(frame)?.[1]
  const event = field('event')
  if (event === undefined) return
  if (event === 'done') reading.whole = true
  else reading.events.push({ id: field('id') ?? '', event, data: field('data') ?? '' })
}
