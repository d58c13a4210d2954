import { setTimeout as sleep } from 'node:timers/promises'
import { Agent } from 'undici'
import { reasonOf, type Log } from '../log.ts'
import type { Counter } from './instruments.ts'
import { keyValues, spanJson, type Attributes, type Span } from './span.ts'
import { version } from './version.ts'

// Sends spans to a collector by OTLP/HTTP, in JSON. Nothing waits for it: what it cannot take at once it drops.

export interface ExporterOptions {
  /** The whole URL, mostly ending in /v1/traces. */
  url: string
  /** May hold a key. */
  headers: Readonly<Record<string, string>>
  resource: Attributes
  log: Log
  count: (outcome: 'exported' | 'rejected' | 'dropped') => Counter
  timing?: Partial<Timing>
}

/** Milliseconds. */
interface Timing {
  /** How long spans gather. */
  delay: number
  /** How long a request may take. */
  timeout: number
  /** The first pause before a batch is sent again; each is twice the one before. */
  firstPause: number
  longestPause: number
  /** How long what is left may take when the server stops. */
  closing: number
}

const usual: Timing = {
  delay: 5_000,
  timeout: 10_000,
  firstPause: 1_000,
  longestPause: 30_000,
  closing: 1_000,
}

/** Spans that wait, and characters of them; more are dropped. */
const maxWaiting = 2_048
const maxCharacters = 8 << 20
/** Spans of one request. */
const maxBatch = 512
/** How often a batch is sent. */
const maxTries = 5
/** Milliseconds that a collector may ask us to wait. */
const longestAsked = 300_000
/** Bytes of an answer that are looked at. */
const maxAnswer = 64 * 1024

/** What OTLP says may be sent again; everything else is dropped. */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504])

export class SpanExporter {
  readonly #options: ExporterOptions
  readonly #timing: Timing
  readonly #agent = new Agent({ connections: 1, keepAliveTimeout: 4_000 })
  readonly #closed = new AbortController()
  readonly #head: string
  #waiting: string[] = []
  #characters = 0
  #timer: NodeJS.Timeout | null = null
  #sending: Promise<void> | null = null
  /** The collector has failed us, and the log knows. */
  #failing = false

  constructor(options: ExporterOptions) {
    this.#options = options
    this.#timing = { ...usual, ...options.timing }
    const resource = JSON.stringify({ attributes: keyValues(options.resource) })
    const scope = JSON.stringify({ name: 'threadmill', version })
    this.#head = `{"resourceSpans":[{"resource":${resource},"scopeSpans":[{"scope":${scope},"spans":[`
  }

  /** Takes a span to be sent in a moment, or drops it. */
  add(span: Span): void {
    if (this.#closed.signal.aborted || this.#waiting.length >= maxWaiting || this.#characters > maxCharacters)
      return this.#options.count('dropped').add()
    const json = spanJson(span)
    this.#waiting.push(json)
    this.#characters += json.length
    if (this.#waiting.length >= maxBatch) this.#send()
    else this.#timer ??= setTimeout(() => this.#send(), this.#timing.delay).unref()
  }

  /** Sends what is left, for a moment, and gives up the rest. */
  async close(): Promise<void> {
    this.#send()
    const late = setTimeout(() => this.#closed.abort(), this.#timing.closing)
    await this.#sending
    clearTimeout(late)
    this.#closed.abort()
    this.#drop(this.#waiting.splice(0).length)
    await this.#agent.destroy()
  }

  #send(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = null))
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#closed.signal.aborted) {
      const batch = this.#waiting.splice(0, maxBatch)
      for (const json of batch) this.#characters -= json.length
      await this.#deliver(batch)
    }
  }

  /** Sends a batch until it is taken, refused for good, or has been tried often enough. Never rejects. */
  async #deliver(batch: string[]): Promise<void> {
    const body = `${this.#head}${batch.join(',')}]}]}]}`
    for (let tries = 1; !this.#closed.signal.aborted; tries++) {
      const { rejected, again, reason } = await this.#post(body)
      if (reason === null) {
        this.#options.count('rejected').add(Math.min(rejected, batch.length))
        this.#options.count('exported').add(Math.max(0, batch.length - rejected))
        return this.#recovered()
      }
      this.#failed(reason)
      if (again === null || tries === maxTries) break
      await this.#pause(again > 0 ? Math.min(again, longestAsked) : this.#backoff(tries))
    }
    this.#drop(batch.length)
  }

  async #post(body: string): Promise<Delivery> {
    const { url, headers } = this.#options
    const target = new URL(url)
    try {
      const response = await this.#agent.request({
        origin: target.origin,
        path: target.pathname + target.search,
        method: 'POST',
        headers: { 'user-agent': `threadmill/${version}`, ...headers, 'content-type': 'application/json' },
        body,
        signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(this.#timing.timeout)]),
      })
      const { statusCode: status } = response
      const text = await readSome(response.body)
      if (status >= 200 && status < 300) return { rejected: rejectedIn(text), again: null, reason: null }
      const again = retryable.has(status) ? afterMs(response.headers['retry-after']) : null
      return { rejected: 0, again, reason: `HTTP ${status}` }
    } catch (error) {
      return { rejected: 0, again: 0, reason: reasonOf(error) }
    }
  }

  /** A pause that grows with each try, of which up to half is left to chance: servers must not come back together. */
  #backoff(tries: number): number {
    const { firstPause, longestPause } = this.#timing
    return Math.min(longestPause, firstPause * 2 ** (tries - 1)) * (1 - Math.random() / 2)
  }

  /** Resolves after `ms`, or when the server stops. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { ref: false, signal: this.#closed.signal }).catch(() => {})
  }

  #drop(spans: number): void {
    this.#options.count('dropped').add(spans)
  }

  #failed(reason: string): void {
    if (this.#failing || this.#closed.signal.aborted) return
    this.#failing = true
    this.#options.log.warn('the collector of traces does not take them', { reason })
  }

  #recovered(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#options.log.info('the collector of traces takes them again')
  }
}

interface Delivery {
  /** Spans that the collector did not take, although it took the batch. */
  rejected: number
  /** Milliseconds after which the batch may be sent again; null: never. */
  again: number | null
  /** Why it was not taken; null if it was. */
  reason: string | null
}

/** The first bytes of a body; the rest is thrown away with its connection. */
async function readSome(body: AsyncIterable<Uint8Array> & { destroy(): unknown }): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of body) {
    parts.push(part)
    size += part.length
    if (size > maxAnswer) break
  }
  return Buffer.concat(parts).toString()
}

/** How many spans an answer says were rejected (OTLP "Partial Success"). */
function rejectedIn(text: string): number {
  try {
    const answer = JSON.parse(text) as { partialSuccess?: { rejectedSpans?: string | number } } | null
    const rejected = Number(answer?.partialSuccess?.rejectedSpans ?? 0)
    return Number.isFinite(rejected) && rejected > 0 ? rejected : 0
  } catch {
    return 0
  }
}

/** What a `retry-after` says, in milliseconds; 0 if it says nothing. */
function afterMs(header: string | string[] | undefined): number {
  const text = String(header ?? '')
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : 0
}
