import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { RunRecord } from '../domain/records.ts'
import { waitingRunState } from '../domain/run.ts'
import { keepNothing, type KeptAnswer } from './idempotency.ts'
import { applyRunEvent, type RunKey } from './run-writes.ts'
import type { Store } from './store.ts'
import { replacedInQueue } from './thread-queue.ts'
import type { ThreadKey, ThreadWrite } from './thread-write.ts'

// How a run or a message comes to a thread: at once if nobody holds it, else as the thread's policy says.

export type Entered =
  /** It is there, or waits: then the run in it does. */
  | { outcome: 'ok'; run: RunRecord | undefined }
  | { outcome: 'gone' }
  | { outcome: 'locked'; runId: string }
  | { outcome: 'full' }
  | { outcome: 'long' }

/**
 * Commits the write as `policyOf` says, which is told the thread's own policy. `keptFor` gives the answer that is kept
 * with the write, by the run as it comes in.
 */
export async function enterThread(
  store: Store,
  write: Extract<ThreadWrite, { kind: 'append' | 'create_run' }>,
  policyOf: (own: ThreadPolicy | null) => ThreadPolicy,
  keptFor: (run: RunRecord | undefined) => KeptAnswer | null = keepNothing,
): Promise<Entered> {
  const run = 'run' in write ? write.run : undefined
  for (;;) {
    const now = await store.write({ ...write, kept: keptFor(run) })
    if (now.outcome === 'gone' || now.outcome === 'long') return now
    if (now.outcome === 'ok') return { outcome: 'ok', run }
    if (now.outcome !== 'locked') throw new Error(`a thread was entered with the outcome ${now.outcome}`)
    const policy = policyOf(now.policy)
    if (policy === 'reject') return now
    const waiting = run && { ...run, state: waitingRunState(run.state.deadline) }
    const front = policy === 'replace'
    const kept = keptFor(waiting)
    const later = await store.write({ ...write, kind: 'enqueue', run: waiting, front, kept })
    if (later.outcome === 'gone' || later.outcome === 'full' || later.outcome === 'long') return later
    // The run that held it has ended since.
    if (later.outcome !== 'ok') continue
    // What waits is there whether or not this succeeds, and must not be sent again: a sweep cancels what is left.
    const by = (waiting ?? write.messages[0])?.id ?? ''
    if (front) await replace(store, write.thread, by).catch(() => {})
    return { outcome: 'ok', run: waiting }
  }
}

/** Cancels what `by`, a run or message that waits, is to replace. */
async function replace(store: Store, thread: ThreadKey, by: string): Promise<void> {
  const { project_id, id: thread_id } = thread
  for (const id of await replacedInQueue(store.pool, thread, by)) {
    await cancelReplaced(store, { project_id, thread_id, id })
  }
}

/** Cancels a run that is replaced; one that has ended, or is being cancelled, is no obstacle. */
export async function cancelReplaced(store: Store, key: RunKey): Promise<void> {
  await applyRunEvent(store, key, () => ({ event: { type: 'cancel', now: store.clock.now() } }))
}
