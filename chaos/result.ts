import type { Cluster } from './cluster.ts'
import type { Injected } from './faults.ts'
import type { Cancel, History, Strike } from './history.ts'
import type { ModelCall } from './model.ts'
import type { NodeProcess } from './node-process.ts'

// What a campaign tells of itself in the end.

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
  /** Runs that failed because their turn lost its server too often. */
  failed: number
  /** Answers of commits that were lost. */
  commitsLost: number
  /** Milliseconds from a kill to the next model call of each turn that it broke off; of a single server, from its start. */
  recovery: Spread
  /** The same of all faults. */
  recoveryOfAll: Spread
  /** Milliseconds from a kill until the server answers again. */
  restart: Spread
  /** Milliseconds from a cancel to the end of its run, faults or not. */
  cancel: Spread
  /** The same of those beside which nothing was broken. */
  cancelUndisturbed: Spread
  /** How often a server that was not killed could not beat in time and left its runs to others. */
  gaveUp: number
  /** Starts in vain: Postgres could not be reached just then. */
  startsInVain: number
  crashes: string[]
  violations: string[]
}

interface Spread {
  count: number
  p50: number | null
  p99: number | null
  longest: number | null
}

/** All but what the judge says. */
export function resultOf(
  { seed, nodes: count }: { seed: number; nodes: number },
  { nodes, model }: Cluster,
  history: History,
  injected: Injected,
) {
  const kills = nodes.flatMap((node) => node.kills)
  return {
    seed,
    nodes: count,
    jobs: history.ends.length,
    modelCalls: model.calls.length,
    kills: kills.length,
    faults: Object.fromEntries(injected.counts),
    stopPoints: Object.fromEntries([...injected.struck].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    commitsLost: injected.counts.get('lose answers of commits') ?? 0,
    recovery: spread(recoveries(model.calls, injected.strikes, nodes, true)),
    recoveryOfAll: spread(recoveries(model.calls, injected.strikes, nodes, false)),
    restart: spread(kills.flatMap(({ at, backAt }) => (backAt === null ? [] : [backAt - at]))),
    cancel: spread(history.cancels.map(lasted)),
    cancelUndisturbed: spread(
      history.cancels.filter((one) => !injected.strikes.some((strike) => disturbs(strike, one))).map(lasted),
    ),
    gaveUp: nodes.reduce((sum, node) => sum + node.gaveUp.length, 0),
    startsInVain: nodes.reduce((sum, node) => sum + node.startsInVain, 0),
    crashes: nodes.flatMap(({ crashes }) => crashes),
  }
}

const lasted = ({ sentAt, endedAt }: Cancel) => endedAt - sentAt

/** What a fault leaves behind, a run without its server above all, is over after so many milliseconds. */
const aftermath = 6_000

function disturbs({ at, until }: Strike, { sentAt, endedAt }: Cancel): boolean {
  return at <= endedAt && until + aftermath >= sentAt
}

/** From the last fault that hit a call's server to the next call for the same turn. */
function recoveries(
  calls: readonly ModelCall[],
  strikes: readonly Strike[],
  nodes: readonly NodeProcess[],
  ofKills: boolean,
): number[] {
  const turns = Map.groupBy(calls, ({ job, turn }) => `${job} ${turn}`)
  return [...turns.values()].flatMap((of) =>
    of.slice(1).flatMap((next, i) => {
      const before = of[i]
      const strike = strikes.findLast(
        ({ node, at, until }) =>
          (node === null || node === before?.node) && at <= next.at && until >= (before?.at ?? 0),
      )
      if (!strike || (ofKills && !strike.kind.startsWith('kill at'))) return []
      const killed = nodes.flatMap((node) => node.kills).find(({ at }) => Math.abs(at - strike.at) < 50)
      const from = nodes.length === 1 ? (killed?.startedAt ?? strike.at) : strike.at
      return [next.at - from]
    }),
  )
}

function spread(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
    return value === undefined ? null : Math.round(value)
  }
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), longest: at(1) }
}
