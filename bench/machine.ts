import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem, version } from 'node:os'
import { ownRoot, withDatabase, type ThreadmillServer } from './servers.ts'

// What a result must say of the machine that it was measured on.

export interface Facts {
  at: string
  machine: string
  node: string
  postgres: string
  commit: string
  /** Processes that wanted to run in the minute before, and the share of time that the hypervisor took in all. */
  load: string
}

export function git(...args: string[]): string {
  return execFileSync('git', args, {
    cwd: ownRoot,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim()
}

export function factsNow(): Facts {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 1024 ** 3)
  return {
    at: new Date().toISOString(),
    machine: `${cpus().length} x ${cpu?.model ?? 'unknown CPU'}, ${memory} GiB, ${version()}`,
    node: process.version,
    postgres: '',
    commit: commitOf(),
    load: `load average ${loadavg()[0]?.toFixed(1)}, ${stolen()} of CPU time stolen since boot`,
  }
}

function commitOf(): string {
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'
    return git('rev-parse', '--short', 'HEAD') + changed
  } catch {
    return 'unknown'
  }
}

function stolen(): string {
  try {
    const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]?.split(/\s+/).slice(1).map(Number) ?? []
    const all = fields.slice(0, 8).reduce((sum, each) => sum + each, 0)
    return `${((100 * (fields[7] ?? 0)) / all).toFixed(1)} %`
  } catch {
    return 'an unknown share'
  }
}

/** Version of the database, and the settings that durability hangs on. */
export function postgresOf(server: ThreadmillServer): Promise<string> {
  return withDatabase(server, async (client) => {
    const { rows } = await client.query<{ text: string }>(
      `select 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')
        || ', synchronous_commit ' || current_setting('synchronous_commit') as text`,
    )
    return rows[0]?.text ?? ''
  })
}
