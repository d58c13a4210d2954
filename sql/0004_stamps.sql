-- Names the change that made a run's present version, so that a writer whose answer was lost can tell its own.
alter table runs add column stamp bigint;
