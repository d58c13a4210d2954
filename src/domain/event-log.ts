import { isTerminal, type StreamEvent } from '../contract/events.ts'
import type { RunObject } from '../contract/objects.ts'
import type { RunRecord, ThreadRecord } from './records.ts'
import { toRun, toThread } from './to-wire.ts'

// The log of a run's events. At any time one writer may append to it: whoever makes the run's next version or, while
// a node has the run under a lease, that node alone. A writer's term is the version with which it began, which nobody
// else can have made, so no two writers give the same place, without a counter between them. Deltas get their places
// when they are published, which may be before they are stored; those of a writer that died are missing from the log,
// and whoever had seen them goes on with the next term (docs/decisions/0010).

/** Where an event stands in the log of its run; `id:` of its frame. */
export interface EventPlace {
  /** The run's version with which the writer of the event began. */
  term: number
  /** Among the writer's events, from 0. */
  no: number
}

export interface PlacedEvent {
  event: StreamEvent
  place: EventPlace
}

/** Before the first event of any run. */
export const logStart: EventPlace = { term: 0, no: -1 }

/** Events that follow each other in the log. */
export interface EventBatch {
  term: number
  /** Number of the first. */
  first: number
  events: readonly StreamEvent[]
  /** The run's version before the commit that they belong to; null for deltas, which belong to none yet. */
  from: number | null
  /** The run's version with them. */
  version: number
}

/** How a place is shown to clients, for instance `3.17`. */
export function showPlace({ term, no }: EventPlace): string {
  return `${term}.${no}`
}

/** The place that a client names, or null if the text is none. */
export function readPlace(text: string): EventPlace | null {
  const [, term, no] = /^(\d{1,9})\.(\d{1,9})$/.exec(text) ?? []
  return term === undefined || no === undefined ? null : { term: Number(term), no: Number(no) }
}

/** Whether `a` stands behind `b`. */
export function isBehind(a: EventPlace, b: EventPlace): boolean {
  return a.term > b.term || (a.term === b.term && a.no > b.no)
}

/** The place of the last event of a batch. */
export function lastPlace({ term, first, events }: EventBatch): EventPlace {
  return { term, no: first + events.length - 1 }
}

/** What the log of a new run begins with; `thread` if that was made together with it. */
export function creationBatch(run: RunRecord, thread: ThreadRecord | null): EventBatch {
  const data = toRun(run)
  const events: StreamEvent[] = [
    ...(thread === null ? [] : [{ event: 'thread.created' as const, data: toThread(thread) }]),
    { event: 'thread.run.created', data },
    { event: 'thread.run.queued', data },
  ]
  return { term: run.state.version, first: 0, events, from: 0, version: run.state.version }
}

/** Whether the run ends with this event. */
export function endsRun({ event, data }: StreamEvent): boolean {
  return isRunEvent(event) && isTerminal((data as RunObject).status)
}

// What is stored is shorter than what is sent: what is the same in all events of a run, its settings above all, is left
// out, data that stay the same are written once, and deltas of one item that follow each other are one entry.

/** Fields of a run that change during its life; of its metadata, which clients change, the present are shown. */
const changing = [
  'status',
  'required_action',
  'last_error',
  'expires_at',
  'started_at',
  'cancelled_at',
  'failed_at',
  'completed_at',
  'incomplete_details',
  'usage',
] satisfies (keyof RunObject)[]

interface Whole {
  event: string
  /** Left out if it is that of the entry before, as in `created` and what follows it. */
  data?: unknown
}

/** Deltas of the item `of`: of the text of its content part `at`, or of the arguments of its call `at`. */
interface Deltas {
  kind: 'text' | 'arguments'
  of: string
  at: number
  pieces: string[]
}

type Entry = Whole | Deltas

/** Events as the log stores them. */
export function encodeEvents(events: readonly StreamEvent[]): string {
  const entries: Entry[] = []
  for (const [i, event] of events.entries()) {
    const delta = deltaOf(event)
    const last = entries.at(-1)
    if (delta === null) {
      entries.push(events[i - 1]?.data === event.data ? { event: event.event } : shortened(event))
    } else if (last && 'pieces' in last && sameItem(last, delta)) last.pieces.push(...delta.pieces)
    else entries.push(delta)
  }
  return JSON.stringify(entries)
}

/** Events of `run` from their stored form. */
export function decodeEvents(text: string, run: RunRecord): StreamEvent[] {
  const constant = toRun(run)
  const events: StreamEvent[] = []
  for (const entry of JSON.parse(text) as Entry[]) {
    if ('pieces' in entry) {
      for (const piece of entry.pieces) events.push(deltaEvent(entry, piece))
      continue
    }
    const { event } = entry
    const data = 'data' in entry ? entry.data : events.at(-1)?.data
    events.push({
      event,
      data: isRunEvent(event) ? { ...constant, ...(data as object) } : data,
    } as StreamEvent)
  }
  return events
}

function isRunEvent(name: string): boolean {
  return name.startsWith('thread.run.') && !name.startsWith('thread.run.step.')
}

function shortened({ event, data }: StreamEvent): Whole {
  if (!isRunEvent(event)) return { event, data }
  const run = data as RunObject
  return { event, data: Object.fromEntries(changing.map((key) => [key, run[key]])) }
}

/** A delta that carries nothing but a piece of text; null for any other event, first deltas of an item included. */
function deltaOf(event: StreamEvent): Deltas | null {
  if (event.event === 'thread.message.delta') {
    const [part] = event.data.delta.content
    if (!part || part.text.annotations) return null
    return { kind: 'text', of: event.data.id, at: part.index, pieces: [part.text.value] }
  }
  if (event.event !== 'thread.run.step.delta') return null
  const [call] = event.data.delta.step_details.tool_calls
  if (!call || call.id !== undefined || call.function.name !== undefined) return null
  return { kind: 'arguments', of: event.data.id, at: call.index, pieces: [call.function.arguments] }
}

function sameItem(a: Deltas, b: Deltas): boolean {
  return a.kind === b.kind && a.of === b.of && a.at === b.at
}

function deltaEvent({ kind, of: id, at: index }: Deltas, piece: string): StreamEvent {
  if (kind === 'text') {
    const content = [{ index, type: 'text' as const, text: { value: piece } }]
    return { event: 'thread.message.delta', data: { id, object: 'thread.message.delta', delta: { content } } }
  }
  const tool_calls = [{ index, type: 'function' as const, function: { arguments: piece } }]
  const delta = { step_details: { type: 'tool_calls' as const, tool_calls } }
  return { event: 'thread.run.step.delta', data: { id, object: 'thread.run.step.delta', delta } }
}
