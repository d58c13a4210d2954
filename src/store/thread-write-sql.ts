// Every write that a thread's lock governs, as one statement for many threads at once: one round trip, one
// transaction, one fsync for a whole batch. The statement first locks the thread rows, and those of runs that change, and
// reads them as they are now; each write then happens only if its guard holds. A row that someone else holds is not waited
// for: its write is 'busy' and the others are done. At most one write per thread may be in a batch (group-commit.ts sees to
// that). The `limit 1` leaves the planner no other way to a row than its id: on a table that was empty when it planned, a
// join would walk all threads.

/** $1 = the writes, $2 = their messages, $3 = steps, $4 = messages to remove, $5 = rows of the log. */
export const threadWritesText = `
with op as materialized (
  select * from jsonb_to_recordset($1::jsonb) as x(
    n int, kind text, project_id text, thread_id text, seqs int, release boolean, now bigint, message_id text,
    thread jsonb, run_id text, stamp bigint, from_version int, run_ord int, assistant_id text, created_at bigint,
    settings jsonb, metadata jsonb, status text, version int, owner_node text, lease_epoch int, deadline bigint,
    started_at bigint, ended_at bigint, calls jsonb, error jsonb, reason text,
    prompt_tokens bigint, completion_tokens bigint, total_tokens bigint, turns int, attempts int,
    leave boolean, front boolean, most int)
), held as materialized (
  select op.*, t.active_run_id, t.next_seq, t.waiting, t.policy
  from (select * from op where kind <> 'create_thread' order by thread_id) op
  cross join lateral (
    select active_run_id, next_seq, waiting, policy from threads
    where id = op.thread_id and project_id = op.project_id and deleted_at is null
    limit 1 for update skip locked
  ) t
), held_run as materialized (
  select h.n, r.version, r.owner_node, r.lease_epoch
  from held h
  cross join lateral (
    select version, owner_node, lease_epoch from runs where thread_id = h.thread_id and id = h.run_id
    limit 1 for no key update skip locked
  ) r
  where h.kind in ('advance', 'delete_thread', 'log')
), new_thread as (
  insert into threads (id, project_id, created_at, tool_resources, metadata, next_seq, active_run_id,
    policy)
  select thread_id, project_id, (thread->>'created_at')::bigint, nullif(thread->'tool_resources', 'null'),
    thread->'metadata', seqs, run_id, thread->>'policy'
  from op where kind = 'create_thread' order by thread_id
  returning id
), advanced as (
  update runs r set status = h.status, version = h.version, owner_node = h.owner_node,
    lease_epoch = h.lease_epoch, deadline = h.deadline, started_at = h.started_at, ended_at = h.ended_at,
    calls = nullif(h.calls, 'null'), error = nullif(h.error, 'null'), reason = h.reason,
    prompt_tokens = h.prompt_tokens, completion_tokens = h.completion_tokens, total_tokens = h.total_tokens,
    turns = h.turns, attempts = h.attempts, stamp = h.stamp
  from held h join held_run using (n)
  where h.kind in ('advance', 'delete_thread') and r.thread_id = h.thread_id and r.id = h.run_id
    and held_run.version = h.from_version and (h.leave or h.waiting = 0 or not h.release)
  returning r.id, case when r.metadata <> h.metadata then r.metadata end as metadata
), leased as materialized (
  select n from held h join held_run r using (n)
  where h.kind = 'log' and r.owner_node = h.owner_node and r.lease_epoch = h.lease_epoch
), go as materialized (
  select n, 0::bigint as base, false as waits from op join new_thread on new_thread.id = op.thread_id
  union all
  select n, next_seq, kind = 'enqueue' from held
  where case
    when kind = 'log' then n in (select n from leased)
    when kind = 'advance' or (kind = 'delete_thread' and coalesce(active_run_id, run_id) is not null)
      then run_id in (select id from advanced)
    when kind = 'enqueue' then (active_run_id is not null or waiting > 0) and waiting < most
    else active_run_id is null and (leave or waiting = 0)
  end
), touched as (
  update threads t set next_seq = t.next_seq + h.seqs,
    active_run_id = case when h.kind = 'create_run' then h.run_id when h.release then null else t.active_run_id end,
    deleted_at = case when h.kind = 'delete_thread' then h.now end,
    waiting = case when h.kind = 'delete_thread' then 0 when go.waits then t.waiting + 1 else t.waiting end
  from held h join go using (n)
  where t.id = h.thread_id and (h.seqs > 0 or h.release or h.kind in ('create_run', 'delete_thread'))
), new_run as (
  insert into runs (thread_id, id, project_id, seq, assistant_id, created_at, settings, metadata, status,
    version, owner_node, lease_epoch, deadline, prompt_tokens, completion_tokens, total_tokens, turns, attempts)
  -- A run that waits is shown as the newest (2^52), until it gets its place.
  select thread_id, run_id, project_id, base + run_ord + case when waits then 4503599627370496 else 0 end,
    assistant_id, created_at, settings, metadata, status,
    version, owner_node, lease_epoch, deadline, 0, 0, 0, 0, 0
  from op join go using (n) where kind in ('create_thread', 'create_run', 'enqueue') and run_id is not null
), message as materialized (
  select * from jsonb_to_recordset($2::jsonb) as x(
    n int, thread_id text, id text, project_id text, ord int, role text, status text, content jsonb,
    assistant_id text, run_id text, attachments jsonb, metadata jsonb, created_at bigint, ended_at bigint,
    incomplete_reason text)
), new_message as (
  insert into messages (thread_id, id, project_id, seq, role, status, content, assistant_id, run_id,
    attachments, metadata, created_at, ended_at, incomplete_reason)
  select thread_id, id, project_id, base + ord, role, status, content, assistant_id, run_id,
    attachments, metadata, created_at, ended_at, incomplete_reason
  from message join go using (n) where ord is not null and not waits
), entry as (
  insert into thread_queue (thread_id, place, project_id, front, run_id, messages)
  select thread_id, base + 1, project_id, front, run_id,
    (select coalesce(jsonb_agg(to_jsonb(m) - 'n' - 'ord' order by m.ord), '[]') from message m where m.n = op.n)
  from op join go using (n) where waits
), changed_message as (
  update messages m set status = x.status, content = x.content, ended_at = x.ended_at,
    incomplete_reason = x.incomplete_reason
  from message x join go using (n)
  where x.ord is null and m.thread_id = x.thread_id and m.id = x.id
), gone_message as (
  delete from messages m
  using (
    select h.thread_id, h.message_id as id from held h join go using (n) where h.kind = 'delete_message'
    union all
    select x.thread_id, x.id from jsonb_to_recordset($4::jsonb) as x(n int, thread_id text, id text) join go using (n)
  ) x
  where m.thread_id = x.thread_id and m.id = x.id
  returning m.id
), step as materialized (
  select * from jsonb_to_recordset($3::jsonb) as x(
    n int, is_new boolean, thread_id text, id text, project_id text, run_id text, assistant_id text, seq bigint,
    turn int, status text, details jsonb, prompt_tokens bigint, completion_tokens bigint, total_tokens bigint,
    error jsonb, created_at bigint, ended_at bigint, expires_at bigint)
), new_step as (
  insert into run_steps (thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, error, created_at, ended_at, expires_at)
  select thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    prompt_tokens, completion_tokens, total_tokens, nullif(error, 'null'), created_at, ended_at, expires_at
  from step join go using (n) where is_new
), changed_step as (
  update run_steps s set status = x.status, details = x.details, prompt_tokens = x.prompt_tokens,
    completion_tokens = x.completion_tokens, total_tokens = x.total_tokens, error = nullif(x.error, 'null'),
    ended_at = x.ended_at, expires_at = x.expires_at
  from step x join go using (n)
  where not x.is_new and s.thread_id = x.thread_id and s.id = x.id
), logged as (
  insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
  select x.thread_id, x.run_id, x.term, x.first_no, x.last_no, x.project_id, x.events, x.ends,
    floor(threadmill_now())::bigint
  from jsonb_to_recordset($5::jsonb) as x(
    n int, thread_id text, run_id text, term int, first_no int, last_no int, project_id text, events text,
    ends boolean)
  join go using (n)
  on conflict do nothing
)
select op.n, held.active_run_id as run_id, held.policy, go.base,
  case when go.n is null and held.n is null then
      case when op.kind <> 'create_thread' and (select id from threads
        where id = op.thread_id and project_id = op.project_id and deleted_at is null limit 1) is not null
      then 'busy' else 'gone' end
    when go.n is null and op.release and held.waiting > 0 and not op.leave then 'awaited'
    when go.n is null and op.kind in ('advance', 'delete_thread', 'log') then
      case when op.n not in (select n from held_run) and (select id from runs
        where thread_id = op.thread_id and id = op.run_id limit 1) is not null
      then 'busy' else 'stale' end
    when go.n is null and op.kind = 'enqueue' then case when held.waiting < op.most then 'free' else 'full' end
    when go.n is null then 'locked'
    when op.kind = 'delete_message' and op.message_id not in (select id from gone_message) then 'missing'
    else 'ok' end as outcome,
  (select metadata from advanced where id = op.run_id) as metadata
from op left join go using (n) left join held using (n)
order by op.n`

const keptText = `, kept as (
  insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, body, stream, created_at)
  select x.project_id, x.key, x.stamp, x.fingerprint, x.status, x.headers, x.body, nullif(x.stream, 'null'),
    floor(threadmill_now())::bigint
  from jsonb_to_recordset($6::jsonb) as x(
    n int, project_id text, key text, stamp bigint, fingerprint text, status int, headers jsonb, body text,
    stream jsonb)
  join go using (n)
)
select op.n,`

/** The same for writes of which some have an answer to be kept: $6. */
export const keepingThreadWritesText = threadWritesText.replace('\nselect op.n,', () => keptText)

/** The same for a write that may wait for rows that others hold. */
export const waitingThreadWritesText = threadWritesText.replaceAll(' skip locked', '')
export const waitingKeepingThreadWritesText = keepingThreadWritesText.replaceAll(' skip locked', '')
