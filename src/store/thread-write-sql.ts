// Every write that a thread's lock governs, as one statement for many threads at once: one round trip, one
// transaction, one fsync for a whole batch. The statement first locks the thread rows, and those of runs that change, and
// reads them as they are now; each write then happens only if its guard holds. A row that someone else holds is not waited
// for: its write is 'busy' and the others are done. At most one write per thread may be in a batch (group-commit.ts sees to
// that). The `limit 1` leaves the planner no other way to a row than its id: on a table that was empty when it planned, a
// join would walk all threads.
//
// Its parts are here one by one, since most batches need few of them, and Postgres pays for each that is in a statement whether
// or not it finds a row (docs/decisions/0026): thread-write-statement.ts puts them together. A part that others refer to has a
// stand-in without rows.

/** Columns of a write that are needed once its guard has held. */
const passed = `n, kind, project_id, thread_id, seqs, release, now, message_id, run_id, run_ord, assistant_id, created_at, settings,
    metadata, status, version, owner_node, lease_epoch, deadline, front, started_at, ended_at, calls, error, reason,
    prompt_tokens, completion_tokens, total_tokens, turns, attempts, stamp`

/** $1 = the writes, $2 = their messages, $3 = steps, $4 = messages to remove, $5 = rows of the log, $6 = answers to be kept, $7 = tokens used, $8 = how long threads may get, $9 = the texts of the log. */
export const op = `op as materialized (
  select * from jsonb_to_recordset($1::jsonb) as x(
    n int, kind text, project_id text, thread_id text, seqs int, release boolean, now bigint, message_id text,
    thread jsonb, run_id text, stamp bigint, from_version int, run_ord int, assistant_id text, created_at bigint,
    settings jsonb, metadata jsonb, status text, version int, owner_node text, lease_epoch int, deadline bigint,
    started_at bigint, ended_at bigint, calls jsonb, error jsonb, reason text,
    prompt_tokens bigint, completion_tokens bigint, total_tokens bigint, turns int, attempts int,
    leave boolean, front boolean, most int)
)`

/** Locks the threads, and the runs that change, and reads them. */
const heldThreads = `held as materialized (
  select op.*, t.active_run_id, t.next_seq, t.waiting, t.policy, r.present_version, r.present_owner, r.present_epoch
  from (select * from op where kind <> 'create_thread' order by thread_id) op
  cross join lateral (
    select active_run_id, next_seq, waiting, policy from threads
    where id = op.thread_id and project_id = op.project_id and deleted_at is null
    limit 1 for update skip locked
  ) t
  left join lateral (`
export const held = `${heldThreads}
    select version as present_version, owner_node as present_owner, lease_epoch as present_epoch from runs
    where op.kind in ('advance', 'delete_thread', 'log') and thread_id = op.thread_id and id = op.run_id
    limit 1 for no key update skip locked
  ) r on true
)`
export const heldWithoutRuns = `${heldThreads}
    select null::int as present_version, null::text as present_owner, null::int as present_epoch
  ) r on true
)`

export const newThread = `new_thread as (
  insert into threads (id, project_id, created_at, tool_resources, metadata, next_seq, active_run_id,
    policy)
  select thread_id, project_id, (thread->>'created_at')::bigint, nullif(thread->'tool_resources', 'null'),
    thread->'metadata', seqs, run_id, thread->>'policy'
  from op where kind = 'create_thread' order by thread_id
  returning id
)`

export const noNewThread = `new_thread as (select null::text as id where false)`

export const advanced = `advanced as (
  update runs r set status = h.status, version = h.version, owner_node = h.owner_node,
    lease_epoch = h.lease_epoch, deadline = h.deadline, started_at = h.started_at, ended_at = h.ended_at,
    calls = nullif(h.calls, 'null'), error = nullif(h.error, 'null'), reason = h.reason,
    prompt_tokens = h.prompt_tokens, completion_tokens = h.completion_tokens, total_tokens = h.total_tokens,
    turns = h.turns, attempts = h.attempts, stamp = h.stamp
  from held h
  where h.kind in ('advance', 'delete_thread') and r.thread_id = h.thread_id and r.id = h.run_id
    and h.present_version = h.from_version and (h.leave or h.waiting = 0 or not h.release)
  returning r.id, case when r.metadata <> h.metadata then r.metadata end as metadata
), renamed as materialized (
  select id, metadata from advanced where metadata is not null
)`

export const notAdvanced = `advanced as (select null::text as id where false),
renamed as (select null::text as id, null::jsonb as metadata where false)`

const goUnless = `go as materialized (
  select 0::bigint as base, false as waits, ${passed}
  from op where kind = 'create_thread' and thread_id in (select id from new_thread)
  union all
  select next_seq, kind = 'enqueue', ${passed} from held
  where case
    when kind = 'log' then present_owner = owner_node and present_epoch = lease_epoch
    when kind = 'advance' or (kind = 'delete_thread' and coalesce(active_run_id, run_id) is not null)
      then run_id in (select id from advanced)
    when kind = 'enqueue' then (active_run_id is not null or waiting > 0) and waiting < most
    else active_run_id is null and (leave or waiting = 0)
  end`
export const go = `${goUnless}
)`
export const goUnlessLong = `${goUnless}
    and n not in (select n from crowd where long)
)`

/**
 * Which threads would get longer than they may, what waits for them counted. Messages are looked at only if the counter, which no
 * thread has more messages than, does not say that there is room. What others have added since the statement took its view of them is
 * not in that view, but in the counter of the row that was locked.
 */
export const crowd = `crowd as materialized (
  select b.n,
    case when h.waiting = 0 and h.next_seq + b.fresh <= b.most then false
      else b.fresh + (select count(*) from (select from messages where thread_id = h.thread_id limit b.most + 1) m)
        + (select coalesce(sum(jsonb_array_length(messages)), 0) from thread_queue where thread_id = h.thread_id)
        + h.next_seq - (select next_seq from threads where id = h.thread_id limit 1) > b.most end as long
  from jsonb_to_recordset($8::jsonb) as b(n int, fresh int, most int), held h where h.n = b.n
)`

/**
 * The number behind which a write's messages come, by its n; -2 if they wait, -1 if its guard did not hold. An array, since what
 * joins with it would else look through all writes for each of its rows.
 */
export const verdict = `verdict as materialized (
  select array_agg(base order by n) as base from (
    select n, case when waits then -2 else base end as base from go
    union all
    select n, -1 from op where n not in (select n from go)
  ) each
)`

export const touched = `touched as (
  update threads t set next_seq = t.next_seq + go.seqs,
    active_run_id = case when go.release then null when go.kind = 'create_run' then go.run_id
      else t.active_run_id end,
    deleted_at = case when go.kind = 'delete_thread' then go.now end,
    waiting = case when go.kind = 'delete_thread' then 0 when go.waits then t.waiting + 1 else t.waiting end
  from go
  where go.kind <> 'create_thread' and t.id = go.thread_id
    and (go.seqs > 0 or go.release or go.kind in ('create_run', 'delete_thread'))
)`

export const newRun = `new_run as (
  insert into runs (thread_id, id, project_id, seq, assistant_id, created_at, settings, metadata, status,
    version, owner_node, lease_epoch, deadline, started_at, ended_at, calls, error, reason,
    prompt_tokens, completion_tokens, total_tokens, turns, attempts, stamp)
  -- A run that waits is shown as the newest (2^52), until it gets its place.
  select thread_id, run_id, project_id, base + run_ord + case when waits then 4503599627370496 else 0 end,
    assistant_id, created_at, settings, metadata, status,
    version, owner_node, lease_epoch, deadline, started_at, ended_at, nullif(calls, 'null'), nullif(error, 'null'),
    reason, prompt_tokens, completion_tokens, total_tokens, turns, attempts, stamp
  from go where kind in ('create_thread', 'create_run', 'enqueue') and run_id is not null
)`

export const message = `message as materialized (
  select * from jsonb_to_recordset($2::jsonb) as x(
    n int, thread_id text, id text, project_id text, ord int, role text, status text, content jsonb,
    assistant_id text, run_id text, attachments jsonb, metadata jsonb, created_at bigint, ended_at bigint,
    incomplete_reason text)
)`

export const newMessage = `new_message as (
  insert into messages (thread_id, id, project_id, seq, role, status, content, assistant_id, run_id,
    attachments, metadata, created_at, ended_at, incomplete_reason)
  select thread_id, id, project_id, base[n + 1] + ord, role, status, content, assistant_id, run_id,
    attachments, metadata, created_at, ended_at, incomplete_reason
  from verdict, message where ord is not null and base[n + 1] >= 0
)`

export const entry = `entry as (
  insert into thread_queue (thread_id, place, project_id, front, run_id, messages)
  select thread_id, base + 1, project_id, front, run_id,
    (select coalesce(jsonb_agg(to_jsonb(m) - 'n' - 'ord' order by m.ord), '[]') from message m where m.n = go.n)
  from go where waits
)`

export const changedMessage = `changed_message as (
  update messages m set status = x.status, content = x.content, ended_at = x.ended_at,
    incomplete_reason = x.incomplete_reason
  from verdict, message x
  where x.ord is null and base[x.n + 1] <> -1 and m.thread_id = x.thread_id and m.id = x.id
)`

export const goneMessage = `gone_message as (
  delete from messages m
  using (
    select thread_id, message_id as id from go where kind = 'delete_message'
    union all
    select x.thread_id, x.id from verdict, jsonb_to_recordset($4::jsonb) as x(n int, thread_id text, id text)
    where base[x.n + 1] <> -1
  ) x
  where m.thread_id = x.thread_id and m.id = x.id
  returning m.id
)`

export const noGoneMessage = `gone_message as (select null::text as id where false)`

export const step = `step as materialized (
  select x.* from verdict, jsonb_to_recordset($3::jsonb) as x(
    n int, is_new boolean, thread_id text, id text, project_id text, run_id text, assistant_id text, seq bigint,
    turn int, status text, details jsonb, prompt_tokens bigint, completion_tokens bigint, total_tokens bigint,
    error jsonb, created_at bigint, ended_at bigint, expires_at bigint)
  where base[x.n + 1] <> -1
)`

export const newStep = `new_step as (
  insert into run_steps (thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, error, created_at, ended_at, expires_at)
  select thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, nullif(error, 'null'), created_at, ended_at, expires_at
  from step where is_new
)`

export const changedStep = `changed_step as (
  update run_steps s set status = x.status, details = x.details, prompt_tokens = x.prompt_tokens,
    completion_tokens = x.completion_tokens, total_tokens = x.total_tokens, error = nullif(x.error, 'null'),
    ended_at = x.ended_at, expires_at = x.expires_at
  from step x
  where not x.is_new and s.thread_id = x.thread_id and s.id = x.id
)`

export const logged = `logged as (
  insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
  select x.thread_id, x.run_id, x.term, x.first_no, x.last_no, x.project_id, x.events, x.ends,
    floor(threadmill_now())::bigint
  from verdict, rows from (
    jsonb_to_recordset($5::jsonb) as (
      n int, thread_id text, run_id text, term int, first_no int, last_no int, project_id text, ends boolean),
    unnest(string_to_array($9, chr(10)))
  ) as x(n, thread_id, run_id, term, first_no, last_no, project_id, ends, events)
  where base[x.n + 1] <> -1
  on conflict do nothing
)`

export const kept = `kept as (
  insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, body, stream, created_at)
  select x.project_id, x.key, x.stamp, x.fingerprint, x.status, x.headers, x.body, nullif(x.stream, 'null'),
    floor(threadmill_now())::bigint
  from jsonb_to_recordset($6::jsonb) as x(
    n int, project_id text, key text, stamp bigint, fingerprint text, status int, headers jsonb, body text,
    stream jsonb), verdict
  where verdict.base[x.n + 1] <> -1
)`

/** In one order, so that two that count for the same never wait for each other. */
export const charged = `charged as (
  insert into usage_days (day, project_id, key_id, node_id, tokens)
  select floor(threadmill_now() / 86400)::int, x.project_id, x.key_id, x.node_id, sum(x.tokens)
  from jsonb_to_recordset($7::jsonb) as x(n int, project_id text, key_id text, node_id text, tokens bigint), verdict
  where verdict.base[x.n + 1] <> -1
  group by 2, 3, 4 order by 2, 3, 4
  on conflict (day, project_id, key_id, node_id) do update set tokens = usage_days.tokens + excluded.tokens
)`

const outcomesOf = `select h.n, h.active_run_id as run_id, h.policy, verdict.base[h.n + 1] as base,
  case when verdict.base[h.n + 1] = -1 then
      case`
const ofLong = `
        when h.n in (select n from crowd where long) then 'long'`
const ofAll = `
        when h.release and h.kind <> 'create_run' and h.waiting > 0 and not h.leave then 'awaited'
        when h.kind in ('advance', 'delete_thread', 'log') then
          case when h.present_version is null and (select id from runs
            where thread_id = h.thread_id and id = h.run_id limit 1) is not null
          then 'busy' else 'stale' end
        when h.kind = 'enqueue' then case when h.waiting < h.most then 'free' else 'full' end
        else 'locked' end
    when h.kind = 'delete_message' and h.message_id not in (select id from gone_message) then 'missing'
    else 'ok' end as outcome,
  (select metadata from renamed where id = h.run_id) as metadata
from verdict, held h
union all
select op.n, null, null, verdict.base[op.n + 1],
  case when op.kind = 'create_thread' then 'ok'
    when (select id from threads
      where id = op.thread_id and project_id = op.project_id and deleted_at is null limit 1) is not null
    then 'busy' else 'gone' end,
  null
from verdict, op where op.n not in (select n from held)
order by n`
export const outcomes = `${outcomesOf}${ofAll}`
export const outcomesUnlessLong = `${outcomesOf}${ofLong}${ofAll}`
