import type { RunRecord } from '../domain/records.ts'
import type { RunKey } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import type { HttpContext } from './context.ts'

// Polling that does not wait: an SDK's poll is answered when there is something to say (an unmodified
// createAndPoll returns when the run ends, not up to five seconds later).

const longestMs = 5_000
/** A change that was not announced, for instance of another node, is seen after this. */
const lookMs = 1_000

const worthWaitingFor: ReadonlySet<string> = new Set(['queued', 'in_progress', 'cancelling'])

/** How long a poll may be held: never so long that the client's own time-out could strike. 0 = answer at once. */
export function holdMs(headers: Record<string, string | string[] | undefined>): number {
  if (headers['x-stainless-poll-helper'] !== 'true') return 0
  const limits = ['x-stainless-timeout', 'x-stainless-read-timeout']
    .map((name) => Number(headers[name]))
    .filter((seconds) => seconds > 0)
    .map((seconds) => (seconds * 1000) / 2)
  return Math.min(longestMs, ...limits)
}

/**
 * The run as soon as it is neither queued, in_progress nor cancelling, or as it is after `ms`; sooner when the
 * client has gone (`signal`) or the server stops. Null if there is no such run.
 */
export async function waitForRun(
  context: HttpContext,
  key: RunKey,
  ms: number,
  signal: AbortSignal,
): Promise<RunRecord | null> {
  const { store, stopping } = context
  const until = performance.now() + ms
  let changed = Promise.withResolvers<void>()
  // Watching begins before the first read, so that no change falls between the two.
  const unwatch = ms > 0 ? store.signals.watch(key.id, () => changed.resolve()) : () => {}
  const letGo = () => changed.resolve()
  signal.addEventListener('abort', letGo)
  stopping.addEventListener('abort', letGo)
  try {
    for (;;) {
      const run = await getRun(store.pool, key.project_id, key.thread_id, key.id)
      const left = until - performance.now()
      if (run === null || !worthWaitingFor.has(run.state.status)) return run
      if (left <= 0 || signal.aborted || stopping.aborted) return run
      const timer = setTimeout(letGo, Math.min(left, lookMs))
      await changed.promise
      clearTimeout(timer)
      changed = Promise.withResolvers<void>()
    }
  } finally {
    unwatch()
    signal.removeEventListener('abort', letGo)
    stopping.removeEventListener('abort', letGo)
  }
}
