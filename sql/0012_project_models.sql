-- The model endpoint of a project, in place of the server's: where it is, its key, sealed with SECRETS_KEY, and which models may be
-- asked for (a list of names). Null is the server's endpoint, no key, any model.
-- An older binary would send a project's prompts to the server's endpoint, and must not serve a database that has such projects.
-- Serves: 12
alter table threadmill_migrations alter column serves set default 12;

alter table projects
  add column model_url text,
  add column model_key text,
  add column models jsonb;
