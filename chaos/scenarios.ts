import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { makeAssistant } from './campaign.ts'
import { violations } from './checker.ts'
import { Client } from './client.ts'
import { startCluster, type Cluster } from './cluster.ts'
import { readDump } from './dump.ts'
import { endBackends } from './faults.ts'
import { History } from './history.ts'
import { Jobs } from './jobs.ts'
import { Random } from './random.ts'

// Five faults of Postgres and of workers under the names of a public comparison of job queues (May 2026), scored as there:
// what is completed in a time after the fault, of what was in the same time before, in per cent.

interface Scenario {
  name: string
  /** What others scored: awa, river, oban, pg-boss, procrastinate, pgmq. */
  others: readonly string[]
  act: (cluster: Cluster) => Promise<void>
}

/** How long is counted before and behind the fault, and waited in between, in milliseconds. */
const [counted, settling] = [10_000, 5_000]

const scenarios: readonly Scenario[] = [
  {
    name: 'postgres_restart',
    others: ['100', '101', '0', 'exits', '0', '0'],
    act: (cluster) => cluster.restartPostgres(),
  },
  {
    name: 'pg_backend_kill',
    others: ['100', '101', '100', 'exits', '0', '0'],
    act: (cluster) => repeated(10, 1_000, () => endBackends(cluster.url)),
  },
  {
    name: 'pool_exhaustion',
    others: ['100', '100', '86', '96', '99', '100'],
    act: (cluster) => exhaust(cluster.url),
  },
  {
    name: 'crash_recovery',
    others: ['98', '121', '98', '117', '73', '74'],
    act: async ({ nodes }) => nodes[0]?.retire(),
  },
  {
    name: 'repeated_kills',
    others: ['99', '109', '88', '99', '18', '26'],
    act: ({ nodes }) => repeated(5, 3_000, async () => void nodes[0]?.kill()),
  },
]

export interface Score {
  name: string
  before: number
  behind: number
  /** Per cent. */
  score: number
  others: readonly string[]
  violations: string[]
}

/** Runs all of them, each on servers of its own. */
export async function scoreScenarios(seed: number, told: (score: Score) => void): Promise<Score[]> {
  const scores: Score[] = []
  for (const scenario of scenarios) {
    const score = await run(scenario, new Random(seed))
    scores.push(score)
    told(score)
  }
  return scores
}

async function run({ name, others, act }: Scenario, random: Random): Promise<Score> {
  const cluster = await startCluster(2, random, 20)
  const history = new History()
  const over = new AbortController()
  try {
    const assistant = await makeAssistant(cluster, random)
    const working = Array.from({ length: 6 }, async () => {
      const jobs = new Jobs(new Client(cluster.nodes, history, random.fork()), history, assistant)
      while (!over.signal.aborted) await jobs.one('plain')
    })
    await sleep(2_000)
    const before = await completedIn(history, counted)
    const at = performance.now()
    await act(cluster)
    const until = performance.now()
    await sleep(settling)
    const behind = await completedIn(history, counted)
    over.abort()
    await Promise.all(working)
    const dump = await readDump(cluster.url)
    const strikes = Array.from({ length: 3 }, () => ({ kind: name, at, until, node: null }))
    const found = violations({ history, dump, calls: cluster.model.calls, strikes, attempts: 3 })
    return { name, before, behind, score: Math.round((100 * behind) / before), others, violations: found }
  } finally {
    over.abort()
    await cluster.stop()
  }
}

async function completedIn(history: History, ms: number): Promise<number> {
  const since = history.ends.length
  await sleep(ms)
  return history.ends.length - since
}

async function repeated(times: number, everyMs: number, act: () => Promise<void>): Promise<void> {
  for (let i = 0; i < times; i++) {
    await act()
    await sleep(everyMs)
  }
}

/** Takes all connections that Postgres has left, for ten seconds. */
async function exhaust(url: string): Promise<void> {
  const held: pg.Client[] = []
  const until = performance.now() + 10_000
  while (performance.now() < until) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
      held.push(client)
    } catch {
      await sleep(100)
    }
  }
  await Promise.all(held.map((client) => client.end()))
}
