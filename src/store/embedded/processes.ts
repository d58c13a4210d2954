// What the system says of other processes: from /proc on Linux, from ps elsewhere. A pid alone names nobody, for
// pids are used again; a pid and the moment it started do.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { codeOf } from './errors.ts'

export interface ProcessIdentity {
  readonly pid: number
  readonly started: string
}

const hasProc = process.platform === 'linux'

/** When the live process `pid` started, as a text that only serves comparison; null if there is none. */
export function startOf(pid: number): string | null {
  if (!hasProc) return ps(pid, 'lstart=')
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in brackets and may hold blanks and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended; a container whose first process reaps nobody keeps it for ever.
    if (fields[0] === 'Z' || fields[0] === 'X') return null
    // Field 22 counts ticks since boot, so the boot belongs to it.
    return `${bootId()}:${fields[19]}`
  } catch {
    return null
  }
}

/** The identity of the live process `pid`, or null. */
export function identify(pid: number): ProcessIdentity | null {
  const started = startOf(pid)
  return started === null ? null : { pid, started }
}

/** Whether exactly this process still runs. Cheap on Linux; elsewhere it looks at the pid alone. */
export function isRunning(identity: ProcessIdentity): boolean {
  if (hasProc) return startOf(identity.pid) === identity.started
  try {
    process.kill(identity.pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

/** Sends a signal to exactly this process; nothing happens if it has ended. */
export function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isRunning(identity)) return
  try {
    process.kill(identity.pid, name)
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error
  }
}

/** The program and arguments of `pid`; elsewhere than on Linux one string holds them all. */
export function commandOf(pid: number): string[] | null {
  if (!hasProc) {
    const line = ps(pid, 'command=')
    return line === null ? null : [line]
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return null
  }
}

/** Whether `pid` is the postmaster that serves the cluster in `pgdata`, and not some later process of that number. */
export function isPostmasterOf(pid: number, pgdata: string): boolean {
  const command = commandOf(pid)
  if (command === null || startOf(pid) === null) return false
  if (!hasProc) return /(^|\/)postgres /.test(command[0] ?? '') && (command[0] ?? '').includes(pgdata)
  // The folder may have been moved or mounted elsewhere since; the postmaster's working directory moves with it.
  return basename(command[0] ?? '') === 'postgres' && (command.includes(pgdata) || isWorkingIn(pid, pgdata))
}

/** Postgres processes at work in `pgdata`: the children that a killed postmaster left. Linux only. */
export function postgresProcessesIn(pgdata: string): ProcessIdentity[] {
  if (!hasProc) return []
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isWorkingIn(Number(name), pgdata))
    .filter((name) => /(^|\/)postgres(:|$)/.test(commandOf(Number(name))?.[0] ?? ''))
    .map((name) => identify(Number(name)))
    .filter((identity) => identity !== null)
}

function isWorkingIn(pid: number, directory: string): boolean {
  try {
    const here = statSync(`/proc/${pid}/cwd`)
    const there = statSync(directory)
    return here.ino === there.ino && here.dev === there.dev
  } catch {
    return false
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function ps(pid: number, column: string): string | null {
  try {
    const args = ['-ww', '-o', column, '-p', String(pid)]
    const text = execFileSync('/bin/ps', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return text.trim() || null
  } catch {
    return null
  }
}
