-- The events of a run as its streams show them, a batch a row (docs/decisions/0010-event-log.md). A place in the log is
-- a term - the run's version with which its writer began - and a number within that, from 0.
create table run_events (
  thread_id text not null,
  run_id text not null,
  term integer not null,
  first_no integer not null,
  last_no integer not null,
  project_id text not null,
  -- JSON in the short form of src/domain/event-log.ts. It may hold halves of surrogate pairs, which jsonb refuses.
  events text not null,
  -- The batch that ends the run, and with it the log.
  ends boolean not null,
  created_at bigint not null
);
-- What the sweep looks for: logs of runs that ended long ago.
create index run_events_ended on run_events (created_at) where ends;
alter table run_events add primary key (thread_id, run_id, term, last_no);
