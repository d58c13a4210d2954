import { readdir, readFile } from 'node:fs/promises'
import pg from 'pg'
import type { Connection } from './pool.ts'
import { StoreStartError } from './embedded/errors.ts'

// Numbered, never edited, each in a transaction of its own. Servers that start at the same moment queue on one
// advisory lock, so that each migration runs once.

const folder = new URL('../../sql/', import.meta.url)
/** Any number that no other program on the same database uses: "tmil" in ASCII. */
const lockKey = 0x746d696c

export interface Migration {
  number: number
  name: string
  sql: string
}

/** The migrations that this binary brings, in order. */
export async function readMigrations(): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{4}_.+\.sql$/.test(file)).sort()
  return Promise.all(
    files.map(async (name) => ({
      number: Number(name.slice(0, 4)),
      name,
      sql: await readFile(new URL(name, folder), 'utf8'),
    })),
  )
}

/**
 * Brings the database to this binary's schema, and answers its number. Throws StoreStartError when Postgres is of an unsupported
 * version or encoding, or when the database was migrated by a newer binary to a schema that does not serve this one.
 * `migrations` are this binary's own, but for tests.
 */
export async function migrate(connection: Connection, migrations?: Migration[]): Promise<number> {
  const client = new pg.Client({
    ...connection,
    connectionTimeoutMillis: 10_000,
    application_name: 'threadmill migrate',
  })
  // A connection that breaks says so to the query under way, and once more: without a listener that would end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    await checkDatabase(client)
    await client.query('select pg_advisory_lock($1)', [lockKey])
    return await migrateLocked(client, migrations ?? (await readMigrations()))
  } finally {
    // Closing the session gives the lock back.
    await client.end()
  }
}

const databaseText = `
select current_setting('server_version_num')::int as number, current_setting('server_version') as name,
  current_setting('server_encoding') as encoding`

/** Throws StoreStartError for a database that cannot hold what is written to it: an old version, or not all characters. */
export async function checkDatabase(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ number: number; name: string; encoding: string }>(databaseText)
  const [found] = rows
  if (found && found.number < 150000) {
    throw new StoreStartError(
      `Threadmill needs PostgreSQL 15 or newer, and DATABASE_URL leads to ${found.name}.`,
    )
  }
  // SQL_ASCII keeps bytes as they come, which are UTF-8; any other loses or refuses characters.
  if (found && !['UTF8', 'SQL_ASCII'].includes(found.encoding)) {
    throw new StoreStartError(
      `Threadmill needs a database in UTF8, and that of DATABASE_URL is in ${found.encoding}. Make another one: ` +
        'createdb --template=template0 --encoding=UTF8 threadmill',
    )
  }
}

/** The oldest binary that the database serves, by the newest migration that it knows; only newer databases are asked. */
async function oldestServed(client: pg.Client | pg.Pool): Promise<number> {
  const { rows } = await client.query<{ serves: number }>(
    'select max(serves) as serves from threadmill_migrations',
  )
  return rows[0]?.serves ?? Infinity
}

/** Whether the database, which a newer version may have migrated since, still serves a binary that knows schema `known`. */
export async function serves(pool: pg.Pool, known: number): Promise<boolean> {
  return (await oldestServed(pool)) <= known
}

const bookText = `create table if not exists threadmill_migrations (
  number integer primary key, name text not null, applied_at timestamptz not null default now())`

async function apply(client: pg.ClientBase, { number, name, sql }: Migration): Promise<void> {
  await client.query(sql)
  await client.query('insert into threadmill_migrations (number, name) values ($1, $2)', [number, name])
}

/** Migrates an empty database within the caller's transaction, while servers that start wait for its end. */
export async function migrateEmpty(client: pg.ClientBase, migrations: readonly Migration[]): Promise<void> {
  await client.query(bookText)
  for (const migration of migrations) await apply(client, migration)
}

/** Takes the lock on migrations until the end of the caller's transaction. */
export async function lockMigrations(client: pg.ClientBase): Promise<void> {
  await client.query('select pg_advisory_xact_lock($1)', [lockKey])
}

async function migrateLocked(client: pg.Client, migrations: Migration[]): Promise<number> {
  const done = await appliedTo(client)
  const known = Math.max(...migrations.map((migration) => migration.number))
  const newest = Math.max(0, ...done)
  if (newest > known && (await oldestServed(client)) > known) {
    throw new StoreStartError(
      `The database is at schema ${newest}, and this version of Threadmill knows schemas up to ${known}. ` +
        'It was used by a newer version and serves this one no more: start that one, or restore a backup made before the upgrade.',
    )
  }
  for (const migration of migrations) {
    if (done.has(migration.number)) continue
    await client.query('begin')
    try {
      // With the first one, so that a database that does not take it is left as it was.
      await client.query(bookText)
      await apply(client, migration)
      await client.query('commit')
    } catch (error) {
      await client.query('rollback')
      throw explained(error, migration)
    }
  }
  return known
}

/** Numbers of the migrations that the database has seen. */
async function appliedTo(client: pg.ClientBase): Promise<Set<number>> {
  const book = await client.query("select where to_regclass('threadmill_migrations') is not null")
  if (book.rowCount === 0) return new Set()
  const { rows } = await client.query<{ number: number }>('select number from threadmill_migrations')
  return new Set(rows.map((row) => row.number))
}

/** What the database says against a migration, as something that its operator can mend. */
function explained(error: unknown, { number }: Migration): unknown {
  // Class 42: what is there is not what was expected. A database that breaks off or has no room says something else.
  if (!(error instanceof pg.DatabaseError) || !error.code?.startsWith('42')) return error
  // duplicate_table
  const isTaken = number === 1 && error.code === '42P07'
  const others = isTaken ? ' It has tables of another program: give Threadmill a database of its own.' : ''
  return new StoreStartError(
    `The database cannot be brought to schema ${number}: ${error.message}.${others}`,
    {
      cause: error,
    },
  )
}
