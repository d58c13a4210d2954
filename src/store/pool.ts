import pg from 'pg'
import type { Log } from '../log.ts'

/** How to reach Postgres: a socket directory or a URL. */
export type Connection =
  | { host: string; port: number; user: string; database: string }
  | { connectionString: string }

// bigint columns hold seconds, token counts and sequence numbers: all far below 2^53.
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === 20
      ? Number
      : format === 'binary'
        ? pg.types.getTypeParser(oid, 'binary')
        : pg.types.getTypeParser(oid, 'text')) as pg.CustomTypesConfig['getTypeParser'],
}

/**
 * Session settings of every connection. The planner switches make plans independent of statistics: a fresh
 * install has never been analysed, and a plan chosen on empty tables must still be right on full ones
 * (docs/decisions/0002-plans-without-statistics.md). Time-outs are in milliseconds.
 */
const session = [
  'set enable_seqscan = off',
  'set enable_mergejoin = off',
  'set enable_hashjoin = off',
  'set plan_cache_mode = force_generic_plan',
  'set statement_timeout = 30000',
  'set lock_timeout = 10000',
  'set idle_in_transaction_session_timeout = 30000',
].join('; ')

// pg waits for what this returns, although its type says void.
const prepareSession = (client: pg.ClientBase): unknown => client.query(session)

/** A pool whose connections carry the session settings. Idle connections that break are logged and replaced. */
export function createPool(
  connection: Connection,
  options: { max: number; name: string; log: Log },
): pg.Pool {
  const pool = new pg.Pool({
    ...connection,
    max: options.max,
    types,
    application_name: `threadmill ${options.name}`,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 0,
    keepAlive: true,
    onConnect: prepareSession,
  })
  pool.on('error', (error) => {
    // A database that stops with us breaks what is still closing.
    if (pool.ending) return
    options.log.warn('a database connection broke', { pool: options.name, reason: error.message })
  })
  return pool
}

/** Runs one named prepared statement and returns its rows. */
export async function query<R extends pg.QueryResultRow>(
  pool: pg.Pool,
  name: string,
  text: string,
  values: unknown[],
): Promise<R[]> {
  const result = await pool.query<R>({ name, text, values })
  return result.rows
}

/** Runs `work` in one transaction on one connection; a failure rolls back by closing the connection. */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    client.release(true)
    throw error
  }
}
