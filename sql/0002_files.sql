-- Uploaded files. Their content lies in pieces, so that neither an upload nor a download holds a whole file.
--
-- The pieces of one content belong to exactly one row of three tables: file_uploads while they come in, files when
-- the file is whole, file_garbage when nobody needs them any more. Each change moves that row in one statement,
-- so that a file is visible only when it is whole, and no piece is ever without an owner.

create table files (
  id text not null,
  project_id text not null references projects (id),
  seq bigint generated always as identity,
  created_at bigint not null,
  expires_at bigint,
  filename text not null,
  purpose text not null,
  bytes bigint not null
);
create unique index files_by_seq on files (project_id, seq);
create index files_by_purpose on files (project_id, purpose, seq);
create index files_expiring on files (expires_at) where expires_at is not null;
alter table files add primary key (id);

-- touched_at is renewed with every piece: an upload that stands still was left behind by its server.
create table file_uploads (
  id text not null,
  project_id text not null,
  touched_at double precision not null
);
create index file_uploads_by_touch on file_uploads (touched_at);
alter table file_uploads add primary key (id);

-- Content of deleted and expired files and of broken uploads; the sweep removes it piece by piece.
create table file_garbage (
  id text primary key,
  project_id text not null
);

create table file_chunks (
  file_id text not null,
  n integer not null,
  project_id text not null,
  content bytea not null,
  primary key (file_id, n)
);
-- What is uploaded is mostly compressed already, and trying costs more than it saves.
alter table file_chunks alter column content set storage external;
