import { createHash, randomInt } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import type { RunRecord } from '../domain/records.ts'
import {
  findKeptAnswer,
  isKeyTaken,
  keepAnswerAlone,
  keepNothing,
  KeyTaken,
  type Keeping,
  type KeptAnswer,
  type StreamStart,
} from '../store/idempotency.ts'
import { within } from '../store/store.ts'
import type { HttpContext } from './context.ts'
import { errorAnswer } from './error-answer.ts'
import { projectOf } from './principal.ts'
import { rejoinPart } from './rejoin.ts'
import type { Operation } from './route.ts'
import { inEraOf, isV1Era } from './v1-era.ts'

// Requests with an Idempotency-Key (docs/decisions/0013): each is done once, and whoever sends it again gets the same
// answer. An operation hands its answer along with its write; what else there is to it is here.

export const keyHeader = 'idempotency-key'

/** Milliseconds that a request waits for one with its key that is under way on this node. */
const waitMs = 30_000

type Headers = Record<string, string>

/** How an operation has its answer kept: with its write, so that both are there or neither. */
export interface Keep {
  /** The answer is the record as `show` shows it, with these headers of its own. */
  answer<R>(show: (record: R) => unknown, headers?: (record: R) => Headers): Keeping<R>
  /** The answer is the stream of the run's events from there on. */
  stream(start: (run: RunRecord) => StreamStart, headers?: Headers): Keeping<RunRecord>
  /** For an operation that reads a form by itself: only then is it known what was asked. Null without a key. */
  form: FormKeep | null
}

export interface FormKeep {
  /** There is an answer already: the form is read to compare it, and not to do anything. */
  readonly answered: boolean
  /** The content of the form's file, which counts in comparing, as it is read. */
  content(content: AsyncIterable<Buffer>): AsyncIterable<Buffer>
  /** The whole form has been read, and these are its fields. Throws what leads to the answer if there is one. */
  read(fields: object): void
}

const unkept: Keep = { answer: () => keepNothing, stream: () => keepNothing, form: null }

/** What is to be done once. Undefined if it took the reply over. */
type Work = (keep: Keep) => Promise<unknown>

export class Idempotency {
  readonly #context: HttpContext
  /** What is under way here, by project and key; resolved when it is over, however it ended. */
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(context: HttpContext) {
    this.#context = context
  }

  /** Does `work`, or answers what was answered when it was done. Throws ApiError, and what `work` throws. */
  once(request: FastifyRequest, reply: FastifyReply, work: Work): Promise<unknown> {
    if (request.method !== 'POST' || request.headers[keyHeader] === undefined) return work(unkept)
    // What the admin API answers may hold a secret, and is kept nowhere.
    if (request.operation?.admin) return work(unkept)
    return this.#once(request, reply, work)
  }

  async #once(request: FastifyRequest, reply: FastifyReply, work: Work): Promise<unknown> {
    const key = keyOf(request)
    const asked = new KeyedRequest(request, projectOf(request), key)
    const over = await this.#turn(`${asked.project} ${key}`)
    try {
      const kept = await this.#find(asked)
      if (asked.form) asked.answered = kept !== null
      else if (kept) return await this.#again(asked, kept, reply)
      return await this.#do(asked, reply, work)
    } finally {
      over()
    }
  }

  /** Waits until no other request with this key is under way here. The caller says when its own is over. */
  async #turn(name: string): Promise<() => void> {
    const until = performance.now() + (this.#context.keyWaitMs ?? waitMs)
    for (let other = this.#underWay.get(name); other; other = this.#underWay.get(name)) {
      const left = until - performance.now()
      if (left <= 0) throw inUse()
      await within(left, other)
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#underWay.set(name, promise)
    return () => {
      this.#underWay.delete(name)
      resolve()
    }
  }

  async #do(asked: KeyedRequest, reply: FastifyReply, work: Work): Promise<unknown> {
    let kept: KeptAnswer
    try {
      const answer = await work(asked)
      if (asked.written) return sent(reply, asked.written)
      // It wrote nothing.
      kept = asked.plain(reply.statusCode, answer, ownHeaders(reply, asked.operation))
    } catch (error) {
      if (isKeyTaken(error)) return this.#again(asked, await this.#others(asked), reply)
      const { status, body } = errorAnswer(asked.dialect, error, asked.request)
      // Of a form that was refused before it was read nobody can say later whether it was the same.
      if (status < 400 || status >= 500 || status === 429 || asked.fingerprint === '') throw error
      kept = asked.plain(status, body, {})
    }
    const first = await keepAnswerAlone(this.#context.store.pool, kept)
    return first ? sent(reply, kept) : this.#again(asked, await this.#others(asked), reply)
  }

  #find({ project, key }: KeyedRequest): Promise<KeptAnswer | null> {
    return findKeptAnswer(this.#context.store.pool, project, key)
  }

  /** What another node answered while this one was at it. */
  async #others(asked: KeyedRequest): Promise<KeptAnswer> {
    const kept = await this.#find(asked)
    if (kept === null) throw inUse()
    return kept
  }

  async #again(asked: KeyedRequest, kept: KeptAnswer, reply: FastifyReply): Promise<unknown> {
    if (kept.fingerprint !== asked.fingerprint) throw reused(asked.key)
    reply.header('idempotent-replayed', 'true')
    if (kept.stream === null) return sent(reply, kept)
    const { thread_id, run_id: id, ...start } = kept.stream
    reply.headers(kept.headers)
    return rejoinPart(this.#context, reply, { project_id: asked.project, thread_id, id }, start)
  }
}

/** A request with a key, and the answer that goes with what it writes. */
class KeyedRequest implements Keep, FormKeep {
  readonly request: FastifyRequest
  readonly project: string
  readonly key: string
  readonly operation: Operation
  /** Empty as long as a form has not been read. */
  fingerprint = ''
  answered = false
  readonly #content = createHash('sha256')
  /** What was handed to the write last: it is the answer if the write was done. */
  written: KeptAnswer | null = null

  constructor(request: FastifyRequest, project: string, key: string) {
    this.request = request
    this.project = project
    this.key = key
    this.operation = request.operation as Operation
    if (this.form === null) this.fingerprint = fingerprintOf(request, this.dialect, request.body ?? {})
  }

  get form(): FormKeep | null {
    return this.operation.form ? this : null
  }

  async *content(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
    for await (const data of content) {
      this.#content.update(data)
      yield data
    }
  }

  read(fields: object): void {
    const whole = { fields, content: this.#content.digest('base64url') }
    this.fingerprint = fingerprintOf(this.request, this.dialect, whole)
    if (this.answered) throw new KeyTaken('this form was answered before')
  }

  get dialect() {
    return this.operation.dialect ?? 'openai'
  }

  answer<R>(show: (record: R) => unknown, headers?: (record: R) => Headers): Keeping<R> {
    return (record) => (this.written = this.plain(200, show(record), headers?.(record) ?? {}))
  }

  stream(start: (run: RunRecord) => StreamStart, headers: Headers = {}): Keeping<RunRecord> {
    return (run) => {
      const stream = { thread_id: run.thread_id, run_id: run.id, ...start(run) }
      return (this.written = { ...this.#row(200, headers), body: null, stream })
    }
  }

  plain(status: number, answer: unknown, headers: Headers): KeptAnswer {
    const body = JSON.stringify(inEraOf(this.request, answer))
    return { ...this.#row(status, headers), body, stream: null }
  }

  #row(status: number, headers: Headers): Omit<KeptAnswer, 'body' | 'stream'> {
    const { project: project_id, key, fingerprint } = this
    return { project_id, key, stamp: randomInt(2 ** 48 - 1), fingerprint, status, headers }
  }
}

/** Hands an answer to the reply, as the bytes that are kept; a stream is under way already. */
function sent(reply: FastifyReply, { status, headers, body }: KeptAnswer): string | undefined {
  if (body === null) return undefined
  reply.code(status).headers(headers).type('application/json; charset=utf-8')
  return body
}

function ownHeaders(reply: FastifyReply, { headers = [] }: Operation): Headers {
  return Object.fromEntries(
    headers.flatMap((name) => (reply.hasHeader(name) ? [[name, String(reply.getHeader(name))]] : [])),
  )
}

/** The key of a request. Throws ApiError for what cannot be one. */
function keyOf({ headers }: FastifyRequest): string {
  const key = headers[keyHeader]
  if (typeof key === 'string' && /^[\x20-\x7e]{1,255}$/.test(key)) return key
  const text = "Invalid 'Idempotency-Key': expected 1 to 255 printable ASCII characters."
  throw new ApiError('malformed_idempotency_key', text, 'Idempotency-Key')
}

/** What makes two requests the same: the URL as it was written, the dialect, and the body, whatever its order and spaces. */
function fingerprintOf(request: FastifyRequest, dialect: string, body: unknown): string {
  const { method, originalUrl } = request
  const form = isV1Era(request) ? 'v1' : dialect
  const text = JSON.stringify([method, originalUrl, form, sorted(body)])
  return createHash('sha256').update(text).digest('base64url')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}

function reused(key: string): ApiError {
  const text = `The Idempotency-Key '${key}' was sent with another request before. Take a new key for each request.`
  return new ApiError('idempotency_key_reused', text, 'Idempotency-Key')
}

function inUse(): ApiError {
  const text = 'A request with this Idempotency-Key is still under way. Send it again in a moment.'
  return new ApiError('idempotency_key_in_use', text, 'Idempotency-Key')
}
