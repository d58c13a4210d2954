import type pg from 'pg'
import type { Metadata } from '../contract/schema.ts'
import { query } from './pool.ts'
import type { RunKey } from './run-writes.ts'
import type { StreamEvent } from '../contract/events.ts'
import { decodeEvents, endsRun, type EventBatch, type EventPlace } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'

// The log of a run's events: written with the run's changes (thread-write.ts), read and trimmed here.

/** What becomes a row of the log. Its events are encoded when it is sent, which not every one is (thread-write-rows.ts). */
export interface LogRow {
  run_id: string
  term: number
  first_no: number
  last_no: number
  events: readonly StreamEvent[]
  ends: boolean
}

/** The row for a batch; null if nothing happened. */
export function logRow(
  run_id: string,
  { term, first, events }: Omit<EventBatch, 'from' | 'version'>,
): LogRow | null {
  if (events.length === 0) return null
  return {
    run_id,
    term,
    first_no: first,
    last_no: first + events.length - 1,
    events,
    ends: events.some(endsRun),
  }
}

const readText = `
select term, first_no, events,
  (select metadata from runs where project_id = $1 and thread_id = $2 and id = $3 limit 1) as metadata
from run_events
where project_id = $1 and thread_id = $2 and run_id = $3 and (term, last_no) > ($4::int, $5::int)
order by term, last_no limit $6`

/**
 * Up to `limit` batches behind `after`, in order. The first may begin before `after`, and one may repeat what another
 * has: what is at or before a place that was read is to be left out.
 */
export async function readEvents(
  pool: pg.Pool,
  run: RunRecord,
  after: EventPlace,
  limit: number,
): Promise<Pick<EventBatch, 'term' | 'first' | 'events'>[]> {
  const key = [run.project_id, run.thread_id, run.id]
  const rows = await query<{ term: number; first_no: number; events: string; metadata: Metadata | null }>(
    pool,
    'read_events',
    readText,
    [...key, after.term, after.no, limit],
  )
  return rows.map((row) => ({
    term: row.term,
    first: row.first_no,
    events: decodeEvents(row.events, { ...run, metadata: row.metadata ?? run.metadata }),
  }))
}

// `limit 1` instead of `exists`, which may be planned as a hash of the whole table.
const extentText = `
select
  (select first_no from run_events
    where project_id = $1 and thread_id = $2 and run_id = $3 and term = 1 limit 1) is not null as begins,
  coalesce((select ends from run_events
    where project_id = $1 and thread_id = $2 and run_id = $3 order by term desc, last_no desc limit 1), false) as ends`

/** Whether the log of a run reaches back to its creation, and whether it tells of its end. */
export async function logExtent(
  pool: pg.Pool,
  { project_id, thread_id, id }: RunKey,
): Promise<{ begins: boolean; ends: boolean }> {
  const rows = await query<{ begins: boolean; ends: boolean }>(pool, 'log_extent', extentText, [
    project_id,
    thread_id,
    id,
  ])
  return rows[0] ?? { begins: false, ends: false }
}

// Within JSON a text cannot hold a quote, so that what is looked for can only be the name of an event.
const answeredText = `
select term from run_events
where project_id = $1 and thread_id = $2 and run_id = $3 and term > (
  select term from run_events
  where project_id = $1 and thread_id = $2 and run_id = $3
    and strpos(events, '"thread.run.requires_action"') > 0
  order by term desc limit 1)
order by term limit 1`

/** The term of whoever answered the run's latest calls; null if the log does not tell of it any more. */
export async function answeredTerm(
  pool: pg.Pool,
  { project_id, thread_id, id }: RunKey,
): Promise<number | null> {
  const rows = await query<{ term: number }>(pool, 'answered_term', answeredText, [project_id, thread_id, id])
  return rows[0]?.term ?? null
}

// The row that ends a log goes when the others have gone, which a later call sees: it is how a log is found.
const purgeText = `
with old as materialized (
  select thread_id, run_id, term, last_no from run_events
  where ends and created_at < floor(threadmill_now())::bigint - $1
  order by created_at limit $2 for update skip locked
), piece as (
  delete from run_events where (thread_id, run_id, term, last_no) in (
    select x.thread_id, x.run_id, x.term, x.last_no
    from old cross join lateral (
      select * from run_events r
      where r.thread_id = old.thread_id and r.run_id = old.run_id and not r.ends limit $3) x
    limit $3)
), ended as (
  delete from run_events where (thread_id, run_id, term, last_no) in (
    select old.thread_id, old.run_id, old.term, old.last_no from old
    where (select term from run_events r
      where r.thread_id = old.thread_id and r.run_id = old.run_id and not r.ends limit 1) is null)
)
select count(*)::int as n from old`

/**
 * Removes a piece of the logs of runs that ended more than `age` seconds ago: at most `rows` rows of `runs` runs. Answers whether
 * there were as many runs.
 */
export async function purgeEvents(pool: pg.Pool, age: number, runs: number, rows: number): Promise<boolean> {
  const [found] = await query<{ n: number }>(pool, 'purge_events', purgeText, [age, runs, rows])
  return found?.n === runs
}
