-- The first schema. Times are Unix seconds. `seq` orders rows; ids and times never do.
-- Every hot row is keyed by its thread, so that the schema can be distributed by thread id.
--
-- A table's primary key is made after its other indexes: on a table that was never analysed two indexes can look
-- equally good for a lookup by id, and Postgres then takes the one that was made last. The other one would walk
-- a whole thread or project (docs/decisions/0002-plans-without-statistics.md; test/store-plans.test.ts).

create table projects (
  id text primary key,
  name text not null,
  created_at bigint not null
);

-- The only place where SQL reads the time; a test database replaces it.
create function threadmill_now() returns double precision
  language sql stable parallel safe
  as $$ select extract(epoch from statement_timestamp())::double precision $$;

insert into projects (id, name, created_at) values ('default', 'Default project', threadmill_now()::bigint);

create table assistants (
  id text not null,
  project_id text not null references projects (id),
  seq bigint generated always as identity,
  created_at bigint not null,
  name text,
  description text,
  model text not null,
  instructions text,
  tools jsonb not null,
  tool_resources jsonb,
  metadata jsonb not null,
  temperature double precision,
  top_p double precision,
  response_format jsonb not null,
  reasoning_effort text
);
create unique index assistants_by_seq on assistants (project_id, seq);
alter table assistants add primary key (id);

-- The thread row is the lock: active_run_id is set and cleared in the commit that starts and ends the run.
create table threads (
  id text not null,
  project_id text not null references projects (id),
  seq bigint generated always as identity,
  created_at bigint not null,
  tool_resources jsonb,
  metadata jsonb not null,
  next_seq bigint not null,
  active_run_id text,
  deleted_at bigint
);
create unique index threads_by_seq on threads (project_id, seq);
create index threads_deleted on threads (deleted_at) where deleted_at is not null;
alter table threads add primary key (id);

create table messages (
  thread_id text not null,
  id text not null,
  project_id text not null,
  seq bigint not null,
  role text not null,
  status text not null,
  content jsonb not null,
  assistant_id text,
  run_id text,
  attachments jsonb not null,
  metadata jsonb not null,
  created_at bigint not null,
  ended_at bigint,
  incomplete_reason text
);
create unique index messages_by_seq on messages (thread_id, seq);
create index messages_by_run on messages (thread_id, run_id, seq) where run_id is not null;
alter table messages add primary key (thread_id, id);

create table runs (
  thread_id text not null,
  id text not null,
  project_id text not null,
  seq bigint not null,
  assistant_id text not null,
  created_at bigint not null,
  settings jsonb not null,
  metadata jsonb not null,
  status text not null check (status in ('queued', 'in_progress', 'requires_action', 'cancelling',
    'cancelled', 'failed', 'completed', 'incomplete', 'expired')),
  version integer not null,
  owner_node text,
  lease_epoch integer not null,
  deadline bigint not null,
  started_at bigint,
  ended_at bigint,
  calls jsonb,
  error jsonb,
  reason text,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  total_tokens bigint not null,
  turns integer not null,
  attempts integer not null
);
create unique index runs_by_seq on runs (thread_id, seq);
-- Stands behind the lock on the thread row: at most one run holds a thread (SPEC I2).
create unique index runs_active on runs (thread_id)
  where status in ('queued', 'in_progress', 'requires_action', 'cancelling');
create index runs_by_deadline on runs (deadline)
  where status in ('queued', 'in_progress', 'requires_action', 'cancelling');
create index runs_unowned on runs (created_at) where status = 'queued' and owner_node is null;
create index runs_by_owner on runs (owner_node) where owner_node is not null;
alter table runs add primary key (thread_id, id);

create table run_steps (
  thread_id text not null,
  id text not null,
  project_id text not null,
  run_id text not null,
  assistant_id text not null,
  seq bigint not null,
  turn integer not null,
  status text not null,
  details jsonb not null,
  prompt_tokens bigint,
  completion_tokens bigint,
  total_tokens bigint,
  error jsonb,
  created_at bigint not null,
  ended_at bigint,
  expires_at bigint not null
);
create unique index run_steps_by_seq on run_steps (thread_id, run_id, seq);
alter table run_steps add primary key (thread_id, id);

-- One row a server process, renewed by its heartbeat; its runs are taken over when it stops beating.
create table nodes (
  id text primary key,
  started_at double precision not null,
  seen_at double precision not null
);
