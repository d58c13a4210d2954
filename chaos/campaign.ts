import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { violations } from './checker.ts'
import { Client } from './client.ts'
import { startCluster, type Cluster } from './cluster.ts'
import { faultsNow, readDump } from './dump.ts'
import { injectFaults, type Fault, type Injected } from './faults.ts'
import { History } from './history.ts'
import { Jobs } from './jobs.ts'
import type { ModelCall } from './model.ts'
import { Random } from './random.ts'

// Clients work, servers and Postgres are broken in between, and in the end everything is judged.

export interface CampaignOptions {
  seed: number
  nodes: number
  /** Clients at a time. */
  clients: number
  /** Milliseconds of faults. */
  ms: number
  /** It ends earlier when so many servers were killed. */
  kills: number
  /** Milliseconds between two faults. */
  every: number
  weights: Partial<Record<Fault, number>>
  pauseMs: number
  progress?: (text: string) => void
}

export interface Result {
  seed: number
  seconds: number
  nodes: number
  jobs: number
  runs: number
  modelCalls: number
  kills: number
  faults: Record<string, number>
  stopPoints: Record<string, number>
  /** Milliseconds from the break of a model call by a fault to the next call for its turn. */
  recovery: Spread
  /** Milliseconds from a cancel to the end of its run, faults or not. */
  cancel: Spread
  crashes: string[]
  violations: string[]
}

interface Spread {
  count: number
  p50: number | null
  p99: number | null
  longest: number | null
}

/** Servers may lose a turn so often. */
const attempts = 3

/** Runs one campaign from its seed. */
export async function campaign(options: CampaignOptions): Promise<Result> {
  const random = new Random(options.seed)
  const cluster = await startCluster(options.nodes, random, 40)
  const history = new History()
  const found: string[] = []
  const over = new AbortController()
  try {
    const watching = watch(cluster, found, over.signal)
    const client = new Client(cluster.nodes, history, random.fork())
    const assistant = await client.change(
      'thread',
      'the assistant',
      null,
      '/v1/assistants',
      { model: 'mock' },
      { keyed: true },
    )
    history.requests.length = 0
    const start = performance.now()
    const broken = new AbortController()
    const killsNow = () => cluster.nodes.reduce((sum, { kills }) => sum + kills.length, 0)
    const working = Array.from({ length: options.clients }, async () => {
      const jobs = new Jobs(
        new Client(cluster.nodes, history, random.fork()),
        history,
        String(assistant.body['id']),
      )
      while (!broken.signal.aborted) await jobs.any()
    })
    const breaking = injectFaults({ ...options, cluster, random: random.fork(), signal: broken.signal })
    for (let told = start; performance.now() - start < options.ms && killsNow() < options.kills;) {
      await sleep(200)
      if (performance.now() - told < 10_000) continue
      told = performance.now()
      options.progress?.(
        `${Math.round((told - start) / 1000)} s: ${killsNow()} kills, ${history.ends.length} jobs`,
      )
    }
    broken.abort()
    const injected = await breaking
    await Promise.all(cluster.nodes.map((node) => node.ready()))
    await Promise.all(working)
    await settled(cluster)
    over.abort()
    await watching
    const dump = await readDump(cluster.url)
    found.push(...violations({ history, dump, calls: cluster.model.calls, faults: injected.at, attempts }))
    const { exits } = await cluster.stop()
    if (exits.some((code) => code !== 0)) found.push(`a server ended with ${exits.join(', ')} on SIGTERM`)
    return {
      ...resultOf(options, cluster, history, injected),
      seconds: Math.round((performance.now() - start) / 1000),
      runs: dump.runs.length,
      violations: found,
    }
  } catch (error) {
    over.abort()
    await cluster.stop()
    throw error
  }
}

function resultOf(options: CampaignOptions, { nodes, model }: Cluster, history: History, injected: Injected) {
  return {
    seed: options.seed,
    nodes: options.nodes,
    jobs: history.ends.length,
    modelCalls: model.calls.length,
    kills: nodes.reduce((sum, { kills }) => sum + kills.length, 0),
    faults: Object.fromEntries(injected.counts),
    stopPoints: Object.fromEntries([...injected.struck].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    recovery: spread(recoveries(model.calls)),
    cancel: spread(history.cancels),
    crashes: nodes.flatMap(({ crashes }) => crashes),
  }
}

/** From the break of each call to the next for its turn. */
function recoveries(calls: readonly ModelCall[]): number[] {
  const turns = Map.groupBy(calls, ({ job, turn }) => `${job} ${turn}`)
  return [...turns.values()].flatMap((of) => of.slice(1).map(({ at }, i) => at - (of[i]?.endedAt ?? at)))
}

function spread(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
    return value === undefined ? null : Math.round(value)
  }
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), longest: at(1) }
}

/** Asks again and again for what must hold at every moment. */
async function watch(cluster: Cluster, found: string[], over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const client = new pg.Client({ connectionString: cluster.url })
    client.on('error', () => {})
    try {
      await client.connect()
      found.push(...(await faultsNow(client)))
    } catch {
      // Postgres is being broken.
    }
    await client.end().catch(() => {})
    await sleep(500)
  }
}

/** Waits until no run is worked on any more. */
async function settled(cluster: Cluster): Promise<void> {
  const until = performance.now() + 30_000
  while (performance.now() < until) {
    const { runs, threads } = await readDump(cluster.url)
    const gone = new Set(threads.filter(({ deleted }) => deleted).map(({ id }) => id))
    const active = runs.filter(
      ({ status, thread_id }) =>
        /^(queued|in_progress|cancelling|waiting)$/.test(status) && !gone.has(thread_id),
    )
    if (active.length === 0) return
    await sleep(250)
  }
}
