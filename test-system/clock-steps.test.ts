import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createLog } from '../src/log.ts'
import { chooseAccount } from '../src/store/embedded/account.ts'
import { prepareBinaries } from '../src/store/embedded/binaries.ts'
import { databaseUser } from '../src/store/embedded/cluster.ts'
import { startEmbeddedPostgres } from '../src/store/embedded/launcher.ts'
import { connectWhenReady, launch, shutDown } from '../src/store/embedded/postmaster.ts'
import { makeSocketFolder, socketPort } from '../src/store/embedded/socket-folder.ts'
import { throughClockSteps, ttl } from '../test/support/clock-steps.ts'
import { atEnd, makeFolder } from '../test/support/embedded-postgres.ts'
import { setOffset } from '../test/support/fake-time.ts'
import { startMockModel } from '../test/support/mock-model.ts'
import { startNode } from '../test/support/outage-load.ts'

// A whole Postgres whose clock steps by an hour, by libfaketime: what decides leases and expiry is wrong, and is set right.

const library = spawnSync('dpkg', ['-L', 'libfaketime'], { encoding: 'utf8' })
  .stdout.split('\n')
  .find((line) => line.endsWith('/libfaketime.so.1'))

/** A Postgres whose clock can be set. */
async function fakedPostgres(t: TestContext) {
  assert.ok(library, 'libfaketime is installed')
  const dir = await makeFolder(t)
  const made = await startEmbeddedPostgres({ dataDir: dir, log: createLog('silent') })
  const { database } = made.connection
  await made.stop()

  const file = join(dir, 'offset')
  let offset = 0
  const step = async (seconds: number) => {
    offset += seconds
    await setOffset(file, offset)
  }
  await step(0)
  const pgdata = join(dir, 'postgres')
  const account = await chooseAccount(pgdata)
  const binaries = await prepareBinaries(account, dir)
  const socketFolder = await makeSocketFolder(dir, account)
  const faked = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  const cluster = {
    dir,
    pgdata,
    socketFolder,
    account,
    binaries: { ...binaries, env: { ...binaries.env, ...faked } },
  }
  const postmaster = await launch(cluster)
  atEnd(t, () => shutDown(postmaster.identity))
  await (await connectWhenReady(cluster, postmaster)).end()
  const host = encodeURIComponent(socketFolder)
  const url = `postgres://${databaseUser}@localhost/${database}?host=${host}&port=${socketPort}`
  await withoutAlarms(url)
  return { step, url }
}

/**
 * From now on no connection has a timer. The handler of its signal reads the clock; if it breaks into another reading of it,
 * libfaketime, which opens a file each time, waits for itself or ruins the heap, and Postgres crashes.
 */
async function withoutAlarms(url: string): Promise<void> {
  const timers = [
    'client_connection_check_interval',
    'statement_timeout',
    'lock_timeout',
    'idle_in_transaction_session_timeout',
  ]
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`
create function without_alarms() returns event_trigger language plpgsql as $$ begin
  ${timers.map((name) => `perform set_config('${name}', '0', false);`).join(' ')}
  perform set_config('deadlock_timeout', '1h', false);
end $$`)
  await client.query('create event trigger without_alarms on login execute function without_alarms()')
  await client.end()
  const other = new pg.Client({ connectionString: url, statement_timeout: 5_000 })
  await other.connect()
  const { rows } = await other.query('select name, setting from pg_settings where name = any ($1)', [timers])
  await other.end()
  assert.deepEqual(
    new Set(rows.map(({ name, setting }) => `${name} ${setting}`)),
    new Set(timers.map((name) => `${name} 0`)),
  )
}

test(
  'when the clock of Postgres steps by an hour, forward and back, no run is lost, stuck or expires that need not',
  { timeout: 180_000 },
  async (t) => {
    const { step, url } = await fakedPostgres(t)
    const mock = await startMockModel()
    atEnd(t, () => mock.close())
    const env = {
      DATABASE_URL: url,
      OPENAI_BASE_URL: mock.baseUrl,
      OPENAI_API_KEY: 'sk-of-the-backend',
      RUN_EXPIRES_AFTER: String(ttl),
    }
    const nodes = [await startNode(env), await startNode(env)]
    for (const node of nodes) atEnd(t, () => node.stop())
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    atEnd(t, () => client.end())
    const read = async <R extends pg.QueryResultRow>(text: string) => (await client.query<R>(text)).rows
    await throughClockSteps({
      urls: nodes.map((node) => node.url),
      mock,
      async step(seconds) {
        const now = () => read<{ now: number }>('select threadmill_now() as now')
        const [before] = await now()
        await step(seconds)
        const [after] = await now()
        assert.ok(Math.abs((after?.now ?? 0) - (before?.now ?? 0) - seconds) < 5, 'the clock has stepped')
      },
      // More than a silence: whoever is to be taken for dead is by now.
      known: () => sleep(4_500),
    })
    const [worst] = await read<{ attempts: number }>('select max(attempts) as attempts from runs')
    t.diagnostic(`of a turn, ${worst?.attempts} attempts were lost at most`)
    assert.deepEqual(await read("select id from runs where status not in ('completed', 'expired')"), [])
  },
)
