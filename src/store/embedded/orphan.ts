// What an earlier server left behind when it was killed: a postmaster that still runs, one that is dead with its
// children still alive, or only its pid file.

import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type pg from 'pg'
import { explainSystemError, StoreStartError } from './errors.ts'
import { commandFor, connectWhenReady, ends, shutDown, type Cluster, type Postmaster } from './postmaster.ts'
import { commandOf, identify, isPostmasterOf, isRunning, postgresProcessesIn, signal } from './processes.ts'
import { answers, clearSocketFolder } from './socket-folder.ts'

interface PidFile {
  pid: number
  isStopping: boolean
}

// Milliseconds: an orphan that does not answer in this time is replaced.
const silence = 10_000
// Milliseconds the children of a dead postmaster get to see that it is dead.
const grace = 1000

/** Refuses if a postmaster that cannot be seen from here, in another container say, serves the cluster. */
export async function refuseIfServedElsewhere(
  pgdata: string,
  socketFolder: string,
  dataDir: string,
): Promise<void> {
  if (isServedHere(pgdata) || !(await answers(socketFolder)) || isServedHere(pgdata)) return
  throw new StoreStartError(
    `DATA_DIR ${dataDir} is in use: a PostgreSQL that this server cannot see, perhaps in another container ` +
      `(pid ${readPidFile(pgdata)?.pid ?? 'unknown'} there), serves it. Stop that one first.`,
  )
}

function isServedHere(pgdata: string): boolean {
  const file = readPidFile(pgdata)
  return file !== null && isPostmasterOf(file.pid, pgdata)
}

/** Takes over a postmaster that still runs and is like the one we would start; clears everything else away. */
export async function adoptOrClear(
  cluster: Cluster,
): Promise<{ postmaster: Postmaster; client: pg.Client } | null> {
  const file = readPidFile(cluster.pgdata)
  const identity = file !== null && isPostmasterOf(file.pid, cluster.pgdata) ? identify(file.pid) : null
  if (identity !== null) {
    const postmaster: Postmaster = { identity, logSize: Infinity }
    const adoptable = !file?.isStopping && isAsWeStartIt(identity.pid, cluster)
    const client = adoptable ? await connectWhenReady(cluster, postmaster, silence).catch(() => null) : null
    if (client !== null) return { postmaster, client }
    await shutDown(identity)
  }
  await clearRemains(cluster)
  return null
}

/** Ends the children of a dead postmaster and removes files that would keep a new one from starting. */
export async function clearRemains(cluster: Cluster): Promise<void> {
  try {
    const children = postgresProcessesIn(cluster.pgdata)
    await Promise.all(children.map((child) => ends(child, grace)))
    for (const child of children) signal(child, 'SIGKILL')
    await Promise.all(children.map((child) => ends(child, grace)))
    const file = readPidFile(cluster.pgdata)
    // With a dead pid postgres clears its file itself, after checks of its own. A pid in use again would stop it.
    if (file !== null && identify(file.pid) !== null && !children.some(isRunning))
      await rm(join(cluster.pgdata, 'postmaster.pid'), { force: true })
    await clearSocketFolder(cluster.socketFolder)
  } catch (error) {
    throw explainSystemError(error, cluster.pgdata)
  }
}

function isAsWeStartIt(pid: number, cluster: Cluster): boolean {
  const wanted = commandFor(cluster)
  const actual = commandOf(pid) ?? []
  return actual.length === 1 ? actual[0] === wanted.join(' ') : actual.join('\0') === wanted.join('\0')
}

function readPidFile(pgdata: string): PidFile | null {
  try {
    // One value a line: pid, folder, start, port, socket folder, address, shared memory, status.
    const lines = readFileSync(join(pgdata, 'postmaster.pid'), 'utf8').split('\n')
    const pid = Number(lines[0])
    return Number.isInteger(pid) && pid > 0 ? { pid, isStopping: lines[7]?.trim() === 'stopping' } : null
  } catch {
    return null
  }
}
