import { chmod, lchown, lstat, mkdir, mkdtemp, readdir, rm, rmdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Account } from './account.ts'
import { shortHash } from './data-place.ts'
import { codeOf, explainSystemError } from './errors.ts'

/** No port is opened; the number is part of the socket's name. */
export const socketPort = 5432

// sun_path without its closing zero byte.
const longestPath = process.platform === 'darwin' ? 103 : 107

/** The socket's path in `folder`, as postgres and pg make it. */
export function socketIn(folder: string): string {
  return join(folder, `.s.PGSQL.${socketPort}`)
}

/** The folder the socket of `dir` belongs in: in `dir` itself, or under /tmp where the path would be too long. */
export function socketFolderOf(dir: string, account: Account | null): string {
  const inside = join(dir, 'postgres-socket')
  if (Buffer.byteLength(socketIn(inside)) <= longestPath) return inside
  return `/tmp/threadmill-${account?.uid ?? process.getuid?.()}-${shortHash(dir)}`
}

/** Makes the folder, private to the one who runs postgres, and returns it; or another, if someone else holds that name. */
export async function makeSocketFolder(dir: string, account: Account | null): Promise<string> {
  const folder = socketFolderOf(dir, account)
  try {
    if (await makePrivate(folder, account)) return folder
    // Anyone may make any name under /tmp. One that nobody can foresee is safe, though the next start cannot find it.
    const other = await mkdtemp('/tmp/threadmill-')
    await makePrivate(other, account)
    return other
  } catch (error) {
    throw explainSystemError(error, folder)
  }
}

async function makePrivate(folder: string, account: Account | null): Promise<boolean> {
  try {
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
  const { uid, mode, ...entry } = await lstat(folder).then((found) => ({
    uid: found.uid,
    mode: found.mode,
    isFolder: found.isDirectory(),
  }))
  const owner = account?.uid ?? process.getuid?.()
  if (!entry.isFolder || (uid !== owner && uid !== process.getuid?.())) return false
  if (account !== null) await lchown(folder, account.uid, account.gid)
  if ((mode & 0o777) !== 0o700) await chmod(folder, 0o700)
  return true
}

/** Removes what a dead postmaster left: its lock file would stop the next one if its pid is in use again. */
export async function clearSocketFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.startsWith('.s.PGSQL.')) await rm(join(folder, name), { force: true })
}

/** Removes a socket folder that lies outside the data. */
export async function removeSocketFolder(folder: string, dir: string): Promise<void> {
  if (!folder.startsWith(dir + '/')) await rmdir(folder).catch(() => undefined)
}

/** Whether something listens on the socket in `folder`. */
export async function answers(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketIn(folder))
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(1000, () => end(true))
    socket.on('connect', () => end(true))
    socket.on('error', () => end(false))
  })
}
