-- What lists of threads are filtered by: when they were made, and their metadata. The order of such a list is that of its index.
-- Threads without metadata have no part in the second, so that they cost nothing. No pending list: it would be emptied now and
-- then by whoever writes at that moment.
-- Serves: 9
create index threads_by_creation on threads (project_id, created_at, seq);
create index threads_by_metadata on threads using gin (metadata jsonb_path_ops) with (fastupdate = off)
  where metadata <> '{}';

-- Seconds without activity after which a project's threads are deleted; 0 keeps them, null leaves it to RETAIN_THREADS_FOR.
alter table projects add column retain_threads_for bigint check (retain_threads_for >= 0);
