import { randomBytes } from 'node:crypto'
import { after } from 'node:test'
import pg from 'pg'
import { execute, makeTemplate, startPostgres, template, withName } from './postgres-server.ts'

// A real Postgres for tests: one server a test run, one migrated template, and for each test file a clone.

export interface TestDatabase {
  /** For DATABASE_URL. */
  url: string
  /** Runs a statement in the database. */
  sql<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>
  /** Moves the database's clock forward from now on. */
  advanceClock(seconds: number): Promise<void>
  drop(): Promise<void>
}

const endings: (() => Promise<unknown>)[] = []
after(async () => {
  for (const end of endings.reverse()) await end()
})

/** Runs `end` after all tests of the file, the latest registered first. */
export function atEnd(end: () => Promise<unknown>): void {
  endings.push(end)
}

let ownServer: Promise<string> | null = null

/** The server of this test run; a file that is run alone starts its own. */
export function serverUrl(): Promise<string> {
  const given = process.env['TEST_DATABASE_URL']
  if (given) return Promise.resolve(given)
  ownServer ??= startPostgres().then(async (postgres) => {
    atEnd(() => postgres.stop())
    await makeTemplate(postgres.url)
    return postgres.url
  })
  return ownServer
}

/** A database of its own for a test file: a clone of the migrated template, or an empty one. */
export async function createDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const server = await serverUrl()
  const name = `test_${randomBytes(8).toString('hex')}`
  const from = options.empty ? 'template0' : template
  await execute(withName(server, 'postgres'), `create database ${name} template ${from}`)
  const url = withName(server, name)
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  pool.on('error', () => {})
  return {
    url,
    sql: async <R extends pg.QueryResultRow>(text: string, values: unknown[] = []) =>
      (await pool.query<R>(text, values)).rows,
    advanceClock: async (seconds) => {
      const { rows } = await pool.query<{ offset: number }>(
        'select threadmill_now() - extract(epoch from statement_timestamp())::double precision as offset',
      )
      const offset = Math.round(rows[0]?.offset ?? 0) + seconds
      await pool.query(`create or replace function threadmill_now() returns double precision
        language sql stable parallel safe
        as $$ select extract(epoch from statement_timestamp())::double precision + ${offset} $$`)
    },
    drop: async () => {
      await pool.end()
      await execute(withName(server, 'postgres'), `drop database if exists ${name} with (force)`)
    },
  }
}
