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
  if (running !== null) return work(running)
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
  return running === null ? started(config, work) : work(running)
}

/** For work while no server serves the data. Throws StoreStartError if one serves the embedded ones. */
export function withoutServers<T>(config: Config, work: (connection: Connection) => Promise<T>): Promise<T> {
  return config.databaseUrl === null ? started(config, work) : ofUrl(config.databaseUrl, work)
}

async function started<T>(config: Config, work: (connection: Connection) => Promise<T>): Promise<T> {
  const embedded = await startEmbeddedPostgres({ dataDir: config.dataDir, log: createLog(config.logLevel) })
  // It is in a process group of its own, where no signal of a terminal reaches it.
  const leave = () => {
    embedded.abort()
    process.exit(exitCodes.fault)
  }
  for (const signal of signals) process.once(signal, leave)
  try {
    return await work(embedded.connection)
  } finally {
    for (const signal of signals) process.off(signal, leave)
    await embedded.stop()
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

async function ofUrl<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  try {
    return await work({ connectionString: url })
  } catch (error) {
    const { code = '', syscall } = error as { code?: string; syscall?: string }
    // pg's own messages name host, user and database, never the password.
    if (syscall !== undefined || /^(08|28|3D)/.test(code))
      throw new StoreStartError(`The database of DATABASE_URL cannot be used: ${reasonOf(error)}`)
    throw error
  }
}
