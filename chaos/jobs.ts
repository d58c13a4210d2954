import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { NotDone, type Answer, type Client } from './client.ts'
import type { History } from './history.ts'

// What clients do: each job is one thread, from its making to the end of its runs.

const tool = { type: 'function', function: { name: 'look', parameters: { type: 'object' } } }
const active = new Set(['queued', 'in_progress', 'cancelling'])
let count = 0

export type Kind = 'plain' | 'atOnce' | 'tool' | 'stream' | 'cancel' | 'queue' | 'replace' | 'delete'

export class Jobs {
  readonly #client: Client
  readonly #history: History
  readonly #assistant: string
  /** Before its run a thread gets so many messages at most. */
  readonly #messages: number

  constructor(client: Client, history: History, assistant: string, messages = 3) {
    this.#client = client
    this.#history = history
    this.#assistant = assistant
    this.#messages = messages
  }

  /** One job of a random kind. */
  async any(): Promise<void> {
    const kinds = [
      'plain',
      'plain',
      'atOnce',
      'tool',
      'tool',
      'stream',
      'stream',
      'cancel',
      'queue',
      'replace',
      'delete',
    ] as const
    const kind = this.#client.random.pick(kinds)
    await this.one(kind)
  }

  /** One job. What is refused or stays unknown ends it; what hangs is noted. */
  async one(kind: Kind): Promise<void> {
    const name = `job-${++count}-${kind}`
    try {
      await this[kind](name)
    } catch (error) {
      if (!(error instanceof NotDone)) this.#history.stuck.push(`${name}: ${(error as Error).message}`)
    }
    this.#history.ends.push(performance.now())
  }

  async plain(name: string): Promise<void> {
    const thread = await this.#thread(name)
    await this.#ended(thread, await this.#run(thread, name))
  }

  /** A thread and its run in one request. */
  async atOnce(name: string): Promise<void> {
    const thread = { metadata: { marker: name }, messages: [{ role: 'user', content: `${name}-m0` }] }
    const { body } = await this.#client.change('run', name, null, '/v1/threads/runs', {
      ...this.#settings(name),
      thread,
    })
    await this.#ended(String(body['thread_id']), String(body['id']))
  }

  async tool(name: string): Promise<void> {
    const thread = await this.#thread(name)
    const run = await this.#run(thread, name, { tools: [tool] })
    const following = this.#maybeFollow(thread, run)
    following.catch(() => {})
    const asked = await this.#ended(thread, run)
    if (asked['status'] !== 'requires_action') return following
    const { submit_tool_outputs: wanted } = asked['required_action'] as {
      submit_tool_outputs: { tool_calls: { id: string }[] }
    }
    const tool_outputs = wanted.tool_calls.map(({ id }) => ({
      tool_call_id: id,
      output: `output of ${name}`,
    }))
    const path = `/v1/threads/${thread}/runs/${run}/submit_tool_outputs`
    const submit = () => this.#client.change('submit', name, thread, path, { tool_outputs })
    // Two that do not know of each other say the same.
    const done = await Promise.allSettled(this.#client.random.chance(0.3) ? [submit(), submit()] : [submit()])
    if (
      done.every(({ status }) => status === 'rejected') &&
      (await this.#status(thread, run)) === 'requires_action'
    )
      throw new NotDone('the outputs were not taken')
    await Promise.all([following, this.#ended(thread, run)])
  }

  async stream(name: string): Promise<void> {
    const thread = await this.#thread(name)
    const path = `/v1/threads/${thread}/runs`
    const body = this.#settings(name)
    const key = randomUUID()
    const response = await this.#client.open(path, { ...body, stream: true }, key)
    // Whoever was cut off before the first byte asks with the same key, until there is an answer.
    const run = await this.#streamed(path, { ...body, stream: true }, key, response)
    this.#history.requests.push({
      deed: 'run',
      marker: name,
      thread,
      key,
      sentAt: performance.now(),
      answeredAt: performance.now(),
      outcome: 'done',
      id: run.id,
    })
    await Promise.all([
      this.#client.follow(thread, run.id, { run: run.id, events: run.events, whole: false }),
      this.#client.follow(thread, run.id, { run: run.id, events: [], whole: false }),
      this.#ended(thread, run.id),
    ])
  }

  async cancel(name: string): Promise<void> {
    const thread = await this.#thread(name)
    const run = await this.#run(thread, name)
    const following = this.#maybeFollow(thread, run)
    following.catch(() => {})
    await sleep(this.#client.random.below(150))
    const sentAt = performance.now()
    const path = `/v1/threads/${thread}/runs/${run}/cancel`
    const done = await this.#client.change('cancel', name, thread, path, null).then(
      () => true,
      (error: unknown) => {
        if (error instanceof NotDone) return false
        throw error
      },
    )
    if (done) this.#history.cancelled.add(run)
    const { status } = await this.#ended(thread, run)
    if (done) this.#history.cancels.push({ sentAt, endedAt: performance.now() })
    if (status !== 'requires_action') await following
  }

  async queue(name: string): Promise<void> {
    const thread = await this.#thread(name)
    const first = await this.#run(thread, `${name}-1`)
    const queued = this.#under('queue')
    await this.#message(thread, `${name}-between`, queued)
    const second = await this.#run(thread, `${name}-2`, {}, queued)
    await this.#message(thread, `${name}-behind`, queued)
    await this.#ended(thread, first)
    await this.#ended(thread, second)
  }

  async replace(name: string): Promise<void> {
    const thread = await this.#thread(name)
    const first = await this.#run(thread, `${name}-1`)
    const replacing = this.#under('replace')
    if (this.#client.random.chance(0.5)) await this.#message(thread, `${name}-instead`, replacing)
    const second = await this.#run(thread, `${name}-2`, {}, replacing)
    const statuses = [await this.#ended(thread, first), await this.#ended(thread, second)].map(({ status }) =>
      String(status),
    )
    // The first may have been faster. Nothing replaces the second.
    if (!/^(cancelled|completed|failed),(completed|failed)$/.test(statuses.join()))
      throw new Error(`a run and the one that replaces it ended ${statuses.join(' and ')}`)
  }

  /** How something is sent to a thread that a run may hold: with a key, and often twice at once, as a client with two lives might. */
  #under(policy: 'queue' | 'replace') {
    const headers = { 'x-thread-policy': policy }
    return { keyed: true, twice: this.#client.random.chance(0.5), headers }
  }

  async delete(name: string): Promise<void> {
    const thread = await this.#thread(name)
    await this.#run(thread, name)
    await sleep(this.#client.random.below(150))
    await this.#client.change('delete', name, thread, `/v1/threads/${thread}`, null)
    const { status } = await this.#client.get(`/v1/threads/${thread}`)
    if (status !== 404) throw new Error(`a deleted thread answers ${status}`)
  }

  /** One more reader of a run's events, now and then. */
  async #maybeFollow(thread: string, run: string): Promise<void> {
    if (this.#client.random.chance(0.5))
      await this.#client.follow(thread, run, { run, events: [], whole: false })
  }

  async #thread(name: string): Promise<string> {
    const { body } = await this.#client.change('thread', name, null, '/v1/threads', {
      metadata: { marker: name },
    })
    const thread = String(body['id'])
    const messages = 1 + this.#client.random.below(this.#messages)
    for (let i = 0; i < messages; i++) await this.#message(thread, `${name}-m${i}`)
    return thread
  }

  async #message(
    thread: string,
    text: string,
    more: { headers?: Record<string, string> } = {},
  ): Promise<void> {
    const body = { role: 'user', content: text }
    await this.#client.change('message', text, thread, `/v1/threads/${thread}/messages`, body, more)
  }

  async #run(thread: string, name: string, more: object = {}, how: object = {}): Promise<string> {
    const body = { ...this.#settings(name), ...more }
    const answer = await this.#client.change('run', name, thread, `/v1/threads/${thread}/runs`, body, how)
    return String(answer.body['id'])
  }

  /** Of a run that the model and the judge know by this name. */
  #settings(name: string) {
    return { assistant_id: this.#assistant, instructions: name, metadata: { marker: name } }
  }

  async #status(thread: string, run: string): Promise<string> {
    return String((await this.#look(thread, run)).body['status'])
  }

  async #look(thread: string, run: string): Promise<Answer> {
    const sentAt = performance.now()
    const answer = await this.#client.get(`/v1/threads/${thread}/runs/${run}`)
    const status = String(answer.body['status'])
    this.#history.sightings.push({ run, status, sentAt, at: performance.now() })
    return answer
  }

  /** Polls until the run stops to be worked on. */
  async #ended(thread: string, run: string): Promise<Record<string, unknown>> {
    const until = performance.now() + 60_000
    for (;;) {
      const { body } = await this.#look(thread, run)
      if (!active.has(String(body['status']))) return body
      if (performance.now() > until) throw new Error(`${run} is still ${String(body['status'])}`)
      await sleep(25)
    }
  }

  async #streamed(path: string, body: object, key: string, response: Response | null) {
    const until = performance.now() + 60_000
    for (let answer = response; ; answer = await this.#client.open(path, body, key)) {
      if (answer?.status === 200) {
        const events = await firstEvents(answer)
        if (events !== null) return events
      } else if (answer && answer.status !== 503 && answer.status !== 409) {
        throw new Error(`${path} was answered ${answer.status} ${await answer.text()}`)
      }
      if (performance.now() > until) throw new Error(`${path} was not answered`)
      await sleep(100)
    }
  }
}

/** Reads a stream up to where it tells its run, and leaves it there: another connection goes on. */
async function firstEvents(response: Response) {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  try {
    for (;;) {
      const part = await reader?.read()
      if (!part || part.done) return null
      text += decoder.decode(part.value, { stream: true })
      const [, data, id] = /event: thread\.run\.created\ndata: (.*)\nid: (.*)\n\n/.exec(text) ?? []
      if (data === undefined || id === undefined) continue
      await reader?.cancel().catch(() => {})
      const run = JSON.parse(data) as { id: string }
      return { id: run.id, events: [{ id, event: 'thread.run.created', data }] }
    }
  } catch {
    return null
  }
}
