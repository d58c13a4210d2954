import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ApiError, notFound } from '../../contract/errors.ts'
import { isBehind, logStart, readPlace, type EventPlace, type PlacedEvent } from '../../domain/event-log.ts'
import type { RunRecord } from '../../domain/records.ts'
import { eventsToldAgain } from '../../domain/told-again.ts'
import { logExtent } from '../../store/event-log.ts'
import { messagesOfRun } from '../../store/messages.ts'
import { getRun } from '../../store/runs.ts'
import { stepsOfRun } from '../../store/steps.ts'
import type { HttpContext } from '../context.ts'
import { route } from '../route.ts'
import { RunStream } from '../run-stream.ts'
import { runKey } from './runs.ts'

const EventsQuery = Type.Object({
  after: Type.Optional(
    Type.String({
      description: 'The id of the last event that the client has; the header Last-Event-ID goes before it.',
    }),
  ),
})

/** The events of a run, from the first or from where a stream broke off, and on until it ends. */
export function runEventRoutes(app: FastifyInstance, context: HttpContext): void {
  route(
    app,
    {
      id: 'streamRunEvents',
      method: 'GET',
      path: '/threads/{thread_id}/runs/{run_id}/events',
      tag: 'Runs',
      summary: 'Streams all events of a run, those that were and those that come.',
      query: EventsQuery,
      details:
        'Each event has an id. Send the last one that was seen as `Last-Event-ID`, and the stream goes on behind it, from any ' +
        'server. It stays open while the run waits for outputs, and ends with `done` behind the last event. After some time ' +
        '(`EVENTS_KEPT_FOR`) the events are told anew from what is stored, each text in one piece.',
      answer: Type.String({ description: 'Server-sent events.' }),
      streams: 'always',
    },
    async ({ request, reply, project, params, query }) => {
      const after = placeOf(request.headers['last-event-id'], query.after)
      const key = runKey(project, params)
      // It listens before the run is read: what happens in between is not missed.
      const stream = new RunStream(context, key, 'end')
      try {
        const run = await getRun(context.store.pool, project, params.thread_id, params.run_id)
        if (!run) throw notFound('run', params.run_id)
        const again = await toldAgain(context, run)
        if (again)
          stream.tell(
            reply,
            again.filter(({ place }) => isBehind(place, after)),
          )
        else stream.open(reply, run, { after, version: null })
      } catch (error) {
        stream.close()
        throw error
      }
      return undefined
    },
  )
}

/** A browser that reconnects keeps the query and moves the header on: so the header counts first. */
function placeOf(header: string | string[] | undefined, query: string | undefined): EventPlace {
  const [name, given] = header ? ['Last-Event-ID', String(header)] : ['after', query]
  if (!given) return logStart
  const place = readPlace(given)
  if (place) return place
  const shown = given.slice(0, 100)
  throw new ApiError(
    'invalid_value',
    `Invalid '${name}': '${shown}'. Expected the id of an event, for instance '3.17'.`,
    name,
  )
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
