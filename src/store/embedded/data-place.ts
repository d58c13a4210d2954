// Where the data really go. Nearly always DATA_DIR; but when root starts the server in a folder that only root may
// enter, the account that runs postgres could not reach them there.

import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { canReach, chooseAccount, type Account } from './account.ts'
import { codeOf, explainSystemError, StoreStartError } from './errors.ts'

export interface DataPlace {
  /** Absolute, without symbolic links; exists. */
  readonly dir: string
  /** Who runs postgres; null is this very user. */
  readonly account: Account | null
  readonly notice: string | null
}

/** Where root keeps what another account must reach. Never under /tmp: data there are lost at reboot. */
export const sharedFolder = '/var/lib/threadmill'

/** Decides where the data of `dataDir` live and who runs postgres there, and makes the folder. */
export async function chooseDataPlace(dataDir: string): Promise<DataPlace> {
  const intended = resolve(dataDir)
  const account = await chooseAccount(join(intended, 'postgres'))
  try {
    if (account === null) return await usable(intended, null)
    const elsewhere = elsewhereOf(intended)
    const [clusterHere, clusterElsewhere] = await Promise.all([hasCluster(intended), hasCluster(elsewhere)])
    if (canReach(account, dirname(await nearestFolder(intended)))) await openIfEmpty(intended)
    const reachable = canReach(account, await nearestFolder(intended))
    if (reachable && (clusterHere || !clusterElsewhere)) {
      const place = await usable(intended, account)
      if (canReach(account, place.dir)) return place
    }
    if (clusterHere) throw new StoreStartError(unreachable(intended, account))
    return await placeElsewhere(intended, elsewhere, account)
  } catch (error) {
    throw explainSystemError(error, intended)
  }
}

/** Where the data of `dataDir` lie, or null if there are none. It makes nothing. */
export async function findDataPlace(dataDir: string): Promise<DataPlace | null> {
  const intended = resolve(dataDir)
  const places = process.getuid?.() === 0 ? [intended, elsewhereOf(intended)] : [intended]
  const clusters = await Promise.all(places.map(hasCluster))
  return clusters.includes(true) ? chooseDataPlace(dataDir) : null
}

/** Where root keeps the data that the account of postgres could not reach. */
function elsewhereOf(intended: string): string {
  return join(sharedFolder, 'data-' + shortHash(intended))
}

/** A short name for a path, the same at every start. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

/** Makes the folder that root keeps for all its servers, or says why it cannot serve. */
export async function makeSharedFolder(account: Account): Promise<void> {
  try {
    if ((await makeFolders(sharedFolder)).length > 0) await chmod(sharedFolder, 0o755)
  } catch (error) {
    throw explainSystemError(error, sharedFolder)
  }
  const { uid, mode } = await lstat(sharedFolder)
  // Whoever could write here could put programs of his own in the place of postgres.
  if (uid !== 0 || (mode & 0o022) !== 0)
    throw new StoreStartError(`${sharedFolder} must belong to root and be writable by nobody else.`)
  if (!canReach(account, sharedFolder))
    throw new StoreStartError(
      `${sharedFolder} cannot be reached by uid ${account.uid}, which runs PostgreSQL.`,
    )
}

async function usable(dir: string, account: Account | null): Promise<DataPlace> {
  // Folders we made must let the account pass whatever the umask says; folders of others are not ours to open.
  for (const made of await makeFolders(dir)) if (account !== null) await chmod(made, 0o711)
  return { dir: await realpath(dir), account, notice: null }
}

/**
 * Lets others pass through an empty folder of root, as mkdtemp makes one: there is nothing in it yet to protect, and
 * what we put in it protects itself. They still cannot list it.
 */
async function openIfEmpty(dir: string): Promise<void> {
  const found = await stat(dir).catch(() => null)
  if (found === null || found.uid !== 0 || (await readdir(dir)).length > 0) return
  await chmod(dir, (found.mode & 0o7777) | 0o011)
}

/** Makes the folder and those above it; returns those it made. (Node's own recursive mkdir says ENOENT for EROFS.) */
async function makeFolders(path: string): Promise<string[]> {
  try {
    await mkdir(path)
    return [path]
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return []
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error
  }
  const above = await makeFolders(dirname(path))
  try {
    // Once: there are places, such as /proc, where this is the answer although the folder above is there.
    await mkdir(path)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return above
    throw error
  }
  return [...above, path]
}

async function placeElsewhere(intended: string, elsewhere: string, account: Account): Promise<DataPlace> {
  const why = `PostgreSQL does not run as root, and uid ${account.uid}, which runs it, cannot enter ${intended}`
  try {
    await makeSharedFolder(account)
    const { dir } = await usable(elsewhere, account)
    return { dir, account, notice: `The data are in ${dir}: ${why}.` }
  } catch (error) {
    const reason = explainSystemError(error, elsewhere).message
    throw new StoreStartError(
      `${why}; the place used instead, ${elsewhere}, cannot serve either. Set DATA_DIR to a folder that others may ` +
        `enter. ${reason}`,
    )
  }
}

function unreachable(intended: string, account: Account): string {
  return (
    `DATA_DIR ${intended} holds a database, but uid ${account.uid}, which runs PostgreSQL for root, cannot enter ` +
    `it. Let others enter the folder and those above it (chmod o+x), or set DATA_DIR. Nothing was changed.`
  )
}

/** Whether a cluster lies in this place of data. */
async function hasCluster(dir: string): Promise<boolean> {
  return (await lstat(join(dir, 'postgres', 'PG_VERSION')).catch(() => null)) !== null
}

async function nearestFolder(path: string): Promise<string> {
  try {
    if ((await stat(path)).isDirectory()) return path
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    return nearestFolder(dirname(path))
  }
  throw new StoreStartError(
    `${path} is not a folder. Set DATA_DIR to a folder, or to a path where one can be made.`,
  )
}
