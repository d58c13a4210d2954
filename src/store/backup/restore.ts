import type { Readable } from 'node:stream'
import pg from 'pg'
import { checkDatabase, lockMigrations, migrateEmpty, readMigrations, type Migration } from '../migrate.ts'
import type { Connection } from '../pool.ts'
import { unboundedText, type BackupEnd, type BackupHeader, type BackupTable } from './backup.ts'
import { copyIn } from './copy.ts'
import { DamagedBackup, frameKinds, readFrames, type Frame, type FrameKind } from './frames.ts'
import { copyInOf, emptyTables, presentTable, setSequences, tablesOf } from './tables.ts'

/** The database already holds data of ours. */
export class NotEmpty extends Error {}

/** The backup was made by a newer version. */
export class NewerBackup extends Error {}

export interface Restored {
  header: BackupHeader
  rows: Record<string, number>
}

/**
 * Fills an empty database from a backup, all or nothing: the database stays empty if it fails. Throws DamagedBackup if the
 * file is not whole, NewerBackup if this binary does not know its schema, NotEmpty if there are data already.
 */
export async function restore(connection: Connection, source: Readable): Promise<Restored> {
  const frames = readFrames(source)
  const header = headerOf(await next(frames))
  const migrations = await migrationsOf(header)
  const client = new pg.Client({
    ...connection,
    connectionTimeoutMillis: 10_000,
    application_name: 'threadmill restore',
    keepAlive: true,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(unboundedText)
    await checkDatabase(client)
    await client.query('begin')
    const rows = await fill(client, frames, migrations)
    await client.query('commit')
    return { header, rows }
  } finally {
    // Without a commit nothing was done.
    await client.end().catch(() => {})
  }
}

async function fill(
  client: pg.Client,
  frames: AsyncGenerator<Frame>,
  migrations: Migration[],
): Promise<Record<string, number>> {
  await lockMigrations(client)
  const tables = tablesOf(migrations)
  const present = await presentTable(client, ['threadmill_migrations', ...tables])
  if (present !== null) throw new NotEmpty(`The database already has a table ${present}.`)
  await migrateEmpty(client, migrations)
  await emptyTables(client, tables)
  const rows = await fillTables(client, frames, tables)
  await setSequences(client, tables)
  return rows
}

async function fillTables(
  client: pg.Client,
  frames: AsyncGenerator<Frame>,
  tables: string[],
): Promise<Record<string, number>> {
  const rows: Record<string, number> = {}
  let frame = await next(frames)
  while (frame.kind === frameKinds.table) {
    const { table, columns } = parse<BackupTable>(frame, isTable)
    if (!tables.includes(table) || Object.hasOwn(rows, table))
      throw new DamagedBackup(`it has a table "${table.slice(0, 100)}" that does not belong there`)
    const data = new TableData(frames)
    rows[table] = await copyIn(client, await copyInOf(client, table, columns), data).catch(
      (error: unknown) => {
        if (!isOfRows(error)) throw error
        throw new DamagedBackup(`its rows of ${table} were not taken: ${error.message}`, { cause: error })
      },
    )
    frame = data.behind ?? (await next(frames))
  }
  const end = parse<BackupEnd>(expected(frame, frameKinds.end), isEnd)
  if (end.sha256 !== frame.before) throw new DamagedBackup('its checksum is another')
  if (!(await frames.next()).done) throw new DamagedBackup('it goes on behind its end')
  for (const table of tables)
    if (rows[table] === undefined || rows[table] !== end.rows[table])
      throw new DamagedBackup(`it has not all rows of ${table}`)
  return rows
}

const isTable = ({ table, columns }: Partial<BackupTable>) =>
  isText(table) && Array.isArray(columns) && columns.every(isText)

const isEnd = ({ rows, sha256 }: Partial<BackupEnd>) => isObject(rows) && isText(sha256)

/** Whether Postgres refused the rows for what they are, and not because it has no room for them or stops. */
function isOfRows(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && /^(22|23|42)/.test(error.code ?? '') && error.code !== '42501'
}

/** The rows of one table, up to the frame behind them. */
class TableData implements AsyncIterable<Buffer> {
  readonly #frames: AsyncGenerator<Frame>
  behind: Frame | null = null

  constructor(frames: AsyncGenerator<Frame>) {
    this.#frames = frames
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const frame = await next(this.#frames)
      if (frame.kind !== frameKinds.data) {
        this.behind = frame
        return
      }
      yield frame.payload
    }
  }
}

function headerOf(frame: Frame): BackupHeader {
  const header = parse<BackupHeader>(expected(frame, frameKinds.header), () => true)
  const { format, migrations, made_at } = header
  const isOurs =
    Array.isArray(migrations) &&
    migrations.length > 0 &&
    migrations.every(isObject) &&
    Number.isSafeInteger(made_at)
  if (format !== 'threadmill-backup' || !isOurs) throw new DamagedBackup('it is not a backup of Threadmill')
  if (header.version !== 1) throw new NewerBackup(`The backup has form ${String(header.version)}.`)
  return header
}

/** The migrations that lead to the schema of the backup; later ones are applied by the next start. */
async function migrationsOf({ migrations }: BackupHeader): Promise<Migration[]> {
  const known = await readMigrations()
  for (const { number, name } of migrations) {
    if (known.some((one) => one.number === number && one.name === name)) continue
    throw new NewerBackup(
      `The backup is of schema ${migrations.at(-1)?.number}, and this version of Threadmill knows schemas up to ${known.at(-1)?.number}.`,
    )
  }
  return known.filter(({ number }) => migrations.some((one) => one.number === number))
}

async function next(frames: AsyncGenerator<Frame>): Promise<Frame> {
  const { value, done } = await frames.next()
  if (done === true) throw new DamagedBackup('it ends in the middle')
  return value
}

function expected(frame: Frame, kind: FrameKind): Frame {
  if (frame.kind === kind) return frame
  throw new DamagedBackup('its parts are not in their order')
}

/** What a frame of JSON says, if it has the form that is expected. */
function parse<T extends object>({ payload }: Frame, isWhole: (value: Partial<T>) => boolean): T {
  const read = (): Partial<T> | null => {
    try {
      return JSON.parse(payload.toString()) as Partial<T> | null
    } catch {
      return null
    }
  }
  const value = read()
  if (isObject(value) && isWhole(value)) return value as T
  throw new DamagedBackup('it has a part that cannot be read')
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
const isText = (value: unknown): value is string => typeof value === 'string'
