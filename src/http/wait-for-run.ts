import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RunRecord } from '../domain/records.ts'
import type { RunKey } from '../store/run-writes.ts'
import type { HttpContext } from './context.ts'

// Polling that does not wait: an SDK's poll is answered when there is something to say (an unmodified
// createAndPoll returns when the run ends, not up to five seconds later).

const longestMs = 5_000
/** A change that was not announced, for instance of another node, is seen after this. */
const lookMs = 1_000

const worthWaitingFor: ReadonlySet<string> = new Set(['queued', 'in_progress', 'cancelling'])

/** How long a poll may be held: never so long that the client's own time-out could strike. 0 = answer at once. */
function holdMs(headers: Record<string, string | string[] | undefined>): number {
  if (headers['x-stainless-poll-helper'] !== 'true') return 0
  const limits = ['x-stainless-timeout', 'x-stainless-read-timeout']
    .map((name) => Number(headers[name]))
    .filter((seconds) => seconds > 0)
    .map((seconds) => (seconds * 1000) / 2)
  return Math.min(longestMs, ...limits)
}

/**
 * The run, for a poll that may be held as soon as it is neither queued, in_progress nor cancelling, or as it is when the
 * time is up; sooner when the client has gone or the server stops. Null if there is no such run.
 */
export async function waitForRun(
  context: HttpContext,
  key: RunKey,
  { headers }: FastifyRequest,
  reply: FastifyReply,
): Promise<RunRecord | null> {
  const ms = holdMs(headers)
  if (ms === 0) {
    // Who polls without saying so is held too, for the moment that a commit or a quick model takes.
    await context.store.endings.of(key)
    return context.store.readRun(key)
  }
  const left = new AbortController()
  // With a reason, since to make the usual one costs more than all the rest.
  reply.raw.on('close', () => left.abort('left'))
  return held(context, key, ms, left.signal)
}

async function held(
  { store, stopping }: HttpContext,
  key: RunKey,
  ms: number,
  signal: AbortSignal,
): Promise<RunRecord | null> {
  const until = performance.now() + ms
  let changed = Promise.withResolvers<void>()
  // Watching begins before the first read, so that no change falls between the two.
  const unwatch = store.signals.watch(key.id, () => changed.resolve())
  const letGo = () => changed.resolve()
  signal.addEventListener('abort', letGo)
  stopping.addEventListener('abort', letGo)
  try {
    for (;;) {
      const run = await store.readRun(key)
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
