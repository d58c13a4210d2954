import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hour, throughClockSteps, ttl } from './support/clock-steps.ts'
import { hang } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { inProgress, readyToRun } from './support/server.ts'

// The clock of the database itself is wrong, and is set right. test-system/clocks.test.ts does it to a whole Postgres.

test('when the clock of the database steps by an hour, forward and back, no run is lost, stuck or expires that need not', async (t) => {
  const env = { RUN_EXPIRES_AFTER: String(ttl) }
  const server = await oneNode(t, { env })
  const other = await anotherNode(t, server, {}, env)
  await throughClockSteps({
    urls: [server.app.url, other.app.url],
    mock: server.mock,
    step: (seconds) => server.db.advanceClock(seconds),
    known: async () => {
      for (const { engine } of [server.app, other.app, server.app]) await engine.sweep()
    },
  })
  const [worst] = await server.db.sql<{ attempts: number }>('select max(attempts) as attempts from runs')
  t.diagnostic(`of a turn, ${worst?.attempts} attempts were lost at most`)
  const failed = await server.db.sql("select id from runs where status not in ('completed', 'expired')")
  assert.deepEqual(failed, [])
})

test('the runs of a node that died just before the clock of the database stepped back are taken over as ever', async (t) => {
  const server = await oneNode(t)
  const { db, client, mock } = server
  const { assistant, thread } = await readyToRun(server)
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await inProgress(server, thread, run.id)
  // As if another had begun it, and beaten a moment ago.
  await db.sql(
    'insert into nodes (id, started_at, seen_at) values ($1, threadmill_now(), threadmill_now())',
    ['gone'],
  )
  await db.sql(
    `update runs set owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1`,
    [run.id],
  )
  await db.advanceClock(-hour)
  const status = async () => (await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })).status
  await until(async () => (await status()) === 'completed', 'another node ends the run')
})
