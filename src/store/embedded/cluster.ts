// The cluster: DATA_DIR/postgres, made by initdb. It is made under another name and renamed when complete, so that a
// folder of that name is either a whole cluster or not ours.

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { lchown, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { giveTo, runAs, type Account } from './account.ts'
import type { Binaries } from './binaries.ts'
import { codeOf, explainOutput, explainProgram, explainSystemError, StoreStartError } from './errors.ts'

export const databaseUser = 'threadmill'

const unfinished = 'postgres.init-'

/** An initdb that was cut short may still be writing for a moment. */
const removal = { recursive: true, force: true, maxRetries: 20, retryDelay: 25 }

/** Makes the cluster in `pgdata` if there is none, and refuses one that this PostgreSQL cannot serve. `signal` ends it. */
export async function ensureCluster(
  dir: string,
  pgdata: string,
  account: Account | null,
  binaries: Binaries,
  signal?: AbortSignal,
): Promise<void> {
  try {
    for (const name of await readdir(dir)) if (name.startsWith(unfinished)) await rm(join(dir, name), removal)
    const major = await majorOf(pgdata)
    if (major === null) return await createCluster(dir, pgdata, account, binaries, signal)
    if (major !== binaries.major)
      throw new StoreStartError(
        `${pgdata} was made by PostgreSQL ${major}, and this is PostgreSQL ${binaries.major}, which cannot read it. ` +
          `The data were not touched. Set DATA_DIR to another folder, or go back to the release that made it.`,
      )
    // A backup restored by root belongs to root, and postgres serves only what is its own.
    if (account !== null && (await lstat(pgdata)).uid !== account.uid) await giveTo(account, pgdata)
  } catch (error) {
    throw explainSystemError(error, pgdata)
  }
}

async function majorOf(pgdata: string): Promise<string | null> {
  try {
    return (await readFile(join(pgdata, 'PG_VERSION'), 'utf8')).trim()
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  const found = await readdir(pgdata).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
  if (found.length === 0) return null
  throw new StoreStartError(
    `${pgdata} is not empty and holds no PostgreSQL data (no PG_VERSION; it has ${found[0]}). Nothing was touched. ` +
      `Move its files away, or set DATA_DIR to another folder.`,
  )
}

async function createCluster(
  dir: string,
  pgdata: string,
  account: Account | null,
  binaries: Binaries,
  signal?: AbortSignal,
): Promise<void> {
  const partial = join(dir, unfinished + randomBytes(6).toString('hex'))
  try {
    await mkdir(partial, { mode: 0o700 })
    if (account !== null) await lchown(partial, account.uid, account.gid)
    await initialise(partial, pgdata, account, binaries, signal)
    await rename(partial, pgdata)
    await syncFolder(dir)
  } catch (error) {
    await rm(partial, removal)
    throw error
  }
}

// LC_CTYPE decides what pg_trgm takes for a letter: under C only ASCII. The builtin provider makes the rest the same
// on every system. Not every system has every name.
const characterTypes = process.platform === 'darwin' ? ['C.UTF-8', 'en_US.UTF-8', 'C'] : ['C.UTF-8', 'C']

async function initialise(
  partial: string,
  pgdata: string,
  account: Account | null,
  binaries: Binaries,
  signal?: AbortSignal,
): Promise<void> {
  let output = ''
  for (const characterType of characterTypes) {
    const result = await runInitdb(partial, characterType, account, binaries, signal)
    if (result.code === 0) return
    output = result.output
    if (!/invalid locale name/.test(output)) break
  }
  throw explainOutput('initdb', pgdata, output)
}

function runInitdb(
  partial: string,
  characterType: string,
  account: Account | null,
  binaries: Binaries,
  signal?: AbortSignal,
): Promise<{ code: number | null; output: string }> {
  const args = [
    `--pgdata=${partial}`,
    `--username=${databaseUser}`,
    // The socket's folder is private, and nothing else listens.
    '--auth=trust',
    '--data-checksums',
    '--encoding=UTF8',
    '--locale=C',
    `--lc-ctype=${characterType}`,
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--no-instructions',
  ]
  return new Promise((resolve, reject) => {
    // Of its own process group, as the postmaster is: Ctrl-C is for the server to judge.
    const options = { ...runAs(account), cwd: '/', env: binaries.env, detached: true, signal }
    const child = spawn(binaries.initdb, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-16_000))
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => {
      // One that was told to end is waited for: it removes what it has made.
      if (child.pid === undefined) reject(explainProgram(error, binaries.initdb))
    })
    child.on('close', (code) => resolve({ code, output }))
  })
}

async function syncFolder(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
