import pg from 'pg'
import type { Config } from '../config.ts'
import { createLog, reasonOf } from '../log.ts'
import { StoreStartError } from '../store/embedded/errors.ts'
import { findEmbeddedPostgres, startEmbeddedPostgres } from '../store/embedded/launcher.ts'
import type { Connection } from '../store/pool.ts'
import { exitCodes, Failure } from './command.ts'

// The database of the settings, for commands that work on it: that of DATABASE_URL, or the embedded one, which a server may be
// serving at the moment.

/** For work beside the servers of the database, which may or may not be running. Throws Failure if there are no data. */
export async function besideServers<T>(
  config: Config,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  if (config.databaseUrl !== null) return ofUrl(config.databaseUrl, work)
  const { hasData, running } = await findEmbeddedPostgres(config.dataDir)
  if (running !== null) return besideServer(config, running, work)
  if (hasData) return started(config, work)
  throw new Failure(
    exitCodes.noInput,
    `there are no data in ${config.dataDir}. Set DATA_DIR to the folder of the server, or DATABASE_URL.`,
  )
}

/** As `besideServers`, but where there are no data yet they are made. */
export async function besideOrWithoutServers<T>(
  config: Config,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  if (config.databaseUrl !== null) return ofUrl(config.databaseUrl, work)
  const { running } = await findEmbeddedPostgres(config.dataDir)
  return running === null ? started(config, work) : besideServer(config, running, work)
}

/** For work while no server serves the data. Throws StoreStartError if one serves the embedded ones. */
export function withoutServers<T>(config: Config, work: (connection: Connection) => Promise<T>): Promise<T> {
  return config.databaseUrl === null ? started(config, work) : ofUrl(config.databaseUrl, work)
}

async function started<T>(config: Config, work: (connection: Connection) => Promise<T>): Promise<T> {
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir, log: createLog(config.logLevel) })
  try {
    // It is in a process group of its own, where no signal of a terminal reaches it.
    return await watched(
      embeddedIn(config),
      () => work(embedded.connection),
      () => embedded.abort(),
    )
  } finally {
    await embedded.stop()
  }
}

function besideServer<T>(
  config: Config,
  running: Connection,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  return watched(embeddedIn(config), () => work(running))
}

function ofUrl<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  return watched('The database of DATABASE_URL', () => work({ connectionString: url }))
}

const embeddedIn = ({ dataDir }: Config) => `The embedded PostgreSQL in ${dataDir}`

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Work on a database: a signal ends it and the process in order, and what the database cannot do is told without a stack. */
async function watched<T>(database: string, work: () => Promise<T>, abort = () => {}): Promise<T> {
  const leave = () => {
    abort()
    process.exit(exitCodes.fault)
  }
  for (const signal of signals) process.once(signal, leave)
  try {
    return await work()
  } catch (error) {
    if (!isOfDatabase(error)) throw error
    // pg's own messages name host, user and database, never the password.
    throw new StoreStartError(`${database} cannot be used: ${reasonOf(error)}`, { cause: error })
  } finally {
    for (const signal of signals) process.off(signal, leave)
  }
}

/** Whether the database is away, has no room, or does not let us: not what was asked of it is at fault. */
function isOfDatabase(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code = '', syscall } = error as { code?: string; syscall?: string }
  if (error instanceof pg.DatabaseError) return /^(08|28|3D|53|57P|58|42501)/.test(code)
  // A certificate that the URL names is opened, too.
  if (
    ['connect', 'getaddrinfo', 'open'].includes(syscall ?? '') ||
    /^(ECONN|ETIMEDOUT|EHOSTUNREACH)/.test(code)
  )
    return true
  return error.message.startsWith('Connection terminated')
}
