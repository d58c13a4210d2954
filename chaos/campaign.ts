import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { violations } from './checker.ts'
import { Client } from './client.ts'
import { startCluster, type Cluster } from './cluster.ts'
import { faultsNow, readDump } from './dump.ts'
import { injectFaults, type Fault, type Injected } from './faults.ts'
import { History, type Strike } from './history.ts'
import { Jobs } from './jobs.ts'
import { Random } from './random.ts'
import { resultOf, type Result } from './result.ts'

// Clients work, servers and Postgres are broken in between, and in the end everything is judged.

export interface CampaignOptions {
  seed: number
  nodes: number
  progress?: (text: string) => void
}

/** What a campaign is made of. */
export interface Stage {
  cluster: Cluster
  history: History
  random: Random
  /** Clients that use an Idempotency-Key as often as `keyed` says, from 0 to 1, at these nodes: all, if not said. */
  jobs: (how?: { keyed?: number; nodes?: Cluster['nodes'] }) => Jobs
  /** How long it has been going on, how many servers were killed, and how many jobs are done. */
  tell: () => void
}

export interface RandomFaults {
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
}

/** Servers may lose a turn so often. */
const attempts = 3

/** Milliseconds. */
const silence = 3_500

/** Faults that the seed decides, while clients work. */
export function randomFaults(options: RandomFaults) {
  return async ({ cluster, random, jobs, tell }: Stage): Promise<Injected> => {
    const over = new AbortController()
    const working = Array.from({ length: options.clients }, async () => {
      const own = jobs()
      while (!over.signal.aborted) await own.any()
    })
    const breaking = injectFaults({ ...options, cluster, random: random.fork(), signal: over.signal })
    const until = performance.now() + options.ms
    for (let i = 1; performance.now() < until && killsOf(cluster) < options.kills; i++) {
      await sleep(200)
      if (i % 50 === 0) tell()
    }
    over.abort()
    const injected = await breaking
    await Promise.all(cluster.nodes.map((node) => node.ready()))
    await Promise.all(working)
    return injected
  }
}

/** Runs one campaign from its seed: `drive` lets clients work, breaks what it likes, and mends it. */
export async function campaign(
  options: CampaignOptions,
  drive: (stage: Stage) => Promise<Injected>,
): Promise<Result> {
  const random = new Random(options.seed)
  const cluster = await startCluster(options.nodes, random, 40)
  const history = new History()
  const found: string[] = []
  const over = new AbortController()
  try {
    const watching = watch(cluster, found, over.signal)
    const assistant = await makeAssistant(cluster, random)
    const start = performance.now()
    const injected = await drive({
      cluster,
      history,
      random,
      jobs: ({ keyed, nodes = cluster.nodes } = {}) =>
        new Jobs(new Client(nodes, history, random.fork(), keyed), history, assistant),
      tell: () =>
        options.progress?.(
          `${Math.round((performance.now() - start) / 1000)} s: ${killsOf(cluster)} kills, ${history.ends.length} jobs`,
        ),
    })
    await settled(cluster)
    over.abort()
    await watching
    const dump = await readDump(cluster.url)
    const strikes = [...injected.strikes, ...slowness(cluster)]
    found.push(...violations({ history, dump, calls: cluster.model.calls, strikes, attempts }))
    const { exits } = await cluster.stop()
    if (exits.some((code) => code !== 0)) found.push(`a server ended with ${exits.join(', ')} on SIGTERM`)
    return {
      ...resultOf(options, cluster, history, injected),
      seconds: Math.round((performance.now() - start) / 1000),
      runs: dump.runs.length,
      failed: dump.runs.filter(({ status }) => status === 'failed').length,
      violations: found,
    }
  } catch (error) {
    over.abort()
    await cluster.stop()
    throw error
  }
}

/** The id of the assistant that all jobs use. */
export async function makeAssistant(cluster: Cluster, random: Random): Promise<string> {
  const client = new Client(cluster.nodes, new History(), random.fork(), 1)
  const made = await client.change('thread', 'the assistant', null, '/v1/assistants', { model: 'mock' })
  return String(made.body['id'])
}

/** A server that is kept waiting for seconds, by a fault or by a machine that is too busy, gives up its runs and says so. */
function slowness({ nodes }: Cluster): Strike[] {
  return nodes.flatMap(({ name, gaveUp }) =>
    gaveUp.map((until) => ({ kind: 'given up', at: until - silence, until, node: name })),
  )
}

function killsOf({ nodes }: Cluster): number {
  return nodes.reduce((sum, { kills }) => sum + kills.length, 0)
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
