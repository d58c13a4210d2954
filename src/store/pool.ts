import pg from 'pg'
import { ApiError } from '../contract/errors.ts'
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
 * (docs/decisions/0002-plans-without-statistics.md).
 */
const session = [
  'set enable_seqscan = off',
  'set enable_mergejoin = off',
  'set enable_hashjoin = off',
  'set plan_cache_mode = force_generic_plan',
].join('; ')

// pg waits for what this returns, although its type says void.
const prepareSession = (client: pg.ClientBase): unknown => client.query(session)

/** What the waiting of one pool's statements is bounded by, in milliseconds. */
export interface Bounds {
  statement: number
  lock: number
  /** How much longer than Postgres itself this side waits for an answer: the connection may be dead without a word. */
  dead: number
}

/** A pool whose connections carry the session settings. Idle connections that break are logged and replaced. */
export function createPool(
  connection: Connection,
  options: { max: number; name: string; log: Log; bounds: Bounds },
): pg.Pool {
  const { bounds } = options
  const pool = new pg.Pool({
    ...connection,
    max: options.max,
    types,
    application_name: `threadmill ${options.name}`,
    connectionTimeoutMillis: Math.min(10_000, bounds.statement),
    statement_timeout: bounds.statement,
    lock_timeout: bounds.lock,
    idle_in_transaction_session_timeout: 30_000,
    query_timeout: bounds.statement + bounds.dead,
    idleTimeoutMillis: 0,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    onConnect: prepareSession,
  })
  // A connection that breaks while it is in use says so to the query under way, and once more to nobody in
  // particular: without a listener that would end the process.
  pool.on('connect', (client) => void client.on('error', () => {}))
  pool.on('error', (error) => {
    // A database that stops with us breaks what is still closing.
    if (pool.ending) return
    options.log.warn('a database connection broke', { pool: options.name, reason: error.message })
  })
  return pool
}

/** Statements that change nothing, however often they are made. */
const reading = /^\s*select\b(?!.*(\bfor (no key )?(update|share)\b|pg_notify))/is

/**
 * Runs one named prepared statement and returns its rows. One that only reads is made once more when its connection turns out to be
 * broken, as idle ones do by being used; if that breaks too, or never answers, it throws NotDone.
 */
export async function query<R extends pg.QueryResultRow>(
  pool: pg.Pool,
  name: string,
  text: string,
  values: unknown[],
): Promise<R[]> {
  const send = async () => (await pool.query<R>({ name, text, values })).rows
  if (!reading.test(text)) return send()
  try {
    return await send()
  } catch (error) {
    if (wasRolledBack(error)) throw error
    if (isTimeout(error)) throw new NotDone('the database did not answer', { cause: error })
    return withoutEffect(send())
  }
}

/** What pg says when an answer, or a connection, takes too long: another try would take as long. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && /timeout/i.test(error.message)
}

/** A write that was surely not done. */
export class NotDone extends Error {}

/** The statement did not reach Postgres: there was no connection to send it on. */
export class NotSent extends NotDone {}

/** Whether Postgres itself said that it did nothing. What ends its session may come between a commit and its answer. */
export function wasRolledBack(error: unknown): boolean {
  return error instanceof pg.DatabaseError && !/^(08|57P)/.test(error.code ?? '08')
}

/** Whether Postgres had no room for a write, on its disk or in its memory: it did nothing, and may take the same when there is. */
export function hadNoRoom(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^53[12]00$/.test(error.code ?? '')
}

/**
 * For a statement that has no effect as long as another has not followed it: throws NotDone if its connection broke, since
 * it may safely be made again.
 */
export async function withoutEffect<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw wasRolledBack(error) ? error : new NotDone('the connection to the database broke', { cause: error })
  }
}

/** The statement cannot be sent at all, now or later. */
export class Unsendable extends Error {}

/** Characters of parameters from which on a statement gets more time: a slow link needs it to carry them. */
const large = 1 << 20

/** Milliseconds that each of these gives it. */
const msPerLarge = 1_000

/**
 * As `query`, for a statement that must not be repeated lightly: throws NotSent if it never left. The connection is
 * kept after an error that Postgres reported. A statement with large parameters may take longer than the pool's bounds, by
 * their size.
 */
export async function queryOnce<R extends pg.QueryResultRow>(
  pool: pg.Pool,
  name: string,
  text: string,
  values: unknown[],
): Promise<R[]> {
  const client = await connectOnce(pool)
  const size = values.reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
  const extra = size < large ? 0 : Math.ceil(size / large) * msPerLarge
  try {
    const result = await client.query<R>({ name, text, values, ...(await bounded(client, pool, extra)) })
    // One whose bounds were moved is not for others.
    client.release(extra > 0)
    return result.rows
  } catch (error) {
    client.release(extra > 0 || !(error instanceof pg.DatabaseError))
    throw notQueryable.test((error as Error).message)
      ? new NotSent('the connection broke before', { cause: error })
      : error
  }
}

/** What pg says of a connection that broke before a statement was sent on it. */
const notQueryable = /is not queryable$/

/** Gives the next statement of a connection `extra` milliseconds more, on both sides. */
async function bounded(
  client: pg.PoolClient,
  pool: pg.Pool,
  extra: number,
): Promise<{ query_timeout?: number }> {
  if (extra === 0) return {}
  const { statement_timeout, query_timeout } = pool.options
  try {
    await client.query("select set_config('statement_timeout', $1, false)", [
      `${Number(statement_timeout) + extra}`,
    ])
  } catch (cause) {
    throw new NotSent('the database did not take a setting', { cause })
  }
  return { query_timeout: Number(query_timeout) + extra }
}

function connectOnce(pool: pg.Pool): Promise<pg.PoolClient> {
  return pool.connect().catch((cause: unknown) => {
    throw new NotSent('there is no connection to the database', { cause })
  })
}

/**
 * Runs `work` in one transaction on one connection, and rolls back if it throws. Throws NotSent if there is no connection, and
 * NotDone if it breaks before the commit.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connectOnce(pool)
  let commits = false
  try {
    await client.query('begin')
    const result = await work(client)
    commits = true
    await client.query('commit')
    client.release()
    return result
  } catch (error) {
    client.release(!(await rolledBack(client, error)))
    if (commits || !connectionBroke(error)) throw error
    throw new NotDone('the connection to the database broke before a commit', { cause: error })
  }
}

const broken = /^(08...|57P0.|ECONN.*|EPIPE|ETIMEDOUT)$/
const brokenText =
  /Connection terminated|Query read timeout|Client has encountered a connection error|there is no connection/

/** Whether an error tells of a connection that broke, and with it perhaps an answer. */
export function connectionBroke(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' && broken.test(code)) || brokenText.test(error.message)
}

/** Whether the connection is good for others: after a refusal it is, after what may be its own fault it is not. */
async function rolledBack(client: pg.PoolClient, error: unknown): Promise<boolean> {
  if (!(error instanceof ApiError || error instanceof pg.DatabaseError)) return false
  return client.query('rollback').then(
    () => true,
    () => false,
  )
}
