// Postgres refuses to run as root. When we are root, another account runs it; else we run it ourselves.

import { spawnSync } from 'node:child_process'
import { lchown, lstat, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, StoreStartError } from './errors.ts'

export interface Account {
  readonly uid: number
  readonly gid: number
}

const itself = 'run the server as an ordinary user, or set DATABASE_URL to use another Postgres'

/** Who runs postgres for the cluster in `pgdata`: null is this very user. */
export async function chooseAccount(pgdata: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null
  // A cluster made by an ordinary user stays that user's, so that both can go on using it.
  const owner = await ownerOf(pgdata)
  if (owner !== null && owner.uid !== 0) return owner
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const account = accountNamed(passwd, 'nobody') ?? accountNamed(passwd, 'postgres')
  if (account === null)
    throw new StoreStartError(
      `PostgreSQL refuses to run as root, and there is no user "nobody" or "postgres" to run it: ${itself}.`,
    )
  return account
}

function accountNamed(passwd: string, name: string): Account | null {
  const fields = passwd
    .split('\n')
    .find((line) => line.startsWith(name + ':'))
    ?.split(':')
  return fields === undefined ? null : { uid: Number(fields[2]), gid: Number(fields[3]) }
}

async function ownerOf(path: string): Promise<Account | null> {
  try {
    const { uid, gid } = await lstat(path)
    return { uid, gid }
  } catch {
    return null
  }
}

/** The spawn options that run a program as the account. */
export function runAs(account: Account | null): { uid?: number; gid?: number } {
  return account === null ? {} : { uid: account.uid, gid: account.gid }
}

/**
 * Whether the account can enter `directory` and read and run everything named in `programs`. The kernel is asked, as
 * that account, for mode bits alone miss access lists and mounts.
 */
export function canReach(account: Account, directory: string, programs: string[] = []): boolean {
  const script = 'cd -- "$1" && shift && for f; do test -r "$f" && test -x "$f" || exit 1; done'
  const probe = spawnSync('/bin/sh', ['-c', script, 'sh', directory, ...programs], {
    ...runAs(account),
    cwd: '/',
    env: {},
    stdio: 'ignore',
  })
  if (probe.error && ['EPERM', 'EINVAL'].includes(codeOf(probe.error) ?? ''))
    throw new StoreStartError(
      `PostgreSQL refuses to run as root, and this root may not switch to uid ${account.uid}: ${itself}.`,
    )
  return probe.status === 0
}

/** Gives a folder and all in it to the account. */
export async function giveTo(account: Account, path: string): Promise<void> {
  await lchown(path, account.uid, account.gid)
  const entries = await readdir(path, { recursive: true })
  for (const entry of entries) await lchown(join(path, entry), account.uid, account.gid)
}
