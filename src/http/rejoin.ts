import type { FastifyReply } from 'fastify'
import { notFound } from '../contract/errors.ts'
import { endsStream, type StreamEvent } from '../contract/events.ts'
import { isBehind, type EventPlace, type PlacedEvent } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import { toThread } from '../domain/to-wire.ts'
import { eventsToldAgain } from '../domain/told-again.ts'
import { logExtent } from '../store/event-log.ts'
import type { StreamStart } from '../store/idempotency.ts'
import { messagesOfRun } from '../store/messages.ts'
import type { RunKey } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import { stepsOfRun } from '../store/steps.ts'
import { getThread } from '../store/threads.ts'
import type { HttpContext } from './context.ts'
import { RunStream, runStatusOf, type Until } from './run-stream.ts'

// Streams of runs that began before: what was, and then what comes.

/** Turns the reply into the stream of a run's events behind `after`, to its end. Throws ApiError if there is no such run. */
export function rejoinRun(
  context: HttpContext,
  reply: FastifyReply,
  key: RunKey,
  after: EventPlace,
): Promise<void> {
  return rejoin(context, reply, key, after, 'end', (again) =>
    again.filter(({ place }) => isBehind(place, after)),
  )
}

/**
 * Turns the reply into the stream of a part of a run's events: from `start` to where the run waits for outputs next, or ends.
 * Throws ApiError if there is no such run.
 */
export function rejoinPart(
  context: HttpContext,
  reply: FastifyReply,
  key: RunKey,
  { term, waits, thread = false }: StreamStart,
): Promise<void> {
  const partOf = (again: PlacedEvent[]) => {
    const stops = again.flatMap(({ event }, i) => (isStop(event) ? [i + 1] : []))
    return again.slice(waits === 0 ? 0 : stops[waits - 1], stops[waits])
  }
  return rejoin(context, reply, key, { term, no: -1 }, 'stop', partOf, thread)
}

/** The event that tells of a run's thread (wire.md, "POST /threads/runs"), as the thread is now. Its place is in no log. */
async function threadEvent({ store }: HttpContext, key: RunKey): Promise<StreamEvent | null> {
  const thread = await getThread(store.pool, key.project_id, key.thread_id)
  return thread && { event: 'thread.created', data: toThread(thread) }
}

function isStop(event: StreamEvent): boolean {
  const status = runStatusOf(event)
  return status !== null && endsStream(status)
}

/** `partOf` chooses from the events of a run that is told again; `thread`: behind one that tells of its thread. */
async function rejoin(
  context: HttpContext,
  reply: FastifyReply,
  key: RunKey,
  after: EventPlace,
  until: Until,
  partOf: (again: PlacedEvent[]) => PlacedEvent[],
  thread = false,
): Promise<void> {
  // It listens before the run is read: what happens in between is not missed.
  const stream = new RunStream(context, key, until)
  try {
    const run = await getRun(context.store.pool, key.project_id, key.thread_id, key.id)
    if (!run) throw notFound('run', key.id)
    const again = await toldAgain(context, run)
    if (again === null) return stream.open(reply, run, { after, version: null })
    stream.tell(reply, partOf(again), thread ? await threadEvent(context, key) : null)
  } catch (error) {
    stream.close()
    throw error
  }
}

/**
 * The events of a run that ended so long ago that its log is not kept, or that has none from an older version; null
 * for any other. They have a term of their own: whoever broke off while there was a log gets all of them.
 */
async function toldAgain(
  { store, eventsKeptFor }: HttpContext,
  run: RunRecord,
): Promise<PlacedEvent[] | null> {
  if (!('ended_at' in run.state)) return null
  const { project_id, thread_id, id, state } = run
  const kept = store.clock.now() < state.ended_at + eventsKeptFor
  if (kept && (await logExtent(store.pool, run)).begins) return null
  const [steps, messages] = await Promise.all([
    stepsOfRun(store.pool, project_id, thread_id, id),
    messagesOfRun(store.pool, project_id, thread_id, id),
  ])
  return eventsToldAgain(run, steps, messages).map((event, no) => ({
    event,
    place: { term: state.version + 1, no },
  }))
}
