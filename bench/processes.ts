import { spawn, type ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'

// Processes that the bench starts, and what they use. CPU and memory are read from /proc; elsewhere they are NaN.

const started = new Set<ChildProcess>()
/** Folders of what runs. */
export const temporary = new Set<string>()
/** Kernel ticks a second, as /proc counts them. */
const ticks = 100

export interface Spawned {
  pid: number
  child: ChildProcess
  /** What it has written, both streams; the end of it. */
  output: () => string
  /** Resolves when it has ended, with its exit code. */
  ended: Promise<number | null>
}

/** Starts a program with this Node. */
export function startNode(args: string[], env: Record<string, string>, cwd: string): Spawned {
  const child = spawn(process.execPath, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  started.add(child)
  let output = ''
  const take = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-1_000_000))
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      started.delete(child)
      resolve(code)
    })
  })
  return { pid: child.pid ?? 0, child, output: () => output, ended }
}

/** Ends a program: politely first, with all below it after `patienceMs`. */
export async function stop({ child, pid, ended }: Spawned, patienceMs = 20_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  const timer = setTimeout(() => killTree(pid), patienceMs)
  await ended
  clearTimeout(timer)
}

/** Ends what is still running, at once, and removes what it left: for an exit that was not planned. */
export function killAll(): void {
  for (const child of started) if (child.pid !== undefined) killTree(child.pid)
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

export function killTree(pid: number): void {
  for (const each of tree(pid).reverse()) {
    try {
      process.kill(each, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** A process and all below it; only the process itself where there is no /proc. */
export function tree(pid: number): number[] {
  const below = new Map<number, number[]>()
  for (const entry of folders()) {
    const parent = Number(statOf(entry)?.[1])
    if (!Number.isNaN(parent)) below.set(parent, [...(below.get(parent) ?? []), entry])
  }
  const all = (one: number): number[] => [one, ...(below.get(one) ?? []).flatMap(all)]
  return all(pid)
}

function folders(): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** Fields of /proc/PID/stat from the state on. */
function statOf(pid: number): string[] | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? null
  } catch {
    return null
  }
}

/** Milliseconds of CPU that a process has used. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid)
  return fields ? ((Number(fields[11]) + Number(fields[12])) * 1000) / ticks : NaN
}

/** The same of a whole tree, with the children that have ended: Postgres starts and ends workers all the time. */
export function treeCpuMs(pid: number): number {
  const sum = tree(pid).reduce((total, one) => {
    const fields = statOf(one)
    const used = fields ? fields.slice(11, 15).reduce((all, field) => all + Number(field), 0) : 0
    return total + used
  }, 0)
  return statOf(pid) ? (sum * 1000) / ticks : NaN
}

/** Resident memory of one process in MiB. */
export function rssMiB(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
  } catch {
    return NaN
  }
}

/** The largest RSS between the call and the first one of the returned function, which ends the watch; looked at every 100 ms. */
export function watchRss(pid: number): () => number {
  let peak = rssMiB(pid)
  const timer = setInterval(() => (peak = Math.max(peak, rssMiB(pid))), 100)
  return () => {
    clearInterval(timer)
    return peak
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no free port')
  return address.port
}

/** Waits until `test` says yes, looking every 20 ms; throws after `mostMs`. */
export async function until(test: () => Promise<boolean>, mostMs: number): Promise<void> {
  for (const end = performance.now() + mostMs; performance.now() < end;) {
    if (await test()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`waited ${mostMs} ms in vain for ${test.toString().slice(0, 80)}`)
}
