-- What waits for the run that holds a thread (docs/decisions/0012-thread-queue.md): posted messages, and runs with their
-- additional messages. A run that waits has the status 'waiting' here and 'queued' on the wire: so no index of active
-- runs, no claim and no expiry sees it, those of an older server included.
create table thread_queue (
  thread_id text not null,
  -- The order of acceptance: a number of the thread's own sequence.
  place bigint not null,
  project_id text not null,
  -- Goes before all that are not: it is to replace the run that holds the thread.
  front boolean not null,
  run_id text,
  -- As rows of `messages`, without their seq, which they get with their place in the thread.
  messages jsonb not null
);
-- What the sweep looks for: runs that were to be replaced, and are not because who was to cancel them died.
create index thread_queue_front on thread_queue (thread_id) where front;
alter table thread_queue add primary key (thread_id, place);

-- `waiting` counts the entries. Like the policy it stays as it is while a run begins and ends, so that those changes
-- need not touch an index.
alter table threads
  add column policy text check (policy in ('reject', 'queue', 'replace')),
  add column waiting integer not null default 0;
create index threads_waiting on threads (id) where waiting > 0;

alter table runs
  drop constraint runs_status_check,
  add constraint runs_status_check check (status in ('waiting', 'queued', 'in_progress', 'requires_action', 'cancelling',
    'cancelled', 'failed', 'completed', 'incomplete', 'expired'));
