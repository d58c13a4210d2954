import type pg from 'pg'
import type { RunCounts } from '../observe/metrics.ts'
import { query } from './pool.ts'

// How many runs there are, for whoever watches. The statements read all runs that have not ended: they are for an
// occasional look, and not for a request of a client.

/** Counts the runs that have not ended, and what waits. */
export async function countRuns(pool: pg.Pool): Promise<RunCounts> {
  const [statuses, [unowned], [queued]] = await Promise.all([
    countByStatus(pool),
    countUnowned(pool),
    countWaiting(pool),
  ])
  const none = { queued: 0, in_progress: 0, requires_action: 0, cancelling: 0 }
  const byStatus = { ...none, ...Object.fromEntries(statuses.map(({ status, runs }) => [status, runs])) }
  return {
    byStatus,
    unowned: unowned?.runs ?? 0,
    oldest: Math.max(0, unowned?.oldest ?? 0),
    waiting: queued?.waiting ?? 0,
  }
}

function countByStatus(pool: pg.Pool): Promise<{ status: string; runs: number }[]> {
  return query(
    pool,
    'count_runs_by_status',
    `select status, count(*)::int as runs from runs
    where status in ('queued', 'in_progress', 'requires_action', 'cancelling') group by status`,
    [],
  )
}

function countUnowned(pool: pg.Pool): Promise<{ runs: number; oldest: number | null }[]> {
  return query(
    pool,
    'count_unowned_runs',
    `select count(*)::int as runs, threadmill_now() - min(created_at) as oldest from runs
    where status = 'queued' and owner_node is null`,
    [],
  )
}

function countWaiting(pool: pg.Pool): Promise<{ waiting: number }[]> {
  return query(
    pool,
    'count_waiting',
    'select coalesce(sum(waiting), 0)::int as waiting from threads where waiting > 0',
    [],
  )
}
