import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { eventsOf, outputsOf, runPath, runsPath, tool, type Run, type Target } from './target.ts'

// One stream of each kind, recorded once per server and looked at by many checks.

export type StreamEvent = OpenAI.Beta.AssistantStreamEvent

/** A stream as it came, the run it was of, and what stands in the server afterwards. */
export interface Transcript {
  text: string
  headers: Headers
  events: StreamEvent[]
  /** Names in their order, a row of deltas as one. */
  names: string[]
  run: Run
  steps: OpenAI.Beta.Threads.Runs.RunStep[]
}

const makers = {
  plain: (t: Target) => ofRun(t, 'Good morning.'),
  tools: (t: Target) => ofRun(t, '#calls f g'),
  submit: submitted,
  failed: (t: Target) => ofRun(t, '#cut'),
  'failed-early': (t: Target) => ofRun(t, '#status 500'),
  cancelled,
  incomplete: (t: Target) => ofRun(t, '#length'),
  'thread-and-run': withThread,
  'text-then-calls': (t: Target) => ofRun(t, '#say-calls f'),
  expired: (t: Target) => ofRun(t, '#hang'),
}

export type TranscriptName = keyof typeof makers

const recorded = new WeakMap<Target, Map<TranscriptName, Promise<Transcript>>>()

/** The stream of this kind, recorded when it is first asked for. */
export function transcript(t: Target, name: TranscriptName): Promise<Transcript> {
  const known = recorded.get(t) ?? new Map<TranscriptName, Promise<Transcript>>()
  recorded.set(t, known)
  const there = known.get(name) ?? makers[name](t)
  known.set(name, there)
  return there
}

const twoTools = { tools: [tool('f'), tool('g')] }

async function ofRun(t: Target, text: string): Promise<Transcript> {
  const { assistant, thread } = await t.ready(text, text.includes('calls') ? twoTools : {})
  return record(t, runsPath(thread), { assistant_id: assistant })
}

async function submitted(t: Target): Promise<Transcript> {
  const asking = await t.asking('f', 'g')
  return record(t, `${runPath(asking)}/submit_tool_outputs`, { tool_outputs: outputsOf(asking) })
}

async function withThread(t: Target): Promise<Transcript> {
  const { id } = await t.assistant()
  const thread = { messages: [{ role: 'user', content: 'Good morning.' }], metadata: { a: 'b' } }
  return record(t, '/v1/threads/runs', { assistant_id: id, thread })
}

async function record(t: Target, path: string, body: object): Promise<Transcript> {
  // A run that hangs is told of until it expires.
  const { text, headers } = await t.stream(path, body, (t.ttl + 20) * 1_000)
  return made(t, text, headers)
}

async function made(t: Target, text: string, headers: Headers): Promise<Transcript> {
  const events = eventsOf(text)
  const names = events.map(({ event }) => event as string).filter((name, at, all) => name !== all[at - 1])
  const last = events.at(-1)
  assert.match(last?.event ?? '', /^thread\.run\.[a-z_]+$/)
  const run = await t.now(last?.data as Run)
  return { text, headers, events, names, run, steps: await t.steps(run) }
}

/** Cancels as soon as something was said. */
async function cancelled(t: Target): Promise<Transcript> {
  const { assistant, thread } = await t.ready('#hang')
  let told = false
  const watch = async (text: string) => {
    if (told || !text.includes('event: thread.message.delta')) return
    told = true
    const id = /"id":"(run_\w+)"/.exec(text)?.[1] ?? ''
    await t.client.beta.threads.runs.cancel(id, { thread_id: thread })
  }
  const { text, headers } = await t.watched(runsPath(thread), { assistant_id: assistant }, watch)
  return made(t, text, headers)
}

/** The objects of the events with this name. */
export function dataOf<E extends StreamEvent['event']>(
  { events }: Transcript,
  name: E,
): Extract<StreamEvent, { event: E }>['data'][] {
  return events.filter(({ event }) => event === name).map(({ data }) => data) as never
}
