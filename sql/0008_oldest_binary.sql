-- The oldest binary that the schema serves, named by the newest migration that it knows: servers of two versions may run side by
-- side on one database if both are served. The default is what the migrations from now on leave it at: one that an older
-- binary cannot live with sets it to its own number.
-- Serves: 8
alter table threadmill_migrations add column serves integer not null default 8;
