import { once } from 'node:events'
import { createReadStream, createWriteStream, rmSync } from 'node:fs'
import { link, lstat, open, rename, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { readConfig } from '../config.ts'
import { reasonOf } from '../log.ts'
import { backUp, NoData, type BackupEnd } from '../store/backup/backup.ts'
import { DamagedBackup } from '../store/backup/frames.ts'
import { NewerBackup, NotEmpty, restore } from '../store/backup/restore.ts'
import { besideServers, withoutServers } from './own-database.ts'
import { exitCodes, Failure, type Call } from './command.ts'

/** `threadmill backup FILE`. */
export async function backup({ args: [file = ''], env, output }: Call): Promise<number> {
  const config = readConfig(env)
  const write = (out: Writable) => besideServers(config, (connection) => backUp(connection, out))
  try {
    const { rows } = await (file === '-' ? ontoStdout(write) : intoNewFile(resolve(file), write))
    output.err(`Backed up ${sumOf(rows)}${file === '-' ? '' : ` to ${file}`}.\n`)
    return exitCodes.done
  } catch (error) {
    if (error instanceof NoData) throw new Failure(exitCodes.noInput, error.message, { cause: error })
    throw error
  }
}

/** The file has its name only when it is whole and on the disk. Only its owner may read it. */
async function intoNewFile(file: string, write: (out: Writable) => Promise<BackupEnd>): Promise<BackupEnd> {
  if (await isThere(file)) throw alreadyThere(file)
  const partial = `${file}.partial`
  // Flushed to the disk before it is closed. Another backup may be writing there.
  const out = createWriteStream(partial, { flags: 'wx', mode: 0o600, flush: true })
  await once(out, 'open').catch((error: unknown) => {
    throw (error as { code?: string }).code === 'EEXIST'
      ? alreadyBegun(partial, error)
      : notWritten(file, error)
  })
  const remove = () => rmSync(partial, { force: true })
  process.once('exit', remove)
  try {
    const end = await write(out)
    out.end()
    await finished(out)
    await giveName(partial, file)
    await keepNames(dirname(file))
    return end
  } catch (error) {
    const failed = out.errored
    out.destroy()
    remove()
    throw failed ? notWritten(file, failed) : error
  } finally {
    process.off('exit', remove)
  }
}

/** Names what was written, and replaces nothing: a file of that name may have come meanwhile. */
async function giveName(partial: string, file: string): Promise<void> {
  try {
    await link(partial, file)
  } catch (error) {
    const { code = '' } = error as { code?: string }
    if (code === 'EEXIST') throw alreadyThere(file, error)
    if (!linkless.includes(code)) throw notWritten(file, error)
    // Without links there is no way that closes the gap between the look and the name.
    if (await isThere(file)) throw alreadyThere(file, error)
    return rename(partial, file)
  }
  await unlink(partial)
}

/** What file systems without hard links answer. */
const linkless = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/** Whether something has this name, if only a link that leads nowhere. */
async function isThere(file: string): Promise<boolean> {
  return (await lstat(file).catch(() => null)) !== null
}

/** Flushes the names in a folder to the disk. Some file systems do not know how, and keep them in their own way. */
async function keepNames(folder: string): Promise<void> {
  const handle = await open(folder).catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close()
}

async function ontoStdout(write: (out: Writable) => Promise<BackupEnd>): Promise<BackupEnd> {
  const { stdout } = process
  let failed: unknown = null
  stdout.once('error', (error) => (failed = error))
  try {
    return await write(stdout)
  } catch (error) {
    throw failed === null ? error : notWritten('stdout', failed)
  }
}

function alreadyThere(file: string, cause?: unknown): Failure {
  return new Failure(exitCodes.cannotWrite, `${file} is already there. Remove it, or name another file.`, {
    cause,
  })
}

function alreadyBegun(partial: string, error: unknown): Failure {
  const text = `${partial} is already there: another backup is writing it, or one was killed. Remove it if none is under way.`
  return new Failure(exitCodes.cannotWrite, text, { cause: error })
}

function notWritten(file: string, error: unknown): Failure {
  return new Failure(exitCodes.cannotWrite, `cannot write ${file}: ${reasonOf(error)}.`, { cause: error })
}

/** `threadmill restore FILE`. */
export async function restoreFile({ args: [file = ''], env, output }: Call): Promise<number> {
  const config = readConfig(env)
  const source = file === '-' ? process.stdin : await readable(resolve(file))
  let unread: unknown = null
  source.once('error', (error) => (unread = error))
  try {
    const { header, rows } = await withoutServers(config, (connection) => restore(connection, source))
    const at = new Date(header.made_at * 1_000).toISOString()
    output.err(
      `Restored ${sumOf(rows)} as of ${at}. Start the server now: it carries on the unfinished runs.\n`,
    )
    return exitCodes.done
  } catch (error) {
    throw unread === null ? explained(file, error) : notRead(file, unread)
  }
}

/** The file, opened before anything is begun. */
async function readable(file: string): Promise<Readable> {
  const source = createReadStream(file)
  await once(source, 'open').catch((error: unknown) => {
    throw notRead(file, error)
  })
  return source
}

function notRead(file: string, error: unknown): Failure {
  return new Failure(exitCodes.noInput, `cannot read ${file}: ${reasonOf(error)}.`, { cause: error })
}

function explained(file: string, error: unknown): unknown {
  const cause = { cause: error }
  if (error instanceof DamagedBackup) {
    return new Failure(
      exitCodes.badData,
      `${file} cannot be restored: ${error.message}. Nothing was restored; take another backup.`,
      cause,
    )
  }
  if (error instanceof NewerBackup)
    return new Failure(exitCodes.refused, `${error.message} Restore it with the version that made it.`, cause)
  if (error instanceof NotEmpty) {
    return new Failure(
      exitCodes.refused,
      `${error.message} A backup is restored into an empty one only: set DATA_DIR to a new folder, or DATABASE_URL to a new database.`,
      cause,
    )
  }
  return error
}

/** What people call the rows of the largest tables. */
function sumOf(rows: Record<string, number>): string {
  const count = (table: string, noun: string) => `${rows[table] ?? 0} ${noun}${rows[table] === 1 ? '' : 's'}`
  const named = [count('assistants', 'assistant'), count('threads', 'thread'), count('messages', 'message')]
  return [...named, count('runs', 'run'), count('files', 'file')].join(', ')
}
