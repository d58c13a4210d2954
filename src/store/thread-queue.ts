import type pg from 'pg'
import { query } from './pool.ts'
import { runOf, type RunRow } from './rows.ts'
import type { RunKey } from './run-writes.ts'
import { runColumns } from './runs.ts'
import type { RunRecord } from '../domain/records.ts'
import type { ThreadKey } from './thread-write.ts'

// What waits for a thread that a run holds. It is written with the thread's other writes (thread-write-sql.ts), and
// gets its place in the thread here. The caller has locked the thread rows.

const lockText = `select id from threads where id = any($1) order by id for update`

/** Locks threads against all other writers until the transaction ends. */
export async function lockThreads(client: pg.ClientBase, threads: string[]): Promise<void> {
  await client.query({ name: 'lock_threads', text: lockText, values: [threads] })
}

const waitingText = `
select r.* from unnest($1::text[]) as t(id)
cross join lateral (
  select w.* from thread_queue q
  cross join lateral (
    select ${runColumns} from runs
    where thread_id = q.thread_id and id = q.run_id and status = 'waiting' limit 1
  ) w
  where q.thread_id = t.id order by q.front desc, q.place limit $2
) r`

/** The runs that wait for each of these threads, in their order, at most `limit` a thread. */
export async function waitingRuns(
  client: pg.ClientBase | pg.Pool,
  threads: string[],
  limit: number,
): Promise<RunRecord[]> {
  const { rows } = await client.query<RunRow>({
    name: 'waiting_runs',
    text: waitingText,
    values: [threads, limit],
  })
  return rows.map(runOf)
}

// Up to the run that gets the thread; if none waits, all.
const admitText = `
with op as materialized (
  select x.thread_id, x.run_id, t.next_seq
  from jsonb_to_recordset($1::jsonb) as x(thread_id text, run_id text)
  cross join lateral (select next_seq from threads where id = x.thread_id limit 1) t
), taken as (
  delete from thread_queue q using op
  where q.thread_id = op.thread_id and (op.run_id is null or (q.front, -q.place) >= (
    select f.front, -f.place from thread_queue f where f.thread_id = op.thread_id and f.run_id = op.run_id limit 1))
  returning q.thread_id, q.front, q.place, q.messages
), message as materialized (
  select op.thread_id, e.m, op.next_seq + row_number() over (
    partition by op.thread_id order by taken.front desc, taken.place, e.i) as seq
  from taken join op using (thread_id)
  cross join lateral jsonb_array_elements(taken.messages) with ordinality as e(m, i)
), shown as (
  insert into messages
  select p.* from message
  cross join lateral jsonb_populate_record(null::messages, m || jsonb_build_object('seq', seq)) p
  -- A write that was lost and sent again may have been done twice: nothing in the queue says that a message is its own.
  on conflict (thread_id, id) do nothing
), numbered as (
  update runs r set seq = op.next_seq + 1 + (select count(*) from message where thread_id = op.thread_id)
  from op where r.thread_id = op.thread_id and r.id = op.run_id
)
update threads t set active_run_id = op.run_id,
  next_seq = op.next_seq + (select count(*) from message where thread_id = op.thread_id)
    + case when op.run_id is null then 0 else 1 end,
  waiting = case when op.run_id is null then 0
    else t.waiting - (select count(*) from taken where thread_id = op.thread_id) end
from op where t.id = op.thread_id`

/**
 * Gives free threads to what waits for them: messages are shown, up to the run that is given, which holds the thread
 * from now on.
 */
export async function admit(
  client: pg.ClientBase,
  threads: { thread_id: string; run_id: string | null }[],
): Promise<void> {
  await client.query({ name: 'admit_to_threads', text: admitText, values: [JSON.stringify(threads)] })
}

// What a run brought with it stays in its place: it was acknowledged. The run itself is shown where it ended.
const withdrawText = `
with op as materialized (
  select * from jsonb_to_recordset($1::jsonb) as x(thread_id text, run_id text)
), entry as materialized (
  select op.thread_id, q.place, q.messages = '[]' as bare from op
  cross join lateral (
    select place, messages from thread_queue where thread_id = op.thread_id and run_id = op.run_id limit 1
  ) q
), dropped as (
  delete from thread_queue q using entry e
  where q.thread_id = e.thread_id and q.place = e.place and e.bare
  returning q.thread_id
), kept as (
  update thread_queue q set run_id = null from entry e
  where q.thread_id = e.thread_id and q.place = e.place and not e.bare
), thread as (
  update threads t set next_seq = t.next_seq + 1,
    waiting = t.waiting - (select count(*) from dropped where thread_id = op.thread_id)
  from op where t.id = op.thread_id
  returning t.id, t.next_seq
)
update runs r set seq = thread.next_seq
from thread join op on op.thread_id = thread.id
where r.thread_id = op.thread_id and r.id = op.run_id`

/** Takes runs that have ended out of the queue; the messages that came with them stay in it. */
export async function withdraw(
  client: pg.ClientBase,
  runs: { thread_id: string; run_id: string }[],
): Promise<void> {
  await client.query({ name: 'withdraw_from_threads', text: withdrawText, values: [JSON.stringify(runs)] })
}

const clearText = `delete from thread_queue where thread_id = any($1)`

/** Forgets what waits for threads that are deleted. */
export async function clearQueues(client: pg.ClientBase, threads: string[]): Promise<void> {
  await client.query({ name: 'clear_thread_queues', text: clearText, values: [threads] })
}

// The one that holds the thread comes last: none of the others must get it in between.
const replacedText = `
with own as materialized (
  select place from thread_queue
  where thread_id = $2 and project_id = $1 and (run_id = $3 or messages -> 0 ->> 'id' = $3) limit 1
)
select id from (
  select q.run_id as id, q.place from own
  cross join lateral (
    select run_id, place from thread_queue
    where thread_id = $2 and front and run_id is not null and place < own.place
  ) q
  union all
  select t.active_run_id, null from own
  cross join lateral (
    select active_run_id from threads where id = $2 and active_run_id is not null and deleted_at is null limit 1
  ) t
) r
order by place nulls last`

/**
 * The runs that `id`, a run or message which waits at the front, is to replace: those that came before it to do the same, and the
 * one that holds the thread. None if it waits no more: who holds the thread now came behind it.
 */
export async function replacedInQueue(
  pool: pg.Pool,
  { project_id, id: thread }: ThreadKey,
  id: string,
): Promise<string[]> {
  const rows = await query<{ id: string }>(pool, 'replaced_in_queue', replacedText, [project_id, thread, id])
  return rows.map((row) => row.id)
}

// Whatever waits at the front came behind the run that holds the thread, since those at the front are taken in their order.
const overdueText = `
select t.project_id, t.id as thread_id, t.active_run_id as id
from (select distinct thread_id from thread_queue where front limit $1) q
cross join lateral (
  select id, project_id, active_run_id from threads
  where id = q.thread_id and active_run_id is not null and deleted_at is null limit 1
) t
cross join lateral (
  select status from runs where thread_id = t.id and id = t.active_run_id and status <> 'cancelling' limit 1
) r`

/** Runs that hold a thread, and that something which waits for it was to replace. */
export async function runsToReplace(pool: pg.Pool, limit: number): Promise<RunKey[]> {
  return query<RunKey>(pool, 'runs_to_replace', overdueText, [limit])
}
