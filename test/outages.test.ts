import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import pg from 'pg'
import type { App } from '../src/app.ts'
import { startEmbeddedPostgres } from '../src/store/embedded/launcher.ts'
import { createLog } from '../src/log.ts'
import { atEnd, makeFolder, pidIn } from './support/embedded-postgres.ts'
import { gate, startMockModel, text, type MockModel } from './support/mock-model.ts'
import { until } from './support/npm-start.ts'
import { OutageLoad, startNode } from './support/outage-load.ts'

// A Postgres that dies, restarts or has no room, under load: with one server that has it for itself, and with two that share it.

async function mockModel(t: TestContext): Promise<{ mock: MockModel; env: Record<string, string> }> {
  const mock = await startMockModel()
  atEnd(t, () => mock.close())
  mock.when(() => true, text('Done.'))
  return { mock, env: { OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' } }
}

/** A server with a Postgres of its own. */
async function alone(t: TestContext) {
  const { mock, env } = await mockModel(t)
  const folder = await makeFolder(t)
  const app = await startNode({ ...env, DATA_DIR: folder })
  atEnd(t, () => app.stop())
  return { app, mock, pgdata: join(folder, 'postgres') }
}

/** Two servers on a Postgres that is another's. */
async function shared(t: TestContext) {
  const { mock, env } = await mockModel(t)
  const folder = await makeFolder(t)
  const postgres = await startEmbeddedPostgres({ dataDir: folder, log: createLog('silent') })
  atEnd(t, () => postgres.stop())
  const { host, port, user, database } = postgres.connection
  const url = `postgres://${user}@localhost/${database}?host=${encodeURIComponent(host)}&port=${port}`
  const nodes: App[] = []
  for (let i = 0; i < 2; i++) {
    const node = await startNode({ ...env, DATABASE_URL: url })
    atEnd(t, () => node.stop())
    nodes.push(node)
  }
  return { mock, url, nodes, urls: nodes.map((node) => node.url), pgdata: join(folder, 'postgres') }
}

/** Ends the postmaster by `name`; it cannot be started again until the answer is called. */
function takeDown(pgdata: string, name: NodeJS.Signals): () => void {
  const config = join(pgdata, 'postgresql.conf')
  const good = readFileSync(config)
  appendFileSync(config, '\nno_such_setting = 1\n')
  process.kill(pidIn(pgdata), name)
  return () => writeFileSync(config, good)
}

/** Load before, during and after an outage; then everything that was acknowledged is checked. */
async function throughOutage(
  mock: MockModel,
  urls: string[],
  outage: (load: OutageLoad) => Promise<void>,
): Promise<OutageLoad> {
  const load = new OutageLoad(urls)
  await load.goesOn(8)
  // Some runs are under way when it happens.
  const held = gate()
  mock.when(() => true, text('Done', held.opened, '.'))
  await load.goesOn(6)
  await outage(load)
  held.open()
  mock.when(() => true, text('Done.'))
  await until(() => load.readiness.at(-1) === 200, 'readyz says 200 again')
  await load.goesOn(8)
  await load.stop()
  await load.check()
  return load
}

const saysNotReady = (load: OutageLoad) => until(() => load.readiness.at(-1) === 503, 'readyz says 503')

test('a server whose own Postgres is killed under load starts it again and loses nothing', async (t) => {
  const { app, mock, pgdata } = await alone(t)
  const load = await throughOutage(mock, [app.url], async (during) => {
    process.kill(pidIn(pgdata), 'SIGKILL')
    await saysNotReady(during)
  })
  assert.deepEqual(load.readiness, [200, 503, 200])
})

test('a server whose own Postgres cannot be started again says so, goes on trying, and stops in order', async (t) => {
  const { app, mock, pgdata } = await alone(t)
  const load = await throughOutage(mock, [app.url], async (during) => {
    const mend = takeDown(pgdata, 'SIGKILL')
    await saysNotReady(during)
    const refused = () => during.answers.filter(({ status }) => status === 503).length
    await until(() => refused() >= 3, 'requests are refused')
    mend()
  })
  assert.deepEqual(load.readiness, [200, 503, 200])
  takeDown(pgdata, 'SIGKILL')
  await until(async () => (await fetch(`${app.url}/readyz`)).status === 503, 'readyz says 503')
  const since = performance.now()
  await app.stop()
  assert.ok(performance.now() - since < 14_000)
})

/** Ends the Postgres of two servers in one way, and lets it start again. */
async function restarted(t: TestContext, name: NodeJS.Signals): Promise<void> {
  const { urls, mock, pgdata } = await shared(t)
  const load = await throughOutage(mock, urls, async (during) => {
    const mend = takeDown(pgdata, name)
    await saysNotReady(during)
    mend()
  })
  assert.deepEqual(load.readiness, [200, 503, 200])
}

test('a fast restart of a Postgres under the load of two servers loses nothing', (t) =>
  restarted(t, 'SIGINT'))

test('an immediate restart of a Postgres under the load of two servers loses nothing', (t) =>
  restarted(t, 'SIGQUIT'))

test('connections that are all terminated under the load of two servers lose nothing', async (t) => {
  const { urls, url, mock } = await shared(t)
  const admin = await connected(t, url)
  await throughOutage(mock, urls, async (load) => {
    for (let i = 0; i < 5; i++) {
      await admin.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      await load.goesOn(2)
    }
  })
})

test('when Postgres takes no more connections, servers that have lost theirs say 503 until it does', async (t) => {
  const { urls, url, mock } = await shared(t)
  const admin = await connected(t, url)
  const load = await throughOutage(mock, urls, async (during) => {
    const others: pg.Client[] = []
    const take = async () => {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => {})
      await client.connect().then(
        () => others.push(client),
        () => {},
      )
    }
    // Whoever comes first has them: those that a server got back are taken from it once more.
    const takeAll = async () => {
      await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'threadmill %'`,
      )
      await Promise.all(Array.from({ length: 120 }, take))
      return during.readiness.at(-1) === 503
    }
    await until(takeAll, 'readyz says 503')
    await Promise.all(others.map((client) => client.end()))
  })
  assert.equal(load.readiness.at(-1), 200)
})

test('when all connections for reads are held up, they are refused in time, and beats and writes go on', async (t) => {
  const { nodes, urls, url } = await shared(t)
  const [node] = nodes
  const at = `${urls[0]}/v1`
  const post = (path: string, body: object) =>
    fetch(at + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const { id } = (await (await post('/assistants', { model: 'm' })).json()) as { id: string }
  const holder = await connected(t, url)
  await holder.query('begin; lock table assistants in access exclusive mode')
  const reads = Array.from({ length: 30 }, () => fetch(`${at}/assistants/${id}`, { headers }))
  let refused = false
  const all = Promise.all(reads).then((answers) => {
    refused = true
    return answers
  })
  const beat = async () => {
    const { rows } = await holder.query<{ seen_at: number }>('select seen_at from nodes where id = $1', [
      node?.store.node,
    ])
    return rows[0]?.seen_at ?? 0
  }
  for (let i = 0, last = await beat(); i < 3; i++) {
    assert.equal((await post('/threads', {})).status, 200)
    const before = last
    await until(async () => (last = await beat()) > before, 'a beat')
  }
  assert.equal(refused, false)
  for (const answer of await all) {
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
  }
  assert.equal(node?.store.lease.held, true)
  await holder.query('rollback')
  assert.equal((await fetch(`${at}/assistants/${id}`, { headers })).status, 200)
})

const headers = { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' }

async function connected(t: TestContext, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  atEnd(t, () => client.end())
  await client.connect()
  return client
}
