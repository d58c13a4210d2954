import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../src/log.ts'
import { StoreStartError } from '../src/store/embedded/errors.ts'
import { migrate, readMigrations } from '../src/store/migrate.ts'
import { openStore } from '../src/store/store.ts'
import { startMockModel, text } from './support/mock-model.ts'
import { OutageLoad, startNode } from './support/outage-load.ts'
import { dumpSchema } from '../scripts/dump-schema.ts'
import { threadmill } from './support/keys.ts'
import { hold } from './support/nodes.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { atEnd, createDatabase, type TestDatabase } from './support/database.ts'

async function emptyDatabase(): Promise<TestDatabase> {
  const db = await createDatabase({ empty: true })
  atEnd(() => db.drop())
  return db
}

const migrations = await readMigrations()
const expected = migrations.map(({ number, name }) => ({ number, name }))

function recorded(db: TestDatabase): Promise<{ number: number; name: string }[]> {
  return db.sql('select number, name from threadmill_migrations order by number')
}

test('migrations are numbered from 1 without a gap', () => {
  assert.ok(migrations.length > 0)
  assert.deepEqual(
    migrations.map((migration) => migration.number),
    migrations.map((_, i) => i + 1),
  )
})

test('of many servers that start at once on an empty database each gets its store, and each migration runs once', async () => {
  const db = await emptyDatabase()
  const log = createLog('silent')
  const starts = Array.from({ length: 20 }, () =>
    openStore({ connection: { connectionString: db.url }, log }),
  )
  const stores = await Promise.all(starts)
  try {
    assert.deepEqual(
      await Promise.all(stores.map((store) => store.readiness())),
      stores.map(() => 'ready'),
    )
    assert.equal(new Set(stores.map((store) => store.node)).size, 20)
  } finally {
    await Promise.all(stores.map((store) => store.close()))
  }
  assert.deepEqual(await recorded(db), expected)
  assert.deepEqual(await db.sql('select id from projects'), [{ id: 'default' }])
})

test('a database with tables of another program is refused in a sentence, by servers and by commands, and left as it was', async () => {
  const db = await emptyDatabase()
  await db.sql('create table threads (id integer)')
  const before = await dumpSchema((text) => db.sql(text))
  const message = /relation "threads" already exists\. It has tables of another program/
  await assert.rejects(migrate({ connectionString: db.url }), (error) => {
    return error instanceof StoreStartError && message.test(error.message)
  })
  for (const words of [
    ['keys', 'list'],
    ['projects', 'create', 'shop'],
  ]) {
    const { code, err } = await threadmill(db.url, ...words)
    assert.equal(code, 69, err)
    assert.match(err, message)
    assert.ok(!err.includes('    at '), err)
  }
  assert.equal(await dumpSchema((text) => db.sql(text)), before)
})

test('migrating twice changes nothing', async () => {
  const db = await emptyDatabase()
  await migrate({ connectionString: db.url })
  const state = async () => [
    await dumpSchema((text) => db.sql(text)),
    await db.sql('select * from threadmill_migrations'),
  ]
  const before = await state()
  await migrate({ connectionString: db.url })
  assert.deepEqual(await state(), before)
})

test('each migration from 8 on says which oldest binary it serves, and leaves that behind', async () => {
  const db = await emptyDatabase()
  await migrate({ connectionString: db.url })
  const rows = await db.sql<{ number: number; serves: number }>(
    'select number, serves from threadmill_migrations where number >= 8 order by number',
  )
  const said = migrations.slice(7).map(({ number, sql }) => ({
    number,
    serves: Number(/^-- Serves: (\d+)$/m.exec(sql)?.[1]),
  }))
  assert.deepEqual(rows, said)
})

/** What a version to come may do to the schema and still serve this one. */
const fromTheFuture = {
  number: migrations.length + 1,
  name: 'from the future',
  sql: 'alter table runs add column mood text; create table moods (name text primary key)',
}

test('a server goes on under load while a newer version migrates, and another of its own starts beside that', async (t) => {
  const db = await emptyDatabase()
  const mock = await startMockModel()
  t.after(() => mock.close())
  mock.when(() => true, text('Done.'))
  const env = { DATABASE_URL: db.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' }
  const first = await startNode(env)
  t.after(() => first.stop())
  const load = new OutageLoad([first.url])
  await load.goesOn(5)
  await migrate({ connectionString: db.url }, [...migrations, fromTheFuture])
  const second = await startNode(env)
  t.after(() => second.stop())
  const both = new OutageLoad([second.url, first.url])
  await Promise.all([load.goesOn(5), both.goesOn(10)])
  await Promise.all([load.stop(), both.stop()])
  await load.check()
  await both.check()
  assert.ok([...load.answers, ...both.answers].every(({ status }) => status === 200))
})

test('a database of a newer version is refused, saying both versions, and left as it is', async () => {
  const db = await emptyDatabase()
  await migrate({ connectionString: db.url })
  const newest = migrations.length
  await db.sql('insert into threadmill_migrations (number, name, serves) values ($1, $2, $3)', [
    newest + 5,
    'from the future',
    newest + 1,
  ])
  const before = await recorded(db)
  const log = createLog('silent')
  await assert.rejects(openStore({ connection: { connectionString: db.url }, log }), (error) => {
    assert.ok(error instanceof StoreStartError)
    assert.match(error.message, new RegExp(`at schema ${newest + 5}, .* up to ${newest}\\.`))
    assert.match(error.message, /newer version/)
    return true
  })
  assert.deepEqual(await recorded(db), before)
})

test('a start whose connection breaks while it waits for the migrations of another fails, and the process lives', async () => {
  const db = await emptyDatabase()
  const proxy = await startPgProxy(db.url)
  const held = await hold(db.url, 'select pg_advisory_lock($1)', [0x746d696c])
  const waiting = migrate({ connectionString: proxy.url })
  const ended = assert.rejects(waiting, /Connection terminated/)
  const waits = `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`
  while ((await db.sql(waits)).length === 0);
  proxy.cutAll()
  await ended
  await held()
  await migrate({ connectionString: db.url })
})

test('a migration that fails leaves nothing behind, and can be run again', async () => {
  const db = await emptyDatabase()
  // The first migration comes upon this after most of its work.
  await db.sql('create table nodes (mine int)')
  await assert.rejects(migrate({ connectionString: db.url }), { name: 'StoreStartError' })
  const tables = await db.sql(`select relname as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname`)
  assert.deepEqual(tables, [{ name: 'nodes' }])
  assert.deepEqual(
    await db.sql(`select proname from pg_proc where pronamespace = 'public'::regnamespace`),
    [],
  )
  await db.sql('drop table nodes')
  await migrate({ connectionString: db.url })
  assert.deepEqual(await recorded(db), expected)
})
