import type pg from 'pg'
import type { ThreadRecord } from '../domain/records.ts'
import { inTransaction, query } from './pool.ts'

const selectText = `
select id, project_id, created_at, tool_resources, metadata
from threads where id = $1 and project_id = $2 and deleted_at is null`

const lockText = `${selectText} for update`

const updateText = `
update threads set metadata = $3, tool_resources = $4 where id = $1 and project_id = $2`

const activeText = `
select active_run_id from threads where id = $1 and project_id = $2 and deleted_at is null`

export async function getThread(pool: pg.Pool, project: string, id: string): Promise<ThreadRecord | null> {
  const rows = await query<ThreadRecord>(pool, 'get_thread', selectText, [id, project])
  return rows[0] ?? null
}

/** The run that holds the thread, or null; undefined if there is no such thread. */
export async function getActiveRunId(
  pool: pg.Pool,
  project: string,
  id: string,
): Promise<string | null | undefined> {
  const rows = await query<{ active_run_id: string | null }>(pool, 'get_active_run_id', activeText, [
    id,
    project,
  ])
  return rows[0] ? rows[0].active_run_id : undefined
}

/** Applies `change` to the stored thread under its row lock; null if there is no such thread. */
export async function updateThread(
  pool: pg.Pool,
  project: string,
  id: string,
  change: (thread: ThreadRecord) => ThreadRecord,
): Promise<ThreadRecord | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<ThreadRecord>(lockText, [id, project])
    const next = rows[0] ? change(rows[0]) : null
    if (next) {
      const resources = next.tool_resources && JSON.stringify(next.tool_resources)
      await client.query(updateText, [id, project, JSON.stringify(next.metadata), resources])
    }
    return next
  })
}

// Small pieces: a thread's rows go with it, at most $1 threads a call.
const purgeText = `
with gone as (
  delete from threads where id in (
    select id from threads where deleted_at is not null limit $1 for update skip locked)
  returning id
), m as (delete from messages using gone where messages.thread_id = gone.id),
r as (delete from runs using gone where runs.thread_id = gone.id),
s as (delete from run_steps using gone where run_steps.thread_id = gone.id)
select count(*)::int as count from gone`

/** Removes the rows of at most `limit` deleted threads; answers how many it removed. */
export async function purgeThreads(pool: pg.Pool, limit: number): Promise<number> {
  const rows = await query<{ count: number }>(pool, 'purge_threads', purgeText, [limit])
  return rows[0]?.count ?? 0
}
