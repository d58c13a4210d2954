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
//
// A parameter is a list of rows (thread-write-rows.ts). Those of most batches are arrays, which are read by place: that takes Postgres
// half the time that names do. Where such rows are joined with a table, `offset 0` keeps their columns columns: for expressions
// the planner would take another index.
//
//   $1 the writes            $10 new threads
//   $2 new messages          $13 changed messages
//   $3 new steps             $14 changed steps         $4 messages to remove
//   $12 new runs             $11 changed runs
//   $5 rows of the log       $9 their texts
//   $6 answers to be kept    $7 tokens used            $8 how long threads may get

const columnsOfHeld = `op.*, t.active_run_id, t.next_seq, t.waiting, t.policy`
const write = `(a->>0)::int as n, a->>1 as kind, a->>2 as project_id, a->>3 as thread_id, a->>4 as run_id,
      (a->>5)::int as seqs, (a->>6)::boolean as release, (a->>7)::boolean as leave`
const itsThread = `left join lateral (
    select active_run_id, next_seq, waiting, policy from threads
    where id = op.thread_id and project_id = op.project_id and deleted_at is null
    limit 1 for update skip locked
  ) t on true`

/** Locks the threads of the writes, and reads them. What is not there, or held by someone else, is null. */
export const heldThreads = `held as materialized (
  select ${columnsOfHeld}
  from (
    select ${write}
    from jsonb_array_elements($1::jsonb) a
    offset 0
  ) op
  ${itsThread}
)`

/** As heldThreads, and the runs that change. */
export const held = `held as materialized (
  select ${columnsOfHeld}, r.present_version, r.present_owner, r.present_epoch
  from (
    select ${write}, (a->>8)::int as from_version, a->>9 as owner_node, (a->>10)::int as lease_epoch,
      a->>11 as message_id, (a->>12)::bigint as now, (a->>13)::boolean as front, (a->>14)::int as most
    from jsonb_array_elements($1::jsonb) a
    offset 0
  ) op
  ${itsThread}
  left join lateral (
    select version as present_version, owner_node as present_owner, lease_epoch as present_epoch from runs
    where t.next_seq is not null and op.kind in ('advance', 'delete_thread', 'log')
      and thread_id = op.thread_id and id = op.run_id
    limit 1 for no key update skip locked
  ) r on true
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
  from json_to_recordset($8::json) as b(n int, fresh int, most int), held h
  where h.n = b.n and h.next_seq is not null
)`

/**
 * The number behind which a write's messages come, by its n; -2 if they wait, -1 if its guard does not hold. An array, since what
 * looks for it would else go through all writes for each of its rows. This one is for writes that look at nothing but their threads.
 */
export const verdictOfThreads = `verdict as materialized (
  select array_agg(coalesce(case
    when kind = 'create_thread' then 0
    when active_run_id is null and (waiting = 0 or leave) then next_seq end, -1) order by n) as base
  from held
)`

// What it asks of a run was locked with it, so that `advanced` finds it so.
const verdictUnless = `verdict as materialized (
  select array_agg(coalesce(case when kind = 'create_thread' then 0`
const verdictIf = `
    when case
      when kind = 'log' then present_owner = owner_node and present_epoch = lease_epoch
      when kind = 'advance' or (kind = 'delete_thread' and coalesce(active_run_id, run_id) is not null)
        then present_version = from_version and (leave or waiting = 0 or release is not true)
      when kind = 'enqueue' then (active_run_id is not null or waiting > 0) and waiting < most
      else active_run_id is null and (leave or waiting = 0) end
    then case when kind = 'enqueue' then -2 else next_seq end end, -1) order by n) as base
  from held
)`
export const verdict = `${verdictUnless}${verdictIf}`
export const verdictUnlessLong = `${verdictUnless}
    when n in (select n from crowd where long) then -1${verdictIf}`

export const newThread = `new_thread as (
  insert into threads (id, project_id, created_at, tool_resources, metadata, next_seq, active_run_id, policy)
  select id, project_id, created_at, nullif(tool_resources, 'null'), metadata, next_seq, active_run_id, policy
  from (
    select a->>0 as id, a->>1 as project_id, (a->>2)::bigint as created_at, a->3 as tool_resources, a->4 as metadata,
      (a->>5)::bigint as next_seq, a->>6 as active_run_id, a->>7 as policy
    from jsonb_array_elements($10::jsonb) a
  ) x
)`

/** Of threads that are not deleted, and for which nothing comes to wait. */
export const touchedThreads = `touched as (
  update threads t set next_seq = t.next_seq + h.seqs,
    active_run_id = case when h.release then null when h.kind = 'create_run' then h.run_id else t.active_run_id end
  from held h
  where (select base from verdict)[h.n + 1] <> -1 and h.kind <> 'create_thread' and t.id = h.thread_id
    and (h.seqs > 0 or h.release or h.kind = 'create_run')
)`

export const touched = `touched as (
  update threads t set next_seq = t.next_seq + h.seqs,
    active_run_id = case when h.release then null when h.kind = 'create_run' then h.run_id else t.active_run_id end,
    deleted_at = case when h.kind = 'delete_thread' then h.now end,
    waiting = case when h.kind = 'delete_thread' then 0 when h.kind = 'enqueue' then t.waiting + 1 else t.waiting end
  from held h
  where (select base from verdict)[h.n + 1] <> -1 and h.kind <> 'create_thread' and t.id = h.thread_id
    and (h.seqs > 0 or h.release or h.kind in ('create_run', 'delete_thread'))
)`

export const advanced = `advanced as (
  update runs r set status = x.status, version = x.version, owner_node = x.owner_node,
    lease_epoch = x.lease_epoch, deadline = x.deadline, started_at = x.started_at, ended_at = x.ended_at,
    calls = nullif(x.calls, 'null'), error = nullif(x.error, 'null'), reason = x.reason,
    prompt_tokens = x.prompt_tokens, completion_tokens = x.completion_tokens, total_tokens = x.total_tokens,
    turns = x.turns, attempts = x.attempts, stamp = x.stamp
  from (
    select (a->>0)::int as n, a->>1 as thread_id, (a->>2)::bigint as stamp, a->>3 as id, a->4 as metadata,
      a->>5 as status, (a->>6)::int as version, a->>7 as owner_node, (a->>8)::int as lease_epoch,
      (a->>9)::bigint as deadline, (a->>10)::bigint as started_at, (a->>11)::bigint as ended_at, a->12 as calls,
      a->13 as error, a->>14 as reason, (a->>15)::bigint as prompt_tokens, (a->>16)::bigint as completion_tokens,
      (a->>17)::bigint as total_tokens, (a->>18)::int as turns, (a->>19)::int as attempts
    from jsonb_array_elements($11::jsonb) a
    offset 0
  ) x
  where (select base from verdict)[x.n + 1] <> -1 and r.thread_id = x.thread_id and r.id = x.id
  returning r.id, case when r.metadata <> x.metadata then r.metadata end as metadata
), renamed as materialized (
  select id, metadata from advanced where metadata is not null
)`

export const noneRenamed = `renamed as (select null::text as id, null::jsonb as metadata where false)`

const newRuns = `insert into runs (thread_id, id, project_id, seq, assistant_id, created_at, settings, metadata, status,
    version, owner_node, lease_epoch, deadline, started_at, ended_at, calls, error, reason,
    prompt_tokens, completion_tokens, total_tokens, turns, attempts, stamp)`
const columnsOfRun = `x.assistant_id, x.created_at, x.settings, x.metadata, x.status,
    x.version, x.owner_node, x.lease_epoch, x.deadline, x.started_at, x.ended_at, nullif(x.calls, 'null'),
    nullif(x.error, 'null'), x.reason, x.prompt_tokens, x.completion_tokens, x.total_tokens, x.turns, x.attempts,
    x.stamp`
const runs = `(
    select (a->>0)::int as n, (a->>1)::int as ord, a->>2 as thread_id, a->>3 as project_id, a->>4 as assistant_id,
      (a->>5)::bigint as created_at, a->6 as settings, (a->>7)::bigint as stamp, a->>8 as id, a->9 as metadata,
      a->>10 as status, (a->>11)::int as version, a->>12 as owner_node, (a->>13)::int as lease_epoch,
      (a->>14)::bigint as deadline, (a->>15)::bigint as started_at, (a->>16)::bigint as ended_at, a->17 as calls,
      a->18 as error, a->>19 as reason, (a->>20)::bigint as prompt_tokens, (a->>21)::bigint as completion_tokens,
      (a->>22)::bigint as total_tokens, (a->>23)::int as turns, (a->>24)::int as attempts
    from jsonb_array_elements($12::jsonb) a
  ) x`
export const newRun = `new_run as (
  ${newRuns}
  select x.thread_id, x.id, x.project_id, (select base from verdict)[x.n + 1] + x.ord, ${columnsOfRun}
  from ${runs}
  where (select base from verdict)[x.n + 1] >= 0
)`

/** And of those that wait. */
export const newRunOrWaiting = `new_run as (
  ${newRuns}
  -- A run that waits is shown as the newest (2^52), until it gets its place.
  select x.thread_id, x.id, x.project_id,
    x.ord + coalesce(h.next_seq, 0) + case when h.kind = 'enqueue' then 4503599627370496 else 0 end, ${columnsOfRun}
  from held h, ${runs}
  where h.n = x.n and (select base from verdict)[x.n + 1] <> -1
)`

const messages = `(
    select (a->>0)::int as n, (a->>1)::int as ord, a->>2 as thread_id, a->>3 as id, a->>4 as project_id, a->>5 as role,
      a->>6 as status, a->7 as content, a->>8 as assistant_id, a->>9 as run_id, a->10 as attachments, a->11 as metadata,
      (a->>12)::bigint as created_at, (a->>13)::bigint as ended_at, a->>14 as incomplete_reason
    from jsonb_array_elements($2::jsonb) a
  ) x`

export const newMessage = `new_message as (
  insert into messages (thread_id, id, project_id, seq, role, status, content, assistant_id, run_id,
    attachments, metadata, created_at, ended_at, incomplete_reason)
  select thread_id, id, project_id, (select base from verdict)[n + 1] + ord, role, status, content, assistant_id,
    run_id, attachments, metadata, created_at, ended_at, incomplete_reason
  from ${messages}
  where (select base from verdict)[n + 1] >= 0
)`

export const entry = `entry as (
  insert into thread_queue (thread_id, place, project_id, front, run_id, messages)
  select h.thread_id, h.next_seq + 1, h.project_id, h.front, h.run_id,
    (select coalesce(jsonb_agg(to_jsonb(x) - 'n' - 'ord' order by x.ord), '[]') from ${messages} where x.n = h.n)
  from held h where (select base from verdict)[h.n + 1] = -2
)`

export const changedMessage = `changed_message as (
  update messages m set status = x.status, content = x.content, ended_at = x.ended_at,
    incomplete_reason = x.incomplete_reason
  from (
    select (a->>0)::int as n, a->>1 as thread_id, a->>2 as id, a->>3 as status, a->4 as content,
      (a->>5)::bigint as ended_at, a->>6 as incomplete_reason
    from jsonb_array_elements($13::jsonb) a
    offset 0
  ) x
  where (select base from verdict)[x.n + 1] <> -1 and m.thread_id = x.thread_id and m.id = x.id
)`

export const goneMessage = `gone_message as (
  delete from messages m
  using (
    select thread_id, message_id as id from held
    where kind = 'delete_message' and (select base from verdict)[n + 1] <> -1
    union all
    select x.thread_id, x.id from json_to_recordset($4::json) as x(n int, thread_id text, id text)
    where (select base from verdict)[x.n + 1] <> -1
  ) x
  where m.thread_id = x.thread_id and m.id = x.id
  returning m.id
)`

export const noGoneMessage = `gone_message as (select null::text as id where false)`

export const newStep = `new_step as (
  insert into run_steps (thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, error, created_at, ended_at, expires_at)
  select thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, nullif(error, 'null'), created_at, ended_at, expires_at
  from (
    select (a->>0)::int as n, a->>1 as thread_id, a->>2 as id, a->>3 as project_id, a->>4 as run_id,
      a->>5 as assistant_id, (a->>6)::bigint as seq, (a->>7)::int as turn, (a->>8)::bigint as created_at,
      (a->>9)::bigint as expires_at, a->>10 as status, a->11 as details, (a->>12)::bigint as prompt_tokens,
      (a->>13)::bigint as completion_tokens, (a->>14)::bigint as total_tokens, a->15 as error,
      (a->>16)::bigint as ended_at
    from jsonb_array_elements($3::jsonb) a
  ) x
  where (select base from verdict)[n + 1] <> -1
)`

export const changedStep = `changed_step as (
  update run_steps s set status = x.status, details = x.details, prompt_tokens = x.prompt_tokens,
    completion_tokens = x.completion_tokens, total_tokens = x.total_tokens, error = nullif(x.error, 'null'),
    ended_at = x.ended_at, expires_at = x.expires_at
  from (
    select (a->>0)::int as n, a->>1 as thread_id, a->>2 as id, (a->>3)::bigint as expires_at, a->>4 as status,
      a->5 as details, (a->>6)::bigint as prompt_tokens, (a->>7)::bigint as completion_tokens,
      (a->>8)::bigint as total_tokens, a->9 as error, (a->>10)::bigint as ended_at
    from jsonb_array_elements($14::jsonb) a
    offset 0
  ) x
  where (select base from verdict)[x.n + 1] <> -1 and s.thread_id = x.thread_id and s.id = x.id
)`

const logOfRuns = `logged as (
  insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
  select a->>1, a->>2, (a->>3)::int, (a->>4)::int, (a->>5)::int, a->>6, events, (a->>7)::boolean,
    floor(threadmill_now())::bigint
  from rows from (jsonb_array_elements($5::jsonb), unnest(string_to_array($9, chr(10)))) as x(a, events)
  where (select base from verdict)[(a->>0)::int + 1] <> -1`
/** What is written with new runs is there only once. */
export const loggedOfNew = `${logOfRuns}
)`
export const logged = `${logOfRuns}
  on conflict do nothing
)`

export const kept = `kept as (
  insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, body, stream, created_at)
  select x.project_id, x.key, x.stamp, x.fingerprint, x.status, x.headers, x.body, nullif(x.stream, 'null'),
    floor(threadmill_now())::bigint
  from json_to_recordset($6::json) as x(
    n int, project_id text, key text, stamp bigint, fingerprint text, status int, headers jsonb, body text,
    stream jsonb)
  where (select base from verdict)[x.n + 1] <> -1
)`

/** In one order, so that two that count for the same never wait for each other. */
export const charged = `charged as (
  insert into usage_days (day, project_id, key_id, node_id, tokens)
  select floor(threadmill_now() / 86400)::int, x.project_id, x.key_id, x.node_id, sum(x.tokens)
  from json_to_recordset($7::json) as x(n int, project_id text, key_id text, node_id text, tokens bigint)
  where (select base from verdict)[x.n + 1] <> -1
  group by 2, 3, 4 order by 2, 3, 4
  on conflict (day, project_id, key_id, node_id) do update set tokens = usage_days.tokens + excluded.tokens
)`

const outcomesIf = `select h.n, h.active_run_id as run_id, h.policy, (select base from verdict)[h.n + 1] as base,
  case`
const ofMissing = `
    when h.next_seq is null then case when (select id from threads
      where id = h.thread_id and project_id = h.project_id and deleted_at is null limit 1) is not null
      then 'busy' else 'gone' end`
export const outcomesOfThreads = `${outcomesIf}
    when (select base from verdict)[h.n + 1] <> -1 then 'ok'${ofMissing}
    else 'locked' end as outcome,
  null::jsonb as metadata
from held h`

const ofDone = `
    when (select base from verdict)[h.n + 1] <> -1 then
      case when h.kind = 'delete_message' and h.message_id not in (select id from gone_message) then 'missing'
      else 'ok' end${ofMissing}`
const ofLong = `
    when h.n in (select n from crowd where long) then 'long'`
const ofRefused = `
    when h.release and h.kind <> 'create_run' and h.waiting > 0 and h.leave is not true then 'awaited'
    when h.kind in ('advance', 'delete_thread', 'log') then
      case when h.present_version is null and (select id from runs
        where thread_id = h.thread_id and id = h.run_id limit 1) is not null
      then 'busy' else 'stale' end
    when h.kind = 'enqueue' then case when h.waiting < h.most then 'free' else 'full' end
    else 'locked' end as outcome,
  (select metadata from renamed where id = h.run_id) as metadata
from held h`
export const outcomes = `${outcomesIf}${ofDone}${ofRefused}`
export const outcomesUnlessLong = `${outcomesIf}${ofDone}${ofLong}${ofRefused}`
