import type { Writable } from 'node:stream'
import pg from 'pg'
import { readMigrations, type Migration } from '../migrate.ts'
import { StoreStartError } from '../embedded/errors.ts'
import type { Connection } from '../pool.ts'
import { copyOut } from './copy.ts'
import { frameKinds, FrameWriter } from './frames.ts'
import { tablesOf, tableTexts } from './tables.ts'

export interface BackupHeader {
  format: 'threadmill-backup'
  /** Of the file's form. */
  version: 1
  /** Unix seconds by the clock of the database. */
  made_at: number
  /** The migrations of the database, in order. */
  migrations: { number: number; name: string }[]
}

export interface BackupTable {
  table: string
  columns: string[]
}

export interface BackupEnd {
  /** Rows by table. */
  rows: Record<string, number>
  sha256: string
}

/** There is nothing to back up. */
export class NoData extends Error {}

const migrationsText = 'select number from threadmill_migrations order by number'
/** A user's own settings may bound what takes as long as it takes. The last of them is new in PostgreSQL 17. */
export const unboundedText = `
select set_config(name, '0', false) from pg_settings
where name in ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')`

const nowText = 'select floor(threadmill_now())::float8 as now'

/**
 * Writes all data of a database as they are at one moment, while servers go on working on it; answers how many rows each table
 * had. Throws NoData if there are none of ours, and StoreStartError if a newer version made them.
 */
export async function backUp(connection: Connection, out: Writable): Promise<BackupEnd> {
  const client = new pg.Client({
    ...connection,
    connectionTimeoutMillis: 10_000,
    application_name: 'threadmill backup',
    keepAlive: true,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(unboundedText)
    await client.query('begin isolation level repeatable read read only')
    return await write(client, out)
  } finally {
    await client.end().catch(() => {})
  }
}

async function write(client: pg.Client, out: Writable): Promise<BackupEnd> {
  const migrations = await appliedMigrations(client)
  const writer = new FrameWriter(out)
  const { rows } = await client.query<{ now: number }>(nowText)
  const header: BackupHeader = {
    format: 'threadmill-backup',
    version: 1,
    made_at: rows[0]?.now ?? 0,
    migrations: migrations.map(({ number, name }) => ({ number, name })),
  }
  await writer.json(frameKinds.header, header)
  const counts: Record<string, number> = {}
  for (const { name, columns, copyOut: text } of await tableTexts(client, tablesOf(migrations))) {
    await writer.json(frameKinds.table, { table: name, columns } satisfies BackupTable)
    counts[name] = await copyOut(client, text, (row) => writer.row(row))
  }
  // What lies in the buffer belongs to what is hashed.
  await writer.settle()
  const end: BackupEnd = { rows: counts, sha256: writer.digest }
  await writer.json(frameKinds.end, end)
  await writer.end()
  return end
}

/** What the database was migrated to. What this binary does not know it would leave out. */
async function appliedMigrations(client: pg.Client): Promise<Migration[]> {
  const found = await client
    .query<{ number: number }>(migrationsText)
    .then(({ rows }) => rows.map(({ number }) => number))
    .catch((error: unknown): number[] => {
      if (error instanceof pg.DatabaseError && error.code === '42P01') return []
      throw error
    })
  if (found.length === 0) throw new NoData('The database holds no data of Threadmill.')
  const known = await readMigrations()
  const unknown = found.find((number) => !known.some((migration) => migration.number === number))
  if (unknown === undefined) return known.filter(({ number }) => found.includes(number))
  throw new StoreStartError(
    `The database is at schema ${found.at(-1)}, and this version of Threadmill knows schemas up to ${known.at(-1)?.number}. ` +
      'Back it up with the version whose servers run on it.',
  )
}
