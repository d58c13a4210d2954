import type { FastifyReply } from 'fastify'
import { notFound } from '../contract/errors.ts'
import { isBehind, type EventPlace, type PlacedEvent } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import { eventsToldAgain } from '../domain/told-again.ts'
import { logExtent } from '../store/event-log.ts'
import { messagesOfRun } from '../store/messages.ts'
import type { RunKey } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import { stepsOfRun } from '../store/steps.ts'
import type { HttpContext } from './context.ts'
import { RunStream, type Until } from './run-stream.ts'

// Streams of runs that began before: what was, and then what comes.

/**
 * Turns the reply into the stream of a run's events behind `after`, to the end of the run or to where it stops first.
 * Throws ApiError if there is no such run.
 */
export async function rejoinRun(
  context: HttpContext,
  reply: FastifyReply,
  key: RunKey,
  after: EventPlace,
  until: Until,
): Promise<void> {
  // It listens before the run is read: what happens in between is not missed.
  const stream = new RunStream(context, key, until)
  try {
    const run = await getRun(context.store.pool, key.project_id, key.thread_id, key.id)
    if (!run) throw notFound('run', key.id)
    const again = await toldAgain(context, run)
    if (again === null) return stream.open(reply, run, { after, version: null })
    const missed = again.filter(({ place }) => isBehind(place, after))
    stream.tell(reply, missed)
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
