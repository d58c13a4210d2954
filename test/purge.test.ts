import assert from 'node:assert/strict'
import { test } from 'node:test'
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
