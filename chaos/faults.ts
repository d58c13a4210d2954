import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Cluster } from './cluster.ts'
import type { Strike } from './history.ts'
import type { NodeProcess } from './node-process.ts'
import { stopPoints, type StopPoint } from './pg-gate.ts'
import type { Random } from './random.ts'

// What is done to the servers and to Postgres while clients work.

export type Fault =
  | 'kill at random'
  | 'kill at a stop point'
  | 'pause'
  | 'pause of 30 s'
  | 'cut connections'
  | 'lose answers of commits'
  | 'end all backends'
  | 'half-open connections'
  | 'restart of Postgres'
  | 'kill of Postgres'

export interface Injected {
  counts: Map<Fault, number>
  /** Stop points at which a server was killed. */
  struck: Map<string, number>
  /** What was done, to whom, and when. */
  strikes: Strike[]
}

interface FaultOptions {
  cluster: Cluster
  random: Random
  /** Milliseconds between two faults. */
  every: number
  /** How often each is chosen, among all. */
  weights: Partial<Record<Fault, number>>
  /** Milliseconds that a server is paused. */
  pauseMs: number
  signal: AbortSignal
}

/** Injects faults until the signal comes; then everything runs again. */
export async function injectFaults(options: FaultOptions): Promise<Injected> {
  const { cluster, random, weights, every, signal } = options
  const injected: Injected = { counts: new Map(), struck: new Map(), strikes: [] }
  const kinds = Object.entries(weights).flatMap(([kind, weight]) =>
    Array.from({ length: weight }, () => kind as Fault),
  )
  const points = shuffled(stopPoints, random)
  const pending: Promise<void>[] = []
  while (!signal.aborted) {
    const fault = random.pick(kinds)
    const work = inject(fault, options, injected, points)
    pending.push(work)
    await sleep(every * (0.5 + random.next()), undefined, { signal }).catch(() => {})
  }
  await Promise.all(pending)
  for (const { gate } of cluster.nodes) gate.arm(null, () => {})
  return injected
}

async function inject(
  fault: Fault,
  options: FaultOptions,
  injected: Injected,
  points: StopPoint[],
): Promise<void> {
  const { cluster, random, pauseMs } = options
  // One that is still starting has nothing to lose.
  const serving = cluster.nodes.filter((node) => node.serving)
  if (serving.length === 0) return
  const node = random.pick(serving)
  const strike = (whom: NodeProcess | null): Strike => {
    injected.counts.set(fault, (injected.counts.get(fault) ?? 0) + 1)
    const at = performance.now()
    const struck = { kind: fault, at, until: at, node: whom?.name ?? null }
    injected.strikes.push(struck)
    return struck
  }
  /** For what lasts: it is not over before `work` is. */
  const during = async (struck: Strike, work: Promise<void>) => {
    struck.until = Infinity
    await work
    struck.until = performance.now()
  }
  switch (fault) {
    case 'kill at random':
      if (node.kill()) strike(node)
      return
    case 'kill at a stop point': {
      const point = points.shift() ?? random.pick(stopPoints)
      node.gate.arm(point, () => {
        if (!node.kill()) return
        strike(node)
        injected.struck.set(point.name, (injected.struck.get(point.name) ?? 0) + 1)
      })
      return
    }
    case 'lose answers of commits': {
      const point = { name: 'any commit', sends: ['commit_thread_writes'], moment: 'unanswered' } as const
      node.gate.arm(point, () => {
        strike(node)
        node.gate.cutAll()
      })
      return
    }
    case 'cut connections':
      node.gate.cutAll()
      strike(node)
      return
    case 'pause':
    case 'pause of 30 s':
      node.signal('SIGSTOP')
      await during(strike(node), sleep(fault === 'pause' ? pauseMs : 30_000))
      return node.signal('SIGCONT')
    case 'half-open connections':
      node.gate.blackHole = true
      await during(strike(node), sleep(pauseMs))
      node.gate.blackHole = false
      return node.gate.cutAll()
    case 'end all backends':
      strike(null)
      // Postgres may be on its way down or up just now.
      return endBackends(cluster.url).catch(() => {})
    case 'restart of Postgres':
      return during(strike(null), cluster.restartPostgres())
    case 'kill of Postgres':
      return during(strike(null), cluster.killPostgres())
  }
}

/** Ends all connections but its own. */
export async function endBackends(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`)
  } finally {
    await client.end()
  }
}

function shuffled<T>(of: readonly T[], random: Random): T[] {
  const rest = [...of]
  return Array.from({ length: rest.length }, () => rest.splice(random.below(rest.length), 1)[0] as T)
}
