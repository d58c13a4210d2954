-- The schema after all migrations. Written by `npm run schema:dump`: do not edit, and never run it by hand.

CREATE OR REPLACE FUNCTION public.threadmill_now()
 RETURNS double precision
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$ select extract(epoch from statement_timestamp())::double precision $function$;

create table access_version (
  version bigint not null
);

create table api_keys (
  id text not null,
  project_id text not null,
  seq bigint not null generated always as identity,
  name text not null,
  prefix text not null,
  hmac text not null,
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  last_used_at bigint,
  limits jsonb not null default '{}'::jsonb,
  constraint api_keys_pkey PRIMARY KEY (id),
  constraint api_keys_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);
CREATE UNIQUE INDEX api_keys_by_hmac ON public.api_keys USING btree (hmac);
CREATE INDEX api_keys_by_project ON public.api_keys USING btree (project_id, seq);

create table assistants (
  id text not null,
  project_id text not null,
  seq bigint not null generated always as identity,
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
  reasoning_effort text,
  constraint assistants_pkey PRIMARY KEY (id),
  constraint assistants_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);
CREATE UNIQUE INDEX assistants_by_seq ON public.assistants USING btree (project_id, seq);

create table file_chunks (
  file_id text not null,
  n integer not null,
  project_id text not null,
  content bytea not null,
  constraint file_chunks_pkey PRIMARY KEY (file_id, n)
);

create table file_garbage (
  id text not null,
  project_id text not null,
  constraint file_garbage_pkey PRIMARY KEY (id)
);

create table file_uploads (
  id text not null,
  project_id text not null,
  touched_at double precision not null,
  constraint file_uploads_pkey PRIMARY KEY (id)
);
CREATE INDEX file_uploads_by_touch ON public.file_uploads USING btree (touched_at);

create table files (
  id text not null,
  project_id text not null,
  seq bigint not null generated always as identity,
  created_at bigint not null,
  expires_at bigint,
  filename text not null,
  purpose text not null,
  bytes bigint not null,
  constraint files_pkey PRIMARY KEY (id),
  constraint files_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id)
);
CREATE INDEX files_by_purpose ON public.files USING btree (project_id, purpose, seq);
CREATE UNIQUE INDEX files_by_seq ON public.files USING btree (project_id, seq);
CREATE INDEX files_expiring ON public.files USING btree (expires_at) WHERE (expires_at IS NOT NULL);

create table idempotency_keys (
  project_id text not null,
  key text not null,
  stamp bigint not null,
  fingerprint text not null,
  status integer not null,
  headers jsonb not null,
  body text,
  stream jsonb,
  created_at bigint not null,
  constraint idempotency_keys_pkey PRIMARY KEY (project_id, key)
);
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created_at);

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
  incomplete_reason text,
  constraint messages_pkey PRIMARY KEY (thread_id, id)
);
CREATE INDEX messages_by_run ON public.messages USING btree (thread_id, run_id, seq) WHERE (run_id IS NOT NULL);
CREATE UNIQUE INDEX messages_by_seq ON public.messages USING btree (thread_id, seq);
CREATE INDEX messages_with_attachments ON public.messages USING btree (thread_id) WHERE (attachments <> '[]'::jsonb);

create table nodes (
  id text not null,
  started_at double precision not null,
  seen_at double precision not null,
  constraint nodes_pkey PRIMARY KEY (id)
);

create table projects (
  id text not null,
  name text not null,
  created_at bigint not null,
  retain_threads_for bigint,
  limits jsonb not null default '{}'::jsonb,
  model_url text,
  model_key text,
  models jsonb,
  constraint projects_pkey PRIMARY KEY (id),
  constraint projects_retain_threads_for_check CHECK ((retain_threads_for >= 0))
);

create table run_events (
  thread_id text not null,
  run_id text not null,
  term integer not null,
  first_no integer not null,
  last_no integer not null,
  project_id text not null,
  events text not null,
  ends boolean not null,
  created_at bigint not null,
  constraint run_events_pkey PRIMARY KEY (thread_id, run_id, term, last_no)
);
CREATE INDEX run_events_ended ON public.run_events USING btree (created_at) WHERE ends;

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
  expires_at bigint not null,
  constraint run_steps_pkey PRIMARY KEY (thread_id, id)
);
CREATE UNIQUE INDEX run_steps_by_seq ON public.run_steps USING btree (thread_id, run_id, seq);

create table runs (
  thread_id text not null,
  id text not null,
  project_id text not null,
  seq bigint not null,
  assistant_id text not null,
  created_at bigint not null,
  settings jsonb not null,
  metadata jsonb not null,
  status text not null,
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
  attempts integer not null,
  stamp bigint,
  constraint runs_pkey PRIMARY KEY (thread_id, id),
  constraint runs_status_check CHECK ((status = ANY (ARRAY['waiting'::text, 'queued'::text, 'in_progress'::text, 'requires_action'::text, 'cancelling'::text, 'cancelled'::text, 'failed'::text, 'completed'::text, 'incomplete'::text, 'expired'::text])))
);
CREATE UNIQUE INDEX runs_active ON public.runs USING btree (thread_id) WHERE (status = ANY (ARRAY['queued'::text, 'in_progress'::text, 'requires_action'::text, 'cancelling'::text]));
CREATE INDEX runs_by_deadline ON public.runs USING btree (deadline) WHERE (status = ANY (ARRAY['queued'::text, 'in_progress'::text, 'requires_action'::text, 'cancelling'::text]));
CREATE INDEX runs_by_owner ON public.runs USING btree (owner_node) WHERE (owner_node IS NOT NULL);
CREATE UNIQUE INDEX runs_by_seq ON public.runs USING btree (thread_id, seq);
CREATE INDEX runs_unowned ON public.runs USING btree (created_at) WHERE ((status = 'queued'::text) AND (owner_node IS NULL));

create table thread_queue (
  thread_id text not null,
  place bigint not null,
  project_id text not null,
  front boolean not null,
  run_id text,
  messages jsonb not null,
  constraint thread_queue_pkey PRIMARY KEY (thread_id, place)
);
CREATE INDEX thread_queue_front ON public.thread_queue USING btree (thread_id) WHERE front;

create table threadmill_migrations (
  number integer not null,
  name text not null,
  applied_at timestamp with time zone not null default now(),
  serves integer not null default 12,
  constraint threadmill_migrations_pkey PRIMARY KEY (number)
);

create table threads (
  id text not null,
  project_id text not null,
  seq bigint not null generated always as identity,
  created_at bigint not null,
  tool_resources jsonb,
  metadata jsonb not null,
  next_seq bigint not null,
  active_run_id text,
  deleted_at bigint,
  policy text,
  waiting integer not null default 0,
  constraint threads_pkey PRIMARY KEY (id),
  constraint threads_project_id_fkey FOREIGN KEY (project_id) REFERENCES projects(id),
  constraint threads_policy_check CHECK ((policy = ANY (ARRAY['reject'::text, 'queue'::text, 'replace'::text])))
);
CREATE INDEX threads_by_creation ON public.threads USING btree (project_id, created_at, seq);
CREATE INDEX threads_by_metadata ON public.threads USING gin (metadata jsonb_path_ops) WITH (fastupdate=off) WHERE (metadata <> '{}'::jsonb);
CREATE UNIQUE INDEX threads_by_seq ON public.threads USING btree (project_id, seq);
CREATE INDEX threads_deleted ON public.threads USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX threads_waiting ON public.threads USING btree (id) WHERE (waiting > 0);

create table usage_days (
  day integer not null,
  project_id text not null,
  key_id text not null,
  node_id text not null,
  tokens bigint not null,
  constraint usage_days_pkey PRIMARY KEY (day, project_id, key_id, node_id)
);
