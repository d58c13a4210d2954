import type { ServerResponse } from 'node:http'
import type { StreamEvent } from '../contract/events.ts'

// Server-sent events on one response (wire.md §7). A reader that does not keep up costs no more memory than the
// text itself: while its socket is full, deltas of one item that wait are merged, which both SDKs' merge rule
// allows (strings concatenate).

const pingMs = 15_000
/** Times of pingMs after which a reader that took nothing in between is cut off: one minute. */
const stalledTicks = 4
/** A reader whose unread events come to more than this many characters is cut off; it can poll the run. */
const maxWaiting = 16 * 1024 * 1024

interface Waiting {
  event: StreamEvent
  id: string | undefined
}

export class EventStream {
  readonly #response: ServerResponse
  readonly #ping: NodeJS.Timeout
  #waiting: Waiting[] = []
  #waitingSize = 0
  #blocked = false
  #ending = false
  #onReady: (() => void)[] = []
  /** Ticks since the socket filled up. */
  #stalled = 0

  /** Sends the status line and headers at once. `headers` are added to those of an event stream. */
  constructor(response: ServerResponse, headers: Record<string, string>) {
    this.#response = response
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    response.flushHeaders()
    response.on('drain', () => this.#drain())
    response.on('close', () => {
      clearInterval(this.#ping)
      this.#tellReady()
    })
    this.#ping = setInterval(() => this.#idle(), pingMs)
  }

  /** Whether events can still reach the client. */
  get open(): boolean {
    return !this.#ending && !this.#response.destroyed
  }

  /** `id` is what the client may name to go on behind this event. */
  send(event: StreamEvent, id?: string): void {
    if (!this.open) return
    if (this.#blocked) this.#hold({ event, id })
    else this.#write(frame(event.event, JSON.stringify(event.data), id))
  }

  /** Resolves when the reader has taken what it was sent, or is gone. */
  async ready(): Promise<void> {
    if (!this.#blocked || this.#response.destroyed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onReady.push(resolve)
    await promise
  }

  /** Sends the last frame and ends the response. */
  end(): void {
    if (!this.open) return
    this.#ending = true
    if (!this.#blocked) this.#finish()
  }

  /** Ends the response without the last frame: there is more to come, elsewhere or later. */
  breakOff(): void {
    if (!this.open) return
    this.#ending = true
    clearInterval(this.#ping)
    this.#response.end()
  }

  #finish(): void {
    clearInterval(this.#ping)
    this.#response.end(frame('done', '[DONE]'))
  }

  #idle(): void {
    if (!this.#blocked) this.#write(': ping\n\n')
    else if (++this.#stalled >= stalledTicks) this.#response.destroy()
  }

  #write(text: string): void {
    this.#blocked = !this.#response.write(text)
    if (!this.#blocked) this.#ping.refresh()
  }

  #drain(): void {
    this.#blocked = false
    this.#stalled = 0
    while (this.#waiting.length > 0 && !this.#blocked) {
      const { event, id } = this.#waiting.shift() as Waiting
      this.#write(frame(event.event, JSON.stringify(event.data), id))
    }
    if (this.#waiting.length === 0) this.#waitingSize = 0
    if (!this.#blocked) this.#tellReady()
    if (this.#ending && !this.#blocked && this.#waiting.length === 0) this.#finish()
  }

  #tellReady(): void {
    for (const resolve of this.#onReady.splice(0)) resolve()
  }

  #hold({ event, id }: Waiting): void {
    const last = this.#waiting.at(-1)
    const merged = last && mergeDeltas(last.event, event)
    // Who has the last of the merged has them all.
    if (merged) this.#waiting[this.#waiting.length - 1] = { event: merged, id }
    else this.#waiting.push({ event, id })
    this.#waitingSize += deltaSize(event)
    if (this.#waitingSize > maxWaiting) this.#response.destroy()
  }
}

// The id comes last: simple readers look for an event line followed by a data line.
function frame(name: string, data: string, id?: string): string {
  return `event: ${name}\ndata: ${data}\n${id === undefined ? '' : `id: ${id}\n`}\n`
}

/** Characters of content that an event carries; whole objects count as a kilobyte beside it. */
function deltaSize(event: StreamEvent): number {
  if (event.event === 'thread.message.delta') return event.data.delta.content[0]?.text.value.length ?? 0
  if (event.event === 'thread.run.step.delta') {
    return event.data.delta.step_details.tool_calls[0]?.function.arguments.length ?? 0
  }
  return 1024
}

/** Two deltas of the same item and index as one; null if they are not that. */
export function mergeDeltas(first: StreamEvent, second: StreamEvent): StreamEvent | null {
  if (first.event === 'thread.message.delta' && second.event === 'thread.message.delta') {
    const [a, b] = [first.data.delta.content[0], second.data.delta.content[0]]
    if (first.data.id !== second.data.id || !a || !b || a.index !== b.index) return null
    const content = [{ ...a, text: { ...a.text, value: a.text.value + b.text.value } }]
    return { event: first.event, data: { ...first.data, delta: { content } } }
  }
  if (first.event === 'thread.run.step.delta' && second.event === 'thread.run.step.delta') {
    const [a, b] = [first.data.delta.step_details.tool_calls[0], second.data.delta.step_details.tool_calls[0]]
    if (first.data.id !== second.data.id || !a || !b || a.index !== b.index || b.id !== undefined) return null
    const fn = { ...a.function, arguments: a.function.arguments + b.function.arguments }
    const tool_calls = [{ ...a, function: fn }]
    return {
      event: first.event,
      data: { ...first.data, delta: { step_details: { type: 'tool_calls', tool_calls } } },
    }
  }
  return null
}
