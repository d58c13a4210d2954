import type { ApiPromise } from './api-promise.ts'
import type { ApiClient } from './api-client.ts'
import type { RequestOptions } from './api-request.ts'
import type { ApiResponse } from './api-response.ts'
import type { OpenAIRun } from './models/open-ai-run.ts'
import { Retry, sleep } from './retry.ts'
import { TimeoutError } from './timeout-error.ts'
import { startTimer } from './timer.ts'

/** How long to wait for a run. */
export interface WaitOptions {
  /** Milliseconds until the wait is given up; without it the wait lasts as long as the run. */
  timeout?: number | undefined
  /** Ends the wait. */
  signal?: AbortSignal | undefined
}

/** What is needed of the RunsApi. */
export interface RunReader {
  readonly apiClient: ApiClient
  retrieveRunV1ThreadsThreadIdRunsRunIdGet(
    threadId: string,
    runId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
}

/** In these the server is at work: a poll is held until the run leaves them. */
const working: ReadonlySet<string> = new Set(['queued', 'in_progress', 'cancelling'])

/** Milliseconds between polls where the server neither holds them nor says when to come again. */
const defaultPause = 500
/** The least pause, so that a server which answers at once is not flooded. */
const leastPause = 50

/** The run as soon as it has ended or needs tool outputs. */
export async function waitForRun(
  api: RunReader,
  threadId: string,
  runId: string,
  { timeout, signal }: WaitOptions,
): Promise<OpenAIRun> {
  // AbortSignal.any would do, but is not in every Node 20.
  const both = new AbortController()
  const stop = () => both.abort(signal?.reason)
  if (signal?.aborted) stop()
  signal?.addEventListener('abort', stop)
  const late = timeout ? new TimeoutError(timeout) : undefined
  const stopTimer = startTimer(timeout, () => both.abort(late))
  const polls = watchRun(api, threadId, runId, both.signal)
  try {
    for (;;) {
      const { run } = (await polls.next()).value
      if (!working.has(run.status)) return run
    }
  } catch (error) {
    throw late && both.signal.reason === late ? late : error
  } finally {
    stopTimer()
    signal?.removeEventListener('abort', stop)
  }
}

/** The run again and again, by polls that the server holds while the run is at work; without end. */
export async function* watchRun(
  api: RunReader,
  threadId: string,
  runId: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ run: OpenAIRun; response: ApiResponse }, never> {
  // The header that holds a poll would make a request of an unnamed dialect one of the other dialect.
  const isHeld = api.apiClient.dialect !== null
  const headers: Record<string, string> = isHeld ? { 'x-stainless-poll-helper': 'true' } : {}
  const retry = new Retry()
  for (;;) {
    const asked = Date.now()
    const poll = api.retrieveRunV1ThreadsThreadIdRunsRunIdGet(threadId, runId, { signal, headers })
    const seen = await poll.withResponse().catch((error: unknown) => retry.after(error, signal))
    if (!seen) continue
    retry.reset()
    yield { run: seen.data, response: seen.response }
    await sleep(pauseAfter(seen.response, Date.now() - asked, isHeld), signal)
  }
}

/** How long to wait before the next poll: a poll that was held for `took` milliseconds has waited already. */
function pauseAfter(response: ApiResponse, took: number, isHeld: boolean): number {
  const asked = Number(response.headers['openai-poll-after-ms'] ?? defaultPause)
  return Math.max(leastPause, isHeld ? asked - took : asked)
}
