import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLog } from '../src/log.ts'
import { StoreStartError } from '../src/store/embedded/errors.ts'
import { migrate, readMigrations } from '../src/store/migrate.ts'
import { openStore } from '../src/store/store.ts'
import { dumpSchema } from '../scripts/dump-schema.ts'
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
      await Promise.all(stores.map((store) => store.ready())),
      stores.map(() => true),
    )
    assert.equal(new Set(stores.map((store) => store.node)).size, 20)
  } finally {
    await Promise.all(stores.map((store) => store.close()))
  }
  assert.deepEqual(await recorded(db), expected)
  assert.deepEqual(await db.sql('select id from projects'), [{ id: 'default' }])
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

test('a database of a newer version is refused, saying both versions, and left as it is', async () => {
  const db = await emptyDatabase()
  await migrate({ connectionString: db.url })
  const newest = migrations.length
  await db.sql('insert into threadmill_migrations (number, name) values ($1, $2)', [
    newest + 5,
    'from the future',
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

test('a migration that fails leaves nothing behind, and can be run again', async () => {
  const db = await emptyDatabase()
  // The first migration comes upon this after most of its work.
  await db.sql('create table nodes (mine int)')
  await assert.rejects(migrate({ connectionString: db.url }), { code: '42P07' })
  const tables = await db.sql(`select relname as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname`)
  assert.deepEqual(tables, [{ name: 'nodes' }, { name: 'threadmill_migrations' }])
  assert.deepEqual(
    await db.sql(`select proname from pg_proc where pronamespace = 'public'::regnamespace`),
    [],
  )
  assert.deepEqual(await recorded(db), [])
  await db.sql('drop table nodes')
  await migrate({ connectionString: db.url })
  assert.deepEqual(await recorded(db), expected)
})
