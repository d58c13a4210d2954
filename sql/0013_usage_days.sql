-- What keys and projects with a limit of tokens a day have used: a row for each node that counts, so that none waits for another.
-- Threads and runs may be deleted; this stays until the day is over.
-- An older binary counts nothing and holds nobody to the limit, but harms nothing either.
-- Serves: 12
create table usage_days (
  -- Days since 1970, UTC.
  day integer not null,
  project_id text not null,
  -- The key that made the runs; empty where there was none.
  key_id text not null,
  node_id text not null,
  tokens bigint not null
);
alter table usage_days add primary key (day, project_id, key_id, node_id);
