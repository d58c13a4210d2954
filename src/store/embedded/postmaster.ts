// The postmaster: started detached, so that neither Ctrl-C nor the server's death ends it, and stopped by its pid, so
// that one which an earlier server left is stopped the same way.

import { spawn } from 'node:child_process'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { runAs, type Account } from './account.ts'
import type { Binaries } from './binaries.ts'
import { databaseUser } from './cluster.ts'
import { codeOf, explainOutput, explainProgram, explainSystemError } from './errors.ts'
import { identify, isRunning, signal, type ProcessIdentity } from './processes.ts'
import { openServerLog, readServerLog } from './server-log.ts'
import { socketPort } from './socket-folder.ts'

/** Where everything of one cluster is, and who runs it. */
export interface Cluster {
  readonly dir: string
  readonly pgdata: string
  readonly socketFolder: string
  readonly account: Account | null
  readonly binaries: Binaries
}

export interface Postmaster {
  readonly identity: ProcessIdentity
  /** Bytes the log had before it started. */
  readonly logSize: number
}

// Milliseconds.
const betweenLooks = 20
const patience = { afterInt: 10_000, afterQuit: 5000, afterKill: 5000 }

/** The file that takes what postgres writes. */
export function logOf(cluster: Cluster): string {
  return join(cluster.dir, 'postgres.log')
}

/** The program and arguments of the postmaster. */
export function commandFor({ binaries, pgdata, socketFolder }: Cluster): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '',
    // A list of names, hence the quotes.
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    port: String(socketPort),
    max_connections: '100',
    shared_buffers: '128MB',
    // These binaries come without lz4.
    wal_compression: 'pglz',
    // Milliseconds: the long statement of a killed server ends soon, and with it the locks that it holds.
    client_connection_check_interval: '1000',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // The server sees every error of its statements; repeated here they would fill the disk and show users' text.
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_checkpoints: 'off',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return [binaries.postgres, '-D', pgdata, ...options]
}

/** Starts a postmaster; it is not ready yet. */
export async function launch(cluster: Cluster): Promise<Postmaster> {
  const [program = '', ...args] = commandFor(cluster)
  const log = openLog(cluster)
  try {
    const output = ['ignore', log.descriptor, log.descriptor] as const
    const options = { ...runAs(cluster.account), cwd: '/', env: cluster.binaries.env, detached: true }
    const child = spawn(program, args, { ...options, stdio: [...output] })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (error) => reject(explainProgram(error, program)))
    })
    child.unref()
    // One that ended at once has no start any more; it counts as ended all the same.
    return { identity: identify(child.pid ?? 0) ?? { pid: child.pid ?? 0, started: '' }, logSize: log.size }
  } finally {
    closeSync(log.descriptor)
  }
}

function openLog(cluster: Cluster): { descriptor: number; size: number } {
  try {
    return openServerLog(logOf(cluster))
  } catch (error) {
    throw explainSystemError(error, logOf(cluster))
  }
}

/** A client of the maintenance database. */
export function maintenanceClient(socketFolder: string): pg.Client {
  return new pg.Client({
    host: socketFolder,
    port: socketPort,
    user: databaseUser,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 2000,
  })
}

/** Connects as soon as the postmaster accepts it; throws if it ends first, or is silent for `limit` milliseconds. */
export async function connectWhenReady(
  cluster: Cluster,
  postmaster: Postmaster,
  limit = Infinity,
): Promise<pg.Client> {
  const until = performance.now() + limit
  for (;;) {
    // Looked at before the attempt: one that ended in between is noticed in the next round.
    const running = isRunning(postmaster.identity)
    const client = maintenanceClient(cluster.socketFolder)
    client.on('error', () => undefined)
    try {
      await client.connect()
      return client
    } catch (error) {
      await client.end().catch(() => undefined)
      if (!running) throw explainOutput('PostgreSQL', cluster.pgdata, outputOf(cluster, postmaster))
      const isOver = codeOf(error) !== recovering && performance.now() > until
      if (isOver || !isNotYet(error)) throw explainSystemError(error, cluster.socketFolder)
    }
    await sleep(betweenLooks)
  }
}

// SQLSTATE of one that is still starting; after a crash it first recovers, however long that takes.
const recovering = '57P03'

function isNotYet(error: unknown): boolean {
  const code = codeOf(error)
  // Without a code pg reports its own time limit or a connection that was cut. 53300: no connection free.
  return (
    code === undefined ||
    ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EAGAIN', '53300', recovering].includes(code)
  )
}

/** What the postmaster has written since it started. */
export function outputOf(cluster: Cluster, postmaster: Postmaster): string {
  return readServerLog(logOf(cluster), postmaster.logSize)
}

/** Fast shutdown (open transactions are rolled back), harder if it does not end; returns when the process is gone. */
export async function shutDown(identity: ProcessIdentity): Promise<void> {
  signal(identity, 'SIGINT')
  if (await ends(identity, patience.afterInt)) return
  signal(identity, 'SIGQUIT')
  if (await ends(identity, patience.afterQuit)) return
  signal(identity, 'SIGKILL')
  await ends(identity, patience.afterKill)
}

/** Waits for the process to end, `limit` milliseconds at most; says whether it did. */
export async function ends(identity: ProcessIdentity, limit: number): Promise<boolean> {
  const until = performance.now() + limit
  while (isRunning(identity)) {
    if (performance.now() > until) return false
    await sleep(betweenLooks)
  }
  return true
}
