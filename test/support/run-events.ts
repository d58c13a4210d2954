import assert from 'node:assert/strict'
import { parseFrame } from './contract.ts'
import type { TestServer } from './server.ts'

// Readers of a run's events: GET .../events and the streaming POSTs, with the ids of their frames.

export interface SeenEvent {
  id: string
  event: string
  data: unknown
}

/** The events of whole frames in a stream's text; the end, which has no id, aside. */
export function eventsIn(text: string): SeenEvent[] {
  return text.split('\n\n').flatMap((frame) =>
    parseFrame(frame).flatMap(({ event, data }) => {
      if (event === 'done') return []
      const id = frame.split('\n').find((line) => line.startsWith('id: '))
      return [{ id: id?.slice(4) ?? '', event, data: JSON.parse(data) as unknown }]
    }),
  )
}

const done = 'event: done\ndata: [DONE]\n\n'

/** The stream's events, read to its end, which must be in order. */
export async function readEvents(response: Response): Promise<SeenEvent[]> {
  assert.equal(response.status, 200, await (response.ok ? '' : response.text()))
  const text = await response.text()
  assert.ok(text.endsWith(done), `the stream ends in ${text.slice(-80)}`)
  return eventsIn(text)
}

export interface RunPath {
  thread: string
  run: string
}

/** A GET of a run's events. */
export function getEvents(
  server: Pick<TestServer, 'fetch'>,
  { thread, run }: RunPath,
  after?: string,
  init: RequestInit = {},
): Promise<Response> {
  const headers = after === undefined ? {} : { 'last-event-id': after }
  return server.fetch(`/v1/threads/${thread}/runs/${run}/events`, { ...init, headers })
}

/** The events of a run behind `after`, to its end. */
export async function allEvents(
  server: Pick<TestServer, 'fetch'>,
  path: RunPath,
  after?: string,
): Promise<SeenEvent[]> {
  return readEvents(await getEvents(server, path, after))
}

/** A streaming POST, still open. */
export function postStream(
  server: Pick<TestServer, 'fetch'>,
  path: string,
  body: object,
  init: RequestInit = {},
): Promise<Response> {
  return server.fetch(path, {
    ...init,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, stream: true }),
  })
}

/** Reads a stream until its text holds `sign`; answers all that was read, and leaves it open. */
export class OpenStream {
  text = ''
  readonly #reader: ReadableStreamDefaultReader<string>

  constructor(response: Response) {
    const { body } = response
    assert.ok(response.ok && body, String(response.status))
    this.#reader = body.pipeThrough(new TextDecoderStream() as never).getReader() as never
  }

  async until(sign: string): Promise<SeenEvent[]> {
    while (!this.text.includes(sign)) {
      const { value, done: ended } = await this.#reader.read()
      if (ended) break
      this.text += value
    }
    assert.ok(this.text.includes(sign), `the stream ended without ${sign}: ${this.text.slice(-300)}`)
    return eventsIn(this.text.slice(0, this.text.lastIndexOf('\n\n')))
  }

  /** The first `count` events and those that came with them; fewer if the stream ends. */
  async atLeast(count: number): Promise<SeenEvent[]> {
    for (;;) {
      const seen = eventsIn(this.text.slice(0, this.text.lastIndexOf('\n\n') + 1))
      if (seen.length >= count) return seen
      const { value, done: ended } = await this.#reader.read()
      if (ended) return seen
      this.text += value
    }
  }

  async toEnd(): Promise<SeenEvent[]> {
    return this.until(done)
  }

  /** All events of a stream that may have been broken off. */
  async rest(): Promise<SeenEvent[]> {
    return this.atLeast(Infinity)
  }

  async leave(): Promise<void> {
    await this.#reader.cancel()
  }
}

/** Events with the text of deltas that follow each other as one, under the id of the last: slow readers get larger ones. */
export function merged(events: readonly SeenEvent[]): unknown[] {
  const result: { id: string; event: string; data?: unknown; text?: string }[] = []
  for (const { id, event, data } of events) {
    if (event !== 'thread.message.delta') {
      result.push({ id, event, data })
      continue
    }
    const text = [...textOfDeltas([{ id, event, data }]).values()].join('')
    const last = result.at(-1)
    if (last?.text === undefined) result.push({ id, event, text })
    else Object.assign(last, { id, text: last.text + text })
  }
  return result
}

/** Text by message, as deltas add up to it. */
export function textOfDeltas(events: readonly SeenEvent[]): Map<string, string> {
  const texts = new Map<string, string>()
  for (const { event, data } of events) {
    if (event !== 'thread.message.delta') continue
    const { id, delta } = data as { id: string; delta: { content: [{ text: { value: string } }] } }
    texts.set(id, (texts.get(id) ?? '') + delta.content[0].text.value)
  }
  return texts
}

/** Arguments by step and call, as deltas add up to them. */
export function argumentsOfDeltas(events: readonly SeenEvent[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const { event, data } of events) {
    if (event !== 'thread.run.step.delta') continue
    const { id, delta } = data as {
      id: string
      delta: { step_details: { tool_calls: [{ index: number; function: { arguments: string } }] } }
    }
    const [call] = delta.step_details.tool_calls
    const key = `${id} ${call.index}`
    found.set(key, (found.get(key) ?? '') + call.function.arguments)
  }
  return found
}

/** Names of events, deltas that follow each other as one. */
export function namesOf(events: readonly SeenEvent[]): string[] {
  return events
    .map(({ event }) => event.replace('thread.', ''))
    .filter((name, i, all) => !(name.endsWith('delta') && all[i - 1] === name))
}
