// One server at a time on a DATA_DIR.
//
// The lock is a list that only grows: DATA_DIR/server.lock holds links named 1, 2, 3 ... whose target is a text, and
// the highest number counts. Its text names the holder, "pid start", or is "free". Whoever finds it free, or its
// holder dead, makes the next number. Making a link is atomic and comes with its text, so of two that start at once
// one fails; and as a number is never used again, nobody can remove or overwrite a lock that he misjudged.

import { mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, explainSystemError, StoreStartError } from './errors.ts'
import { identify, startOf } from './processes.ts'

// Enough that nobody reads a directory while all he has yet to see of it is being removed.
const kept = 16

/** Takes the lock on `dir` or throws naming the holder's pid; returns what releases it. `dataDir` is for the message. */
export async function lockDataDir(dir: string, dataDir: string): Promise<() => Promise<void>> {
  const folder = join(dir, 'server.lock')
  try {
    await mkdir(folder, { recursive: true })
    for (;;) {
      const number = await takeNext(folder, dataDir)
      // Failing to release (the disk is full, the folder gone) harms little: a dead holder counts as none.
      if (number !== null) return () => append(folder, number + 1, 'free').then(noop, noop)
    }
  } catch (error) {
    throw explainSystemError(error, dir)
  }
}

const noop = () => undefined

async function takeNext(folder: string, dataDir: string): Promise<number | null> {
  const newest = await newestNumber(folder)
  if (newest > 0) {
    const text = await readlink(join(folder, String(newest))).catch(() => null)
    if (text === null) return null
    const holder = livingHolder(text)
    if (holder !== null)
      throw new StoreStartError(
        `DATA_DIR ${dataDir} is in use by another server (pid ${holder}). Stop that one first, or set DATA_DIR to ` +
          `another folder.`,
      )
  }
  const me = identify(process.pid)
  if (!(await append(folder, newest + 1, `${process.pid} ${me?.started}`))) return null
  // If numbers were removed since we looked, ours may be an old one used again; then it does not count.
  if ((await newestNumber(folder)) !== newest + 1) return null
  for (const number of await numbers(folder))
    if (number <= newest - kept) await rm(join(folder, String(number)), { force: true })
  return newest + 1
}

function livingHolder(text: string): number | null {
  const [pid = '', started] = text.split(/ (.*)/s)
  return text !== 'free' && startOf(Number(pid)) === started ? Number(pid) : null
}

async function append(folder: string, number: number, text: string): Promise<boolean> {
  try {
    await symlink(text, join(folder, String(number)))
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

async function numbers(folder: string): Promise<number[]> {
  return (await readdir(folder)).filter((name) => /^\d+$/.test(name)).map(Number)
}

async function newestNumber(folder: string): Promise<number> {
  return Math.max(0, ...(await numbers(folder)))
}
