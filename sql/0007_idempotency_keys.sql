-- The answers to requests that came with an Idempotency-Key, each written in the transaction of what its request did
-- (docs/decisions/0013-idempotency-keys.md).
create table idempotency_keys (
  project_id text not null,
  key text not null,
  -- Names the one request, of those that came with the key, that was done.
  stamp bigint not null,
  -- A hash of what was asked: another request with the same key is told so.
  fingerprint text not null,
  status integer not null,
  -- Those of the answer's own.
  headers jsonb not null,
  -- As it was sent; null for a stream.
  body text,
  -- The run whose events were the answer, and the term of its log with which they began.
  stream jsonb,
  created_at bigint not null
);
-- What the purge looks for.
create index idempotency_keys_created on idempotency_keys (created_at);
alter table idempotency_keys add primary key (project_id, key);
