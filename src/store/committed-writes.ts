import type pg from 'pg'
import { query } from './pool.ts'
import type { ThreadWrite } from './thread-write.ts'

// What became of a flush whose answer was lost: each write is known by ids that only it has.

// Subqueries with `limit 1` instead of `exists`: those may be planned as a hash of the whole table.
const text = `
select x.n, case when x.key is not null then
    coalesce((select stamp from idempotency_keys
      where project_id = x.project_id and key = x.key limit 1) = x.key_stamp, false)
  else case x.kind
    when 'create_thread' then
      (select id from threads where id = x.thread_id and project_id = x.project_id limit 1) is not null
    when 'append' then
      (select id from messages
        where thread_id = x.thread_id and id = x.message_id and project_id = x.project_id limit 1) is not null
    when 'create_run' then
      (select id from runs
        where thread_id = x.thread_id and id = x.run_id and project_id = x.project_id limit 1) is not null
    when 'enqueue' then case
      when x.run_id is not null then
        (select id from runs
          where thread_id = x.thread_id and id = x.run_id and project_id = x.project_id limit 1) is not null
      else
        (select place from thread_queue
          where thread_id = x.thread_id and project_id = x.project_id and messages -> 0 ->> 'id' = x.message_id
          limit 1) is not null
        or (select id from messages
          where thread_id = x.thread_id and id = x.message_id and project_id = x.project_id limit 1) is not null
      end
    -- It may be done again.
    when 'promote' then false
    when 'delete_message' then
      (select id from messages
        where thread_id = x.thread_id and id = x.message_id and project_id = x.project_id limit 1) is null
      -- One that waits for its thread is not deleted: it is yet to come.
      and (select place from thread_queue
        where thread_id = x.thread_id and project_id = x.project_id
          and messages @> jsonb_build_array(jsonb_build_object('id', x.message_id)) limit 1) is null
    when 'delete_thread' then
      (select id from threads
        where id = x.thread_id and project_id = x.project_id and deleted_at is null limit 1) is null
    when 'log' then
      (select last_no from run_events
        where thread_id = x.thread_id and run_id = x.run_id and term = x.term and last_no = x.last_no
          and project_id = x.project_id limit 1) is not null
    else
      coalesce((select stamp from runs
        where thread_id = x.thread_id and id = x.run_id and project_id = x.project_id limit 1) = x.stamp, false)
      or (select id from run_steps
        where thread_id = x.thread_id and id = x.step_id and project_id = x.project_id limit 1) is not null
  end end as done
from jsonb_to_recordset($1::jsonb) as x(
  n int, kind text, project_id text, thread_id text, message_id text, run_id text, stamp bigint, step_id text,
  term int, last_no int, key text, key_stamp bigint)
order by x.n`

/**
 * Whether each of these writes is in the store, in order. A deletion counts as done when what it deletes is not
 * there. A run's change that another has followed is known by the first step it began; one without is not found,
 * and its writer will meet a version that has moved on.
 */
export async function committedWrites(pool: pg.Pool, batch: ThreadWrite[]): Promise<boolean[]> {
  const keys = batch.map((write, n) => ({
    n,
    kind: write.kind,
    project_id: write.thread.project_id,
    thread_id: write.thread.id,
    // The answer that is kept with a write says it best: it stays as it is for a day.
    ...(write.kept ? { key: write.kept.key, key_stamp: write.kept.stamp } : ownIds(write)),
  }))
  const rows = await query<{ done: boolean }>(pool, 'committed_writes', text, [JSON.stringify(keys)])
  return rows.map(({ done }) => done)
}

function ownIds(write: ThreadWrite): Record<string, string | number | undefined> {
  switch (write.kind) {
    case 'append':
      return { message_id: write.messages[0]?.id }
    case 'delete_message':
      return { message_id: write.messageId }
    case 'enqueue':
      return { run_id: write.run?.id, message_id: write.messages[0]?.id }
    case 'create_run':
      return { run_id: write.run.id }
    case 'advance':
      return { run_id: write.run.id, stamp: write.stamp, step_id: write.rows.newSteps[0]?.id }
    case 'log':
      return { run_id: write.log.run_id, term: write.log.term, last_no: write.log.last_no }
    case 'promote':
    case 'create_thread':
    case 'delete_thread':
      return {}
  }
}
