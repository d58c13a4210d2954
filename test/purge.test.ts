import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { purgeEvents } from '../src/store/event-log.ts'
import { purgeThreads } from '../src/store/threads.ts'
import { startServer } from './support/server.ts'

// What nobody sees any more is removed.

test('what was deleted, and logs whose time is over, are purged as fast as a busy server makes them', async () => {
  const server = await startServer({ tuning: { sweepMs: 3_600_000 } })
  const { db } = server
  const [old, deleted] = [1_200, 1_200]
  await db.sql(
    `insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
     select 'thread_' || i, 'run_' || i, 1, no, no, 'default', '[]', no = 1, 1
     from generate_series(1, $1) i, generate_series(0, 1) no`,
    [old],
  )
  await db.sql(
    `insert into threads (id, project_id, created_at, metadata, next_seq, deleted_at)
     select 'thread_d' || i, 'default', 1, '{}', 1, 1 from generate_series(1, $1) i`,
    [deleted],
  )
  await db.sql(
    `insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, created_at)
     select 'default', i::text, 1, '', 200, '{}', 1 from generate_series(1, 5000) i`,
  )
  await server.app.engine.sweep()
  for (const table of ['run_events', 'threads', 'idempotency_keys']) {
    assert.deepEqual(await db.sql(`select from ${table}`), [], table)
  }
})

test('the purge of deleted threads and that of old logs never wait for each other, whichever comes first to a row', async () => {
  const server = await startServer({ tuning: { sweepMs: 3_600_000 } })
  const { db, app } = server
  const { pool } = app.store
  await db.sql(
    `insert into threads (id, project_id, created_at, metadata, next_seq, deleted_at)
     select 'thread_d' || i, 'default', 1, '{}', 1, 1 from generate_series(1, 100) i`,
  )
  await db.sql(
    `insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
     select 'thread_d' || i, 'run_' || i, 1, no, no, 'default', '[]', no = 5, 1
     from generate_series(1, 100) i, generate_series(0, 5) no`,
  )
  /** Resolves when so many statements wait for a row, or `work` is done. */
  const begun = async (work: Promise<unknown>, count: number) => {
    let over = false
    void work.catch(() => {}).then(() => (over = true))
    while (!over && Number((await db.sql<{ n: number }>(waitingText))[0]?.n) < count);
  }
  const holder = new pg.Client({ connectionString: db.url })
  await holder.connect()
  // Of a run whose first events the one has deleted, and whose last one the other has locked.
  await holder.query(`begin; select from run_events where run_id = 'run_50' and last_no = 2 for update`)
  const deleted = purgeThreads(pool, 200, 2_000)
  await begun(deleted, 1)
  const old = purgeEvents(pool, 60, 200, 2_000)
  await begun(old, 2)
  await holder.query('commit')
  await holder.end()
  await Promise.all([deleted, old])
  for (let i = 0; i < 3; i++) await app.engine.sweep()
  for (const table of ['run_events', 'threads'])
    assert.deepEqual(await db.sql(`select from ${table}`), [], table)
})

const waitingText = `select count(*) as n from pg_stat_activity
  where datname = current_database() and wait_event_type = 'Lock' and application_name = 'threadmill reads'`
