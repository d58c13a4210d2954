import type pg from 'pg'
import type { PageQuery } from '../contract/paging.ts'
import type { ThreadRecord } from '../domain/records.ts'
import { keepAnswer, keepNothing, type Keeping } from './idempotency.ts'
import { readPage, type Page } from './page.ts'
import { inTransaction, query } from './pool.ts'
import { withoutSeq } from './rows.ts'
import type { ThreadKey } from './thread-write.ts'

const selectText = `
select id, project_id, created_at, tool_resources, metadata, policy
from threads where id = $1 and project_id = $2 and deleted_at is null`

const lockText = `${selectText} for update`

const updateText = `
update threads set metadata = $3, tool_resources = $4, policy = $5 where id = $1 and project_id = $2`

const list = {
  name: 'list_threads',
  large: [],
  text: `select id, project_id, seq, created_at, tool_resources, metadata, policy
from threads where project_id = $1 and seq > $2 and seq < $3 and deleted_at is null`,
  cursor: 'select seq from threads where project_id = $1 and id = $2 and deleted_at is null',
}

const activeText = `
select active_run_id from threads where id = $1 and project_id = $2 and deleted_at is null`

export async function getThread(pool: pg.Pool, project: string, id: string): Promise<ThreadRecord | null> {
  const rows = await query<ThreadRecord>(pool, 'get_thread', selectText, [id, project])
  return rows[0] ?? null
}

export async function listThreads(
  pool: pg.Pool,
  project: string,
  page: PageQuery,
): Promise<Page<ThreadRecord>> {
  const { rows, hasMore } = await readPage<ThreadRecord & { seq: number }>(pool, list, [project], page)
  return { rows: rows.map(withoutSeq), hasMore }
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
  keeping: Keeping<ThreadRecord> = keepNothing,
): Promise<ThreadRecord | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<ThreadRecord>(lockText, [id, project])
    const next = rows[0] ? change(rows[0]) : null
    if (next) {
      const resources = next.tool_resources && JSON.stringify(next.tool_resources)
      const values = [id, project, JSON.stringify(next.metadata), resources, next.policy]
      await client.query(updateText, values)
      await keepAnswer(client, keeping(next))
    }
    return next
  })
}

/**
 * For the `where` of reads below a thread: a deleted thread takes its rows with it at once, although they are
 * purged later.
 */
export const live = 'and exists (select from threads t where t.id = thread_id and t.deleted_at is null)'

// A thread goes when its rows have gone, which a later call sees: each call removes a bounded number of rows. The purge of old logs
// comes to rows of the log in an order of its own: what it has is left to it, or each would wait for the other.
const purgeText = `
with gone as materialized (
  select id from threads where deleted_at is not null order by deleted_at limit $1 for update skip locked
), m as (
  delete from messages where (thread_id, id) in (
    select x.thread_id, x.id from gone join messages x on x.thread_id = gone.id limit $2)
), s as (
  delete from run_steps where (thread_id, id) in (
    select x.thread_id, x.id from gone join run_steps x on x.thread_id = gone.id limit $2)
), e as (
  delete from run_events where (thread_id, run_id, term, last_no) in (
    select x.thread_id, x.run_id, x.term, x.last_no from gone join run_events x on x.thread_id = gone.id limit $2
    for update of x skip locked)
), q as (
  delete from thread_queue where thread_id in (select id from gone)
), r as (
  delete from runs where (thread_id, id) in (
    select x.thread_id, x.id from gone join runs x on x.thread_id = gone.id limit $2)
), t as (
  delete from threads where id in (select id from gone)
    and not exists (select from messages where thread_id = threads.id)
    and not exists (select from run_steps where thread_id = threads.id)
    and not exists (select from run_events where thread_id = threads.id)
    and not exists (select from runs where thread_id = threads.id)
)
select count(*)::int as n from gone`

// Nothing leaves such a thread behind but a server of an older version, which knows of nothing that waits.
const strandedText = `
select id, project_id from threads
where waiting > 0 and active_run_id is null and deleted_at is null limit $1`

/** Threads that no run holds although something waits for them. */
export async function strandedThreads(pool: pg.Pool, limit: number): Promise<ThreadKey[]> {
  return query<ThreadKey>(pool, 'stranded_threads', strandedText, [limit])
}

/**
 * Removes a piece of what deleted threads left: at most `rows` of each kind, from at most `threads` threads. Answers whether there
 * were as many threads.
 */
export async function purgeThreads(pool: pg.Pool, threads: number, rows: number): Promise<boolean> {
  const [found] = await query<{ n: number }>(pool, 'purge_threads', purgeText, [threads, rows])
  return found?.n === threads
}
