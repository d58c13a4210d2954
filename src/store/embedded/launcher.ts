// Starts the PostgreSQL that comes with the server, over DATA_DIR, and stops it again.
//
// In DATA_DIR: postgres/ is the cluster, postgres-socket/ its socket, postgres.log what it writes, server.lock/ the
// lock, postgres-lib/ links to libraries where the installation lacks them.

import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { reasonOf, type Log } from '../../log.ts'
import { prepareBinaries } from './binaries.ts'
import { databaseUser, ensureCluster } from './cluster.ts'
import { lockDataDir } from './data-lock.ts'
import { chooseDataPlace, findDataPlace, type DataPlace } from './data-place.ts'
import { explainSystemError, StoreStartError } from './errors.ts'
import { adoptOrClear, clearRemains, refuseIfServedElsewhere } from './orphan.ts'
import { connectWhenReady, launch, outputOf, shutDown, type Cluster, type Postmaster } from './postmaster.ts'
import { signal } from './processes.ts'
import { answers, makeSocketFolder, removeSocketFolder, socketFolderOf, socketPort } from './socket-folder.ts'
import { Supervisor } from './supervisor.ts'

export interface EmbeddedPostgres {
  /** For a client of `pg`; host is the folder of a unix socket. */
  readonly connection: EmbeddedConnection
  /** "18.4" */
  readonly version: string
  /** Where the data really are. */
  readonly dataDir: string
  /** A sentence for the start banner when something unusual was done, else null. */
  readonly notice: string | null
  /** Fast shutdown; returns when no process is left. Every call returns the same promise. */
  stop(): Promise<void>
  /** Tells PostgreSQL to quit at once and does not wait: for a process that is about to exit. It recovers at its next start. */
  abort(): void
}

export interface EmbeddedConnection {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** Said outright, for pg would else follow PGSSLMODE. */
  readonly ssl: false
}

export interface EmbeddedOptions {
  dataDir: string
  log: Log
  /** Breaks off the start, which then rejects and leaves no process behind. */
  signal?: AbortSignal
}

const database = 'threadmill'

/**
 * Starts PostgreSQL over `dataDir`, or takes over the one a killed server left, and starts it again whenever it ends by
 * itself; throws StoreStartError if it cannot be started the first time.
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const place = await chooseDataPlace(options.dataDir)
  const pgdata = join(place.dir, 'postgres')
  await refuseIfServedElsewhere(pgdata, socketFolderOf(place.dir, place.account), options.dataDir)
  const unlock = await lockDataDir(place.dir, options.dataDir)
  try {
    return await startLocked(options, place, pgdata, unlock)
  } catch (error) {
    await unlock()
    throw explainSystemError(error, pgdata)
  }
}

/**
 * What there is over `dataDir`, without starting or making anything: whether it holds data, and the connection to a PostgreSQL that
 * serves them now, or null. The one of a server that was killed counts too.
 */
export async function findEmbeddedPostgres(
  dataDir: string,
): Promise<{ hasData: boolean; running: EmbeddedConnection | null }> {
  const place = await findDataPlace(dataDir)
  if (place === null) return { hasData: false, running: null }
  const socketFolder = socketFolderOf(place.dir, place.account)
  return {
    hasData: true,
    running: (await answers(socketFolder)) ? connectionIn(socketFolder) : null,
  }
}

function connectionIn(socketFolder: string): EmbeddedConnection {
  return { host: socketFolder, port: socketPort, user: databaseUser, database, ssl: false }
}

async function startLocked(
  options: EmbeddedOptions,
  place: DataPlace,
  pgdata: string,
  unlock: () => Promise<void>,
): Promise<EmbeddedPostgres> {
  const { dir, account } = place
  const binaries = await prepareBinaries(account, dir)
  await ensureCluster(dir, pgdata, account, binaries, options.signal)
  const socketFolder = await makeSocketFolder(dir, account)
  const cluster: Cluster = { dir, pgdata, socketFolder, account, binaries }

  const orphan = await adoptOrClear(cluster)
  const { postmaster, client } = orphan ?? (await breakable(cluster, options.signal))
  try {
    options.signal?.throwIfAborted()
    await ensureDatabase(client)
  } catch (error) {
    await shutDown(postmaster.identity)
    throw error
  }
  const adopted = orphan
    ? `Took over the PostgreSQL of a server that was killed (pid ${postmaster.identity.pid}).`
    : null
  const start = async (launched: (postmaster: Postmaster) => void) => {
    const anew = await startAnew(cluster, launched)
    await anew.client.end()
  }
  const supervisor = new Supervisor({ cluster, postmaster, log: options.log, start })
  return {
    connection: connectionIn(socketFolder),
    version: binaries.version,
    dataDir: dir,
    notice: [place.notice, adopted].filter((text) => text !== null).join(' ') || null,
    stop: once(() => stopAll(cluster, supervisor, options.log, unlock)),
    abort: () => supervisor.abort(),
  }
}

/** As `startAnew`, which ends when the signal comes: its postmaster is told to stop, and no other is started. */
async function breakable(cluster: Cluster, stop?: AbortSignal): ReturnType<typeof startAnew> {
  let latest: Postmaster | null = null
  const end = () => latest && signal(latest.identity, 'SIGINT')
  stop?.addEventListener('abort', end)
  try {
    return await startAnew(cluster, (postmaster) => {
      latest = postmaster
      stop?.throwIfAborted()
    })
  } finally {
    stop?.removeEventListener('abort', end)
  }
}

async function startAnew(
  cluster: Cluster,
  launched: (postmaster: Postmaster) => void = () => {},
): Promise<{ postmaster: Postmaster; client: pg.Client }> {
  // Milliseconds: children of a postmaster that was killed may need some time to go.
  const until = performance.now() + 10_000
  for (;;) {
    const postmaster = await launch(cluster)
    try {
      launched(postmaster)
      return { postmaster, client: await connectWhenReady(cluster, postmaster) }
    } catch (error) {
      await shutDown(postmaster.identity)
      const output = outputOf(cluster, postmaster)
      const isHeld = /pre-existing shared memory block|lock file ".*" already exists/.test(output)
      if (!isHeld || performance.now() > until)
        throw output === '' ? await explainSilence(error, cluster) : error
      await clearRemains(cluster)
      await sleep(200)
    }
  }
}

/** A log on a full disk stays empty. */
async function explainSilence(error: unknown, cluster: Cluster): Promise<unknown> {
  const { bavail, bsize } = await statfs(cluster.pgdata)
  if (bavail * bsize > 1_000_000) return error
  return explainSystemError(Object.assign(new Error('no space left'), { code: 'ENOSPC' }), cluster.pgdata)
}

async function ensureDatabase(client: pg.Client): Promise<void> {
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [database])
    if (rowCount === 0) await client.query(`create database ${database}`)
  } catch (error) {
    throw new StoreStartError(`PostgreSQL started but could not make its database: ${String(error)}.`, {
      cause: error,
    })
  } finally {
    await client.end()
  }
}

async function stopAll(
  cluster: Cluster,
  supervisor: Supervisor,
  log: Log,
  unlock: () => Promise<void>,
): Promise<void> {
  await supervisor.stop()
  // Children outlive only a postmaster that had to be killed.
  await clearRemains(cluster).catch((error: unknown) =>
    log.warn('could not clear up after PostgreSQL', { reason: reasonOf(error) }),
  )
  await removeSocketFolder(cluster.socketFolder, cluster.dir)
  await unlock()
}

/** `work`, done at the first call; every call returns the same promise. */
function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null
  return () => (done ??= work())
}
