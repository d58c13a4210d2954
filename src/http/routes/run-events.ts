import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ApiError } from '../../contract/errors.ts'
import { logStart, readPlace, type EventPlace } from '../../domain/event-log.ts'
import type { HttpContext } from '../context.ts'
import { rejoinRun } from '../rejoin.ts'
import { route } from '../route.ts'
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
        '(`EVENTS_KEPT_FOR`) the events are told anew from what is stored, each text in one piece; those of a run that was over ' +
        'before its creation was answered are from the first.',
      answer: Type.String({ description: 'Server-sent events.' }),
      streams: 'always',
    },
    async ({ request, reply, project, params, query }) => {
      const after = placeOf(request.headers['last-event-id'], query.after)
      await rejoinRun(context, reply, runKey(project, params), after)
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
