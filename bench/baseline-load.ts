import { fileURLToPath } from 'node:url'
import { cpuMs, startNode, stop, treeCpuMs } from './processes.ts'
import type { Server } from './servers.ts'

// The load of bench/baseline, each call in a process of its own, and what it prints.

export interface LoadResult {
  ok: number
  errors: 0 | Record<string, number>
  per_s: number
  p50: number
  p99: number
  ttfd_p50?: number
  ttfd_p99?: number
  cpu_ms_per_run?: number
  peak_rss_mib?: number
}

export interface Load {
  phase: 'load' | 'stream'
  conc: number
  seconds: number
  /** At most so many jobs. */
  count?: number
  /** Of the mock: milliseconds to the first token and between tokens, tokens per answer. */
  ttft?: number
  itl?: number
  tokens?: number
}

export interface LoadOutcome extends LoadResult {
  /** Share of the server's CPU that its Node used; the rest is Postgres. NaN if unknown. */
  nodeShare: number
}

/** Drives jobs through a server. Throws if any job failed: a speed with errors means nothing. */
export async function runLoad(server: Server, mockUrl: string, load: Load): Promise<LoadOutcome> {
  const { pid } = server
  const before = pid === null ? null : { node: cpuMs(pid), all: treeCpuMs(pid) }
  const options = Object.entries(load).map(([name, value]) => `--${name}=${value}`)
  const args = [
    `--base=${server.base}`,
    `--mock=${mockUrl}`,
    ...options,
    ...(pid === null ? [] : [`--pid=${pid}`]),
  ]
  const result = (await runScript('load-assistants.mjs', args, load.seconds)).at(-1) as unknown as LoadResult
  if (result.errors !== 0) throw new Error(`${server.name}: jobs failed: ${JSON.stringify(result.errors)}`)
  const nodeShare = before && pid !== null ? (cpuMs(pid) - before.node) / (treeCpuMs(pid) - before.all) : NaN
  return { ...result, nodeShare }
}

export interface SlowResult {
  finished_right: number
  errors: 0 | Record<string, number>
  not_done_at_deadline: number
  seconds: number
  rss_peak_mib: number
}

/** Starts `runs` jobs at once on a model that takes `slow` milliseconds, and waits for all. */
export async function runSlow(
  server: Server,
  mockUrl: string,
  runs: number,
  slow: number,
): Promise<SlowResult> {
  const args = [
    `--base=${server.base}`,
    `--mock=${mockUrl}`,
    '--phase=slow',
    `--runs=${runs}`,
    `--slow=${slow}`,
  ]
  if (server.pid !== null) args.push(`--pid=${server.pid}`)
  return (await runScript('load-assistants.mjs', args, 120)).at(-1) as unknown as SlowResult
}

/** Calls the mock itself. */
export async function runDirect(
  mockUrl: string,
  stream: boolean,
  conc: number,
  seconds: number,
): Promise<LoadResult> {
  const args = [
    `--base=${mockUrl}/v1`,
    stream ? '--stream' : '--nostream',
    `--conc=${conc}`,
    `--seconds=${seconds}`,
  ]
  return (await runScript('load-direct.mjs', args, seconds)).at(-1) as unknown as LoadResult
}

/** The lines of JSON that a script of bench/baseline prints. */
async function runScript(name: string, args: string[], seconds: number): Promise<Record<string, unknown>[]> {
  const script = fileURLToPath(new URL(`baseline/${name}`, import.meta.url))
  const spawned = startNode([script, ...args], { PATH: process.env['PATH'] ?? '' }, process.cwd())
  const timer = setTimeout(() => void stop(spawned, 100), (seconds + 120) * 1_000)
  const code = await spawned.ended
  clearTimeout(timer)
  const lines = spawned
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'))
  if (code !== 0 || lines.length === 0)
    throw new Error(`${name} ended with ${code}: ${spawned.output().slice(-500)}`)
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}
