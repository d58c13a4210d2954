-- What a project and a key may do in a time: requests_per_minute, and of a project concurrent_runs.
-- Serves: 9
alter table projects add column limits jsonb not null default '{}';
alter table api_keys add column limits jsonb not null default '{}';
