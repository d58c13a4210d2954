import { ApiError } from './api-error.ts'
import { ApiRequest } from './api-request.ts'
import { NetworkError } from './network-error.ts'
import { Retry } from './retry.ts'
import { obey } from './send.ts'
import { readEvents, type ServerSentEvent } from './server-sent-events.ts'
import { TimeoutError } from './timeout-error.ts'
import { startTimer } from './timer.ts'
import { watchRun, type RunReader } from './wait-for-run.ts'

/** Where a stream of events begins. */
export interface StreamOptions {
  /** Ends the stream. */
  signal?: AbortSignal | undefined
  /** The id of an event: the stream begins behind it. */
  lastEventId?: string | undefined
}

/** An event of a run. */
export interface RunEvent {
  /** To be given as `lastEventId`; null where the server has no stream and the run is polled. */
  id: string | null
  /** What happened, for instance `thread.message.delta` or `thread.run.completed`. */
  event: string
  /** The object that it happened to, as the server sent it. */
  data: unknown
}

const terminal: ReadonlySet<string> = new Set(['completed', 'failed', 'incomplete', 'cancelled', 'expired'])

/** The events of a run until it has ended. Falls back to polls if the server has no such stream. */
export async function* streamEvents(
  api: RunReader,
  threadId: string,
  runId: string,
  options: StreamOptions,
): AsyncGenerator<RunEvent, void> {
  let id = options.lastEventId ?? null
  let pause: number | undefined
  const retry = new Retry()
  for (;;) {
    try {
      for await (const event of connection(api, threadId, runId, id, options.signal)) {
        retry.reset()
        pause = event.retry
        id = event.id || id
        if (event.event === 'done') return
        yield { id, event: event.event, data: parse(event.data) }
      }
      throw new NetworkError(new Error('The stream ended before the run did.'))
    } catch (error) {
      // A run that does not exist shows when it is polled.
      if (error instanceof ApiError && error.status === 404)
        return yield* polledEvents(api, threadId, runId, options.signal)
      await retry.after(error, options.signal, pause)
    }
  }
}

/** What one connection brings, until it ends or breaks. */
async function* connection(
  { apiClient }: RunReader,
  thread_id: string,
  run_id: string,
  lastEventId: string | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<ServerSentEvent, void> {
  const path = '/v1/threads/{thread_id}/runs/{run_id}/events'
  const request = new ApiRequest('GET', apiClient.buildUrl(path, { thread_id, run_id }))
  if (lastEventId) request.set('Last-Event-ID', lastEventId)
  const release = obey(request, signal)
  const silence = new Silence(apiClient.timeout, (error) => request.abort(error))
  try {
    const { body } = await apiClient.openStream(request)
    if (body) yield* readEvents(body, () => silence.begin())
  } catch (error) {
    if (request.signal.aborted) throw request.signal.reason
    throw error instanceof ApiError || error instanceof NetworkError ? error : new NetworkError(error)
  } finally {
    silence.end()
    release()
  }
}

/** Ends a connection on which nothing comes for too long: the other side may have gone without a word. */
class Silence {
  #stopTimer = () => {}
  readonly #limit: number
  readonly #stop: (error: TimeoutError) => void

  constructor(limit: number, stop: (error: TimeoutError) => void) {
    this.#limit = limit
    this.#stop = stop
    this.begin()
  }

  /** Counts from now on. */
  begin(): void {
    this.#stopTimer()
    this.#stopTimer = startTimer(this.#limit, () => this.#stop(new TimeoutError(this.#limit)))
  }

  end(): void {
    this.#stopTimer()
  }
}

/** The changes of a run's status as events, for servers that have no stream. */
async function* polledEvents(
  api: RunReader,
  threadId: string,
  runId: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<RunEvent, void> {
  let last = ''
  for await (const { run, response } of watchRun(api, threadId, runId, signal)) {
    if (run.status !== last) yield { id: null, event: `thread.run.${run.status}`, data: response.body }
    if (terminal.has(run.status)) return
    last = run.status
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data) as unknown
  } catch {
    return data
  }
}
