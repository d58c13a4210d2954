import { transition } from '../domain/run.ts'
import type { RunRecord } from '../domain/records.ts'
import { logRow } from './event-log.ts'
import { announce, batchOf, readOpenItems, rowsOf } from './run-writes.ts'
import { getRun } from './runs.ts'
import type { Store } from './store.ts'
import { noRows, type ThreadKey } from './thread-write.ts'
import { getActiveRunId } from './threads.ts'

/** Marks the thread deleted and ends its run cancelled, in one commit. False if there is no such thread. */
export async function deleteThread(store: Store, thread: ThreadKey): Promise<boolean> {
  for (;;) {
    const runId = await getActiveRunId(store.pool, thread.project_id, thread.id)
    if (runId === undefined) return false
    const now = store.clock.now()
    const run = runId === null ? null : await getRun(store.pool, thread.project_id, thread.id, runId)
    const write = { kind: 'delete_thread', thread, now } as const
    if (run === null) {
      const { outcome } = await store.write({ ...write, rows: noRows })
      if (outcome === 'ok' || outcome === 'gone') return outcome === 'ok'
      continue
    }
    const state = transition(run.state, { type: 'abandon', now })
    // Ended since it was read.
    if (typeof state === 'string') continue
    const next: RunRecord = { ...run, state }
    const { rows, events } = rowsOf(next, await readOpenItems(store, run), now)
    const batch = batchOf(run, next, events)
    const log = logRow(run.id, batch)
    const { outcome } = await store.write({ ...write, run: next, version: run.state.version, rows, log })
    if (outcome === 'gone') return false
    if (outcome !== 'ok') continue
    announce(store, next, batch)
    return true
  }
}
