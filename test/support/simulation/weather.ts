import type { ThreadPolicy } from '../../../src/contract/thread-policy.ts'
import type { Random } from './random.ts'
import type { Choice, Simulation } from './simulation.ts'

/** What kind of day it is: how much goes on, and what goes wrong. */
export interface Weather {
  processes: number
  capacity: number
  operations: number
  faults: number
  /** Milliseconds that something is on its way at most. */
  patience: number
  threadPolicy: ThreadPolicy
  /** Seconds until a run expires. */
  runTtl: number
  /** Milliseconds after which a turn's start is committed by itself. */
  startAfterMs: number
  /** Models answer within milliseconds, and are known to: turns begin beside the commit of their run. */
  quick: boolean
  faultChoices(simulation: Simulation): Choice[]
}

type FaultKind = 'kill' | 'pause' | 'lose' | 'unheard' | 'away'

const kinds: FaultKind[][] = [
  [],
  ['kill'],
  ['pause'],
  ['lose'],
  ['unheard', 'kill'],
  ['away', 'lose'],
  ['kill', 'pause', 'lose', 'unheard', 'away'],
  ['kill', 'pause', 'lose', 'unheard', 'away'],
]

export function drawWeather(random: Random): Weather {
  const allowed = random.pick(kinds)
  return {
    processes: random.pick([1, 1, 1, 2, 2, 2, 3]),
    capacity: random.pick([1, 2, 8]),
    operations: random.between(10, 24),
    faults: allowed.length === 0 ? 0 : random.between(1, 3),
    patience: random.pick([5, 50, 400]),
    runTtl: random.chance(0.15) ? 4 : 600,
    threadPolicy: random.pick(['reject', 'reject', 'queue', 'queue', 'replace'] as const),
    startAfterMs: random.pick([1, 50, 300]),
    quick: random.chance(0.8),
    faultChoices: (simulation) => (allowed.length === 0 ? [] : faultChoices(simulation, allowed)),
  }
}

function faultChoices(simulation: Simulation, allowed: FaultKind[]): Choice[] {
  if (simulation.calm || simulation.faultsLeft === 0 || simulation.clients.operations.length < 2) return []
  const kind = simulation.random.pick(allowed)
  const act = faults[kind](simulation)
  if (!act) return []
  return [
    {
      weight: simulation.parked.some(({ sent }) => sent.name.startsWith('commit_thread_writes')) ? 1 : 0.2,
      what: `fault ${kind}`,
      act: () => ((simulation.faultsLeft -= 1), act()),
    },
  ]
}

const faults: Record<FaultKind, (simulation: Simulation) => (() => void | Promise<void>) | null> = {
  /** A process is killed; what it sent may still arrive. Another starts. */
  kill: (simulation) => {
    const alive = simulation.processes.filter(({ alive }) => alive)
    if (alive.length === 0) return null
    return async () => {
      const process = simulation.random.pick(alive)
      simulation.note(`kill ${process.name}`)
      process.kill()
      const { transaction } = simulation.database
      const mine = simulation.parked.filter(({ from }) => from === process)
      // A transaction ends with its connection; a statement of its own may still arrive.
      for (const item of mine) {
        const arrives = item.sent.result === null && item.sent.connection !== transaction
        if (!arrives || simulation.random.chance(0.5)) simulation.unpark(item)
      }
      if (transaction && process.holds(transaction)) await simulation.database.rollBack(transaction)
      await simulation.startProcess()
    }
  },
  /** A process stands still for longer than others wait for it, or not quite. */
  pause: (simulation) => {
    const awake = simulation.processes.filter((process) => process.ready)
    if (awake.length === 0 || simulation.database.transaction) return null
    return () => {
      const process = simulation.random.pick(awake)
      process.pausedUntil = simulation.now + simulation.random.between(500, 8_000)
      process.wallOffset -= simulation.random.between(0, 3_600_000)
      simulation.note(`pause ${process.name}`)
    }
  },
  /** A connection breaks, before its statement is done or before the answer comes. */
  lose: (simulation) => {
    const all = simulation.parked.filter(({ from, sent }) => from.awake && !sent.abandoned)
    const writes = all.filter(({ sent }) => sent.name.startsWith('commit_thread_writes'))
    const items = writes.length > 0 ? writes : all
    if (items.length === 0) return null
    return async () => {
      const item = simulation.random.pick(items)
      simulation.note(`lose ${item.from.name} ${item.sent.name} ${item.sent.result ? 'done' : 'not done'}`)
      simulation.breakConnection(item)
      const arrives = item.sent.result === null && item.sent.connection !== simulation.database.transaction
      if (!arrives || simulation.random.chance(0.5)) simulation.unpark(item)
      await simulation.database.rollBack(item.sent.connection)
    }
  },
  /** The connection on which a process hears of others breaks. */
  unheard: (simulation) => {
    const hearing = simulation.processes.filter(({ awake, listener }) => awake && listener?.open)
    if (hearing.length === 0) return null
    return () => {
      const process = simulation.random.pick(hearing)
      simulation.note(`unheard ${process.name}`)
      process.notices.length = 0
      process.run(() => process.listener?.break())
    }
  },
  /** The database breaks all connections and accepts none for a while. */
  away: (simulation) => async () => {
    simulation.databaseAwayUntil = simulation.now + simulation.random.between(50, 6_000)
    for (const item of simulation.parked) simulation.breakConnection(item)
    simulation.parked = []
    for (const process of simulation.processes) {
      process.notices.length = 0
      if (process.alive) process.run(() => process.listener?.break())
    }
    if (simulation.database.transaction) await simulation.database.rollBack(simulation.database.transaction)
  },
}
