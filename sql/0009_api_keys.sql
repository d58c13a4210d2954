-- Keys that let clients in, each into one project. Of a key only an HMAC is here. None is ever deleted: as long as there is one,
-- a server is open to nobody without a key.
-- An older binary asks for no keys, and must not serve a database that has some.
-- Serves: 9
alter table threadmill_migrations alter column serves set default 9;

create table api_keys (
  id text not null,
  project_id text not null references projects (id),
  seq bigint generated always as identity,
  name text not null,
  -- What is shown of it.
  prefix text not null,
  hmac text not null,
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  last_used_at bigint
);
create unique index api_keys_by_hmac on api_keys (hmac);
create index api_keys_by_project on api_keys (project_id, seq);
alter table api_keys add primary key (id);

-- Changed with each change of keys, so that servers see by one row whether they have to read them again.
create table access_version (version bigint not null);
insert into access_version (version) values (1);
