import type pg from 'pg'
import { query } from './pool.ts'

// Threads whose time is over, project by project, in the order of their creation and a few at a time.

export interface Retained {
  id: string
  /** How long a thread is kept after it was last active. */
  seconds: number
}

const retainedText = `
select id, coalesce(retain_threads_for, $1) as seconds from projects
where coalesce(retain_threads_for, $1) > 0 order by id`

/** The projects whose threads are not kept for ever; `otherwise` (seconds, 0: for ever) is for those that do not say it. */
export function retainedProjects(pool: pg.Pool, otherwise: number): Promise<Retained[]> {
  return query<Retained>(pool, 'retained_projects', retainedText, [otherwise])
}

const setText = 'update projects set retain_threads_for = $2 where id = $1 returning id'

/** Says for how many seconds a project keeps its threads; 0 is for ever, null leaves it to the setting. False if there is no such project. */
export async function setRetention(pool: pg.Pool, project: string, seconds: number | null): Promise<boolean> {
  return (await query(pool, 'set_retention', setText, [project, seconds])).length > 0
}

const getText = 'select retain_threads_for as seconds from projects where id = $1'

/** For how many seconds a project says that it keeps its threads, as in `setRetention`; undefined if there is no such project. */
export async function getRetention(pool: pg.Pool, project: string): Promise<number | null | undefined> {
  return (await query<{ seconds: number | null }>(pool, 'retention_of_project', getText, [project]))[0]
    ?.seconds
}

/** The place of a thread in the order of creation. */
export interface ThreadPlace {
  created_at: number
  seq: number
}

/** Before every thread. */
export const firstPlace: ThreadPlace = { created_at: -1, seq: -1 }

export interface Retired {
  /** Threads that were looked at. */
  seen: number
  /** The last of them; null if there was none. */
  last: ThreadPlace | null
  /** Those that were marked deleted. */
  ids: string[]
}

// Whoever writes to a thread moves its next_seq or its active run under the row lock: what was idle when it was looked at, and
// has not moved since, still is. A row that someone holds is in use.
const retireText = `
with page as materialized (
  select id, created_at, seq, next_seq, active_run_id, waiting from threads
  where project_id = $1 and (created_at, seq) > ($2, $3) and created_at < $4 and deleted_at is null
  order by created_at, seq limit $5
), idle as materialized (
  select id, next_seq from page
  where active_run_id is null and waiting = 0
    and not exists (
      select from (select created_at from messages where thread_id = page.id order by seq desc limit 1) m
      where m.created_at >= $4)
    and not exists (
      select from (select created_at, ended_at from runs where thread_id = page.id order by seq desc limit 1) r
      where greatest(r.created_at, r.ended_at) >= $4)
), held as materialized (
  select t.id from idle
  cross join lateral (
    select id from threads
    where id = idle.id and next_seq = idle.next_seq and active_run_id is null and waiting = 0 and deleted_at is null
    limit 1 for update skip locked
  ) t
), gone as (
  update threads set deleted_at = $6 where id in (select id from held) returning id
)
select (select count(*) from page) as seen, array(select id from gone) as ids,
  (select to_jsonb(p) from (select created_at, seq from page order by created_at desc, seq desc limit 1) p) as last`

/**
 * Marks threads of a project deleted that were last active before `cutoff`, among the next `limit` behind `after`; their rows go
 * with the purge. A thread is active when it is made, gets a message, and as long as it has a run. Times are Unix seconds.
 */
export async function retireThreads(
  pool: pg.Pool,
  project: string,
  { after, cutoff, limit, now }: { after: ThreadPlace; cutoff: number; limit: number; now: number },
): Promise<Retired> {
  const values = [project, after.created_at, after.seq, cutoff, limit, now]
  const [row] = await query<Retired>(pool, 'retire_threads', retireText, values)
  return row ?? { seen: 0, last: null, ids: [] }
}

const unpurgedText = `
select count(*) as count from (select from threads where deleted_at is not null limit $1) d`

/** How many deleted threads still have rows, counted up to `most`. */
export async function unpurgedThreads(pool: pg.Pool, most: number): Promise<number> {
  const [row] = await query<{ count: number }>(pool, 'unpurged_threads', unpurgedText, [most])
  return row?.count ?? 0
}
