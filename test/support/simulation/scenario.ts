import type { Body, Operation, OperationKind, Request } from './clients.ts'
import type { Process } from './process.ts'
import type { Random } from './random.ts'

// What the clients of a simulation do: like people who know only what they were told.

export const assistantId = 'asst_simulation'

let lives = 0

interface KnownRun {
  id: string
  thread: string
}

export interface Plan {
  operation: Operation
  request: Request
}

export class Clients {
  readonly operations: Operation[] = []
  readonly #random: Random
  /** Servers outlive simulations, and remember keys. */
  readonly #life = lives++

  constructor(random: Random) {
    this.#random = random
  }

  /** What a client does next by way of `process`; null if there is nothing to do yet. */
  next(process: Process, step: number): Plan | null {
    const [again] = this.unsettled()
    if (again && this.#random.chance(0.5)) return this.retrying(again, process, step)
    for (let tries = 0; tries < 8; tries++) {
      const operation = this.#operation(this.#kind(), process, step)
      const request = this.#request(operation)
      if (request === null) continue
      this.operations.push(operation)
      operation.request = this.#random.chance(0.5)
        ? withKey(request, `${this.#life}.${operation.n}`)
        : request
      return { operation, request: operation.request }
    }
    return null
  }

  /** Requests with a key whose outcome their clients do not know, or that they are to send again. */
  unsettled(): Operation[] {
    return this.operations.filter(
      ({ request, next, status, process }) =>
        next === null &&
        request?.headers?.['idempotency-key'] !== undefined &&
        (status === 503 || (status === null && !process.alive)),
    )
  }

  /** The same request once more. */
  retrying(former: Operation, process: Process, step: number): Plan | null {
    const { kind, thread, run, texts, request, first } = former
    if (request === null) return null
    const operation = { ...this.#operation(kind, process, step), thread, run, texts, request, first }
    former.next = operation
    this.operations.push(operation)
    return { operation, request }
  }

  /** Streams that broke off with their process, and that nobody has gone on with. */
  cutStreams(): Operation[] {
    return this.operations.filter(
      ({ kind, process, ended, status, next }) =>
        (kind === 'follow' || kind === 'stream_run') &&
        status === 200 &&
        !process.alive &&
        !ended &&
        next === null,
    )
  }

  /** The request that goes on where a stream broke. */
  rejoining(former: Operation, process: Process, step: number): Plan | null {
    const run = former.run ?? runOf(former)[0]?.id
    if (run === undefined) return null
    const operation = { ...this.#operation('follow', process, step), run, thread: former.thread }
    operation.frames.push(...former.frames)
    former.next = operation
    this.operations.push(operation)
    return { operation, request: following(operation) }
  }

  /** All events of runs that have ended and the messages of all threads, as each process tells them. */
  lastLook(processes: readonly Process[], step: number, hasEnded: (run: string) => boolean): Plan[] {
    const plans: Plan[] = []
    const plan = (operation: Operation, request: Request) => {
      this.operations.push(operation)
      plans.push({ operation, request })
    }
    for (const process of processes) {
      for (const thread of this.threads) {
        const operation = { ...this.#operation('list_messages', process, step), thread, last: true }
        plan(operation, { method: 'GET', path: `/threads/${thread}/messages?order=asc&limit=100` })
      }
      for (const { id: run, thread } of this.runs.filter(({ id }) => hasEnded(id))) {
        const operation = { ...this.#operation('follow', process, step), run, thread, last: true }
        plan(operation, following(operation))
      }
    }
    return plans
  }

  /** Whether all that was asked at last is answered to its end. */
  get lastAnswered(): boolean {
    return this.operations.every(
      ({ last, kind, status, ended }) => !last || (status !== null && (kind !== 'follow' || ended)),
    )
  }

  /** Threads that clients were told of and have not deleted. */
  get threads(): string[] {
    const deleted = new Set(this.#of('delete_thread').map(({ thread }) => thread))
    const known = this.#acknowledged('create_thread', 'create_thread_and_run').map(
      ({ kind, body }) => (kind === 'create_thread' ? body.id : body.thread_id) ?? '',
    )
    return [...new Set(known)].filter((id) => !deleted.has(id))
  }

  /** Runs that clients were told of, on threads that they have not deleted. */
  get runs(): KnownRun[] {
    const threads = new Set(this.threads)
    const made = this.#acknowledged('create_run', 'create_thread_and_run', 'stream_run').flatMap(runOf)
    const byId = new Map(made.map((run) => [run.id, run]))
    return [...byId.values()].filter(({ thread }) => threads.has(thread))
  }

  #of(...kinds: OperationKind[]): Operation[] {
    return this.operations.filter(({ kind }) => kinds.includes(kind))
  }

  #acknowledged(...kinds: OperationKind[]): Operation[] {
    return this.#of(...kinds).filter(({ status }) => status === 200)
  }

  #operation(kind: OperationKind, process: Process, step: number): Operation {
    const n = this.operations.length + 1
    return {
      n,
      first: n,
      request: null,
      kind,
      process,
      thread: null,
      run: null,
      texts: [],
      sentAt: step,
      answeredAt: null,
      status: null,
      body: {},
      headers: {},
      frames: [],
      ended: false,
      next: null,
      last: false,
    }
  }

  #kind(): OperationKind {
    const most = this.#of('create_thread', 'create_thread_and_run').length >= 3
    return this.#random.weighted<{ weight: number; kind: OperationKind }>([
      { weight: most ? 0 : 2, kind: 'create_thread' },
      { weight: most ? 0 : 3, kind: 'create_thread_and_run' },
      { weight: 5, kind: 'add_message' },
      { weight: 1, kind: 'delete_message' },
      { weight: 5, kind: 'create_run' },
      { weight: 2, kind: 'stream_run' },
      { weight: 6, kind: 'submit' },
      { weight: 2, kind: 'cancel' },
      { weight: 1, kind: 'delete_thread' },
      { weight: 1, kind: 'modify_run' },
      { weight: 2, kind: 'poll' },
      { weight: 4, kind: 'get_run' },
      { weight: 2, kind: 'list_messages' },
      { weight: 3, kind: 'follow' },
    ]).kind
  }

  /** The request for an operation, which is told what it is about; null if that is not there. */
  #request(operation: Operation): Request | null {
    const { kind } = operation
    if (kind === 'create_thread' || kind === 'create_thread_and_run') return this.#creation(operation)
    if (kind === 'add_message' || kind === 'delete_thread' || kind === 'list_messages')
      return this.#onThread(operation)
    if (kind === 'delete_message') return this.#deletion(operation)
    if (kind === 'create_run' || kind === 'stream_run') return this.#newRun(operation)
    if (kind === 'submit') return this.#submission(operation)
    return this.#onRun(operation)
  }

  #messages(operation: Operation, count: number) {
    operation.texts = Array.from({ length: count }, (_, i) => `m${operation.n}.${i}`)
    return operation.texts.map((content) => ({ role: 'user', content }))
  }

  #creation(operation: Operation): Request {
    const messages = this.#messages(operation, this.#random.between(0, 2))
    if (operation.kind === 'create_thread') return { method: 'POST', path: '/threads', body: { messages } }
    const body = { ...settings(operation), thread: { messages } }
    return { method: 'POST', path: '/threads/runs', body }
  }

  #onThread(operation: Operation): Request | null {
    const { threads } = this
    if (threads.length === 0) return null
    const thread = this.#random.pick(threads)
    operation.thread = thread
    if (operation.kind === 'delete_thread') return { method: 'DELETE', path: `/threads/${thread}` }
    const path = `/threads/${thread}/messages`
    if (operation.kind === 'list_messages') return { method: 'GET', path: `${path}?order=asc&limit=100` }
    return { method: 'POST', path, body: this.#messages(operation, 1)[0] }
  }

  #deletion(operation: Operation): Request | null {
    const { threads } = this
    const added = this.#acknowledged('add_message').filter(({ thread }) => threads.includes(thread ?? ''))
    if (added.length === 0) return null
    const { thread, body, texts } = this.#random.pick(added)
    Object.assign(operation, { thread, texts })
    return { method: 'DELETE', path: `/threads/${thread}/messages/${body.id}` }
  }

  #newRun(operation: Operation): Request | null {
    const { threads } = this
    if (threads.length === 0) return null
    const thread = this.#random.pick(threads)
    operation.thread = thread
    const additional_messages = this.#random.chance(0.3) ? this.#messages(operation, 1) : []
    const stream = operation.kind === 'stream_run' ? { stream: true } : {}
    const body = { ...settings(operation), additional_messages, ...stream }
    return { method: 'POST', path: `/threads/${thread}/runs`, body }
  }

  #onRun(operation: Operation): Request | null {
    const { runs } = this
    if (runs.length === 0) return null
    const { id, thread } = this.#random.pick(runs)
    Object.assign(operation, { run: id, thread })
    const path = `/threads/${thread}/runs/${id}`
    const { kind } = operation
    if (kind === 'follow') return following(operation)
    if (kind === 'cancel') return { method: 'POST', path: `${path}/cancel` }
    if (kind === 'modify_run')
      return { method: 'POST', path, body: { metadata: { changed: String(operation.n) } } }
    const poll = kind === 'poll' ? { headers: { 'x-stainless-poll-helper': 'true' } } : {}
    return { method: 'GET', path, ...poll }
  }

  /** Answers what a run was seen to ask for, perhaps for the second time. */
  #submission(operation: Operation): Request | null {
    const asked = this.runs.flatMap(({ id, thread }) => {
      const calls = this.operations.findLast((seen) => asksIn(seen, id) !== null)
      return calls ? [{ id, thread, calls: asksIn(calls, id) ?? [] }] : []
    })
    if (asked.length === 0) return null
    const { id, thread, calls } = this.#random.pick(asked)
    Object.assign(operation, { run: id, thread })
    const tool_outputs = calls.map((call) => ({ tool_call_id: call, output: `for ${call}` }))
    const path = `/threads/${thread}/runs/${id}/submit_tool_outputs`
    return { method: 'POST', path, body: { tool_outputs } }
  }
}

/** The tool calls that a run asked for in what its client was told by an operation. */
function asksIn({ status, body, frames }: Operation, run: string): string[] | null {
  if (status !== 200) return null
  const seen = [body, ...frames.map(({ data }) => data as Body)].findLast(
    ({ id, required_action }) => id === run && required_action,
  )
  return seen?.required_action?.submit_tool_outputs.tool_calls.map(({ id }) => id) ?? null
}

/** The request for the events of a run, behind those that the client has. */
function following({ thread, run, frames }: Operation): Request {
  const last = frames.findLast(({ id }) => id !== null)?.id
  const headers = last ? { headers: { 'last-event-id': last } } : {}
  return { method: 'GET', path: `/threads/${thread}/runs/${run}/events`, ...headers }
}

/** How a run is known again: in the store, and by the model. */
export const markOf = ({ first }: Pick<Operation, 'first'>) => `run of ${first}`

function settings(operation: Operation) {
  const tools = [{ type: 'function', function: { name: 'f' } }]
  return { assistant_id: assistantId, model: 'mock', instructions: markOf(operation), tools }
}

/** With a key by which it is known when it is sent again; what changes nothing needs none. */
function withKey(request: Request, key: string): Request {
  if (request.method !== 'POST') return request
  return { ...request, headers: { ...request.headers, 'idempotency-key': key } }
}

/** The run that an operation made, as its client was told. */
function runOf({ kind, body, frames, thread }: Operation): KnownRun[] {
  if (kind !== 'stream_run') return [{ id: body.id ?? '', thread: thread ?? body.thread_id ?? '' }]
  const created = frames.find(({ event }) => event === 'thread.run.created')
  return created ? [{ id: String(created.data['id']), thread: thread ?? '' }] : []
}
