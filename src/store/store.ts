import { hostname } from 'node:os'
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type pg from 'pg'
import type { Log } from '../log.ts'
import { Metrics, type PoolState } from '../observe/metrics.ts'
import type { RunTraces } from '../observe/run-traces.ts'
import { keepAssistants } from './assistants.ts'
import { committedWrites } from './committed-writes.ts'
import { DbClock, type Monotonic } from './clock.ts'
import { EarlyTurns } from './early-turns.ts'
import { GroupCommit, type Lane } from './group-commit.ts'
import { migrate, serves } from './migrate.ts'
import { NodeLease } from './node-lease.ts'
import { beat, forgetNodes, silenceOthers } from './nodes.ts'
import { Endings } from './endings.ts'
import { Notices } from './notices.ts'
import { observedLane } from './observed-lane.ts'
import { Room } from './places.ts'
import { createPool, hadNoRoom, type Connection } from './pool.ts'
import { Promotions, type Followed } from './promotion.ts'
import { Recent } from './recent.ts'
import type { RunRecord } from '../domain/records.ts'
import type { RunKey } from './run-writes.ts'
import { getRun } from './runs.ts'
import { Signals } from './signals.ts'
import { commitThreadWrites, type ThreadWrite, type WriteOutcome } from './thread-write.ts'
import { TokenLimits } from './usage-days.ts'
import { Writes } from './writes.ts'

export type Readiness = 'ready' | 'database unavailable' | 'database full' | 'database too new'

export interface Store {
  readonly pool: pg.Pool
  readonly clock: DbClock
  readonly signals: Signals
  /** This server process, as it names itself in leases. */
  readonly node: string
  /** How long this node may go on with its runs. */
  readonly lease: NodeLease
  /** For how many more runs. */
  readonly room: Room
  readonly recent: Recent
  /** Runs that are executed while they are being created. */
  readonly early: EarlyTurns
  /** Turns that readers of a run may wait for. */
  readonly endings: Endings
  /** Who may use how many tokens a day. */
  readonly tokenLimits: TokenLimits
  /** What this server counts of itself. */
  readonly metrics: Metrics
  /** How runs are told as traces, if they are. */
  readonly traces: RunTraces | null
  /** A run as it is now, or null if there is none. */
  readRun(key: RunKey): Promise<RunRecord | null>
  /** Commits a write to a thread, together with the others of the same moment. */
  write(write: ThreadWrite): Promise<WriteOutcome>
  /** Resolves when a write of the run would be sent at once, and what has come in was looked at. */
  due(run: string): Promise<void>
  /** Renews this node's heartbeat on a connection of its own, and with it the lease and the clock; answers who is silent. */
  beat(): Promise<string[]>
  /** Says that this node is gone for good: what it still owns may be taken at once. Nothing may beat any more. */
  leave(): Promise<void>
  /**
   * Whether requests can be served now: Postgres answers a query, has refused no write of late because it had no room for it,
   * and its schema still serves this version.
   */
  readiness(): Promise<Readiness>
  /** Waits for the writes under way and closes all connections. */
  close(): Promise<void>
}

/** Milliseconds. A flush holds up all others, so one locked row must not hold up a flush: it is tried again. */
const bounds = {
  reads: { statement: 8_000, lock: 4_000, dead: 1_000 },
  writes: { statement: 4_000, lock: 300, dead: 1_000 },
  // A connection that is dead without a word is given up in time to beat on a new one within the lease.
  beats: { statement: 900, lock: 400, dead: 300 },
}

/** Milliseconds for which a write that found no room counts. */
const noRoomMs = 2_000

/** Silences after which the row of a node that fell silent is removed. */
const forgottenAfter = 100

/** How long closing waits for the writes under way, and then for the connections. */
const closingMs = 3_000

export interface StoreOptions {
  connection: Connection
  log: Log
  monotonic?: Monotonic
  /** Seconds without a heartbeat after which a node counts as dead. */
  silence?: number
  /** No other process writes to the database, as long as this one has it. */
  alone?: boolean
  /** Milliseconds that a read of a run waits for its end. */
  readWaitMs?: number
  /** Milliseconds that the commit of a run waits for what its first turn does. */
  createWaitMs?: number
  metrics?: Metrics
  traces?: RunTraces | null
}

/** Migrates the database and opens the pools. Throws StoreStartError, or pg's own error when it cannot connect. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { connection, log, monotonic = () => performance.now() } = options
  const { metrics = new Metrics(), traces = null } = options
  const schema = await migrate(connection)
  // Flushes and heartbeats never wait behind reads.
  const pool = createPool(connection, { max: 10, name: 'reads', log, bounds: bounds.reads })
  const flushPool = createPool(connection, { max: 1, name: 'writes', log, bounds: bounds.writes })
  const beatPool = createPool(connection, { max: 1, name: 'heartbeat', log, bounds: bounds.beats })
  const room = new Room()
  const recent = new Recent(options.alone ?? false)
  if (options.alone) keepAssistants(pool)
  const node = `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`
  const lease = new NodeLease(monotonic, options.silence)
  const firstBeat = monotonic()
  const { now } = await beat(pool, node, lease.silence)
  const clock = new DbClock(now, monotonic)
  lease.renew(firstBeat)
  // A server that crashes again and again does not leave in order.
  await forgetNodes(beatPool, null, lease.silence * forgottenAfter)
  // Nobody else has the database, so whoever beat in it before is dead.
  if (options.alone) await silenceOthers(pool, node)
  const signals = new Signals()
  const notices = new Notices({ connection, pool, signals, node, log })
  notices.start()
  const tell = (followed: Followed) => writes.followed(followed)
  const promotions = new Promotions({ pool: flushPool, room, lease, node, now: () => clock.now(), tell })
  const commits = new GroupCommit(observedLane(laneOf(flushPool, promotions), metrics))
  const pools = { reads: pool, writes: flushPool, heartbeat: beatPool }
  metrics.sources.pools = () => Object.entries(pools).map(([name, one]) => poolState(name, one))
  let noRoomAt = -Infinity
  const failed = (error: unknown) => {
    if (hadNoRoom(error)) noRoomAt = monotonic()
  }
  const early = new EarlyTurns(options.createWaitMs)
  const endings = new Endings(monotonic, options.readWaitMs)
  const tokenLimits = new TokenLimits()
  const { alone = false } = options
  const observers = { recent, notices, signals, lease, metrics, traces, failed }
  const writes = new Writes({ commits, early, endings, tokenLimits, alone, ...observers })
  return {
    pool,
    clock,
    signals,
    node,
    lease,
    room,
    recent,
    early,
    endings,
    tokenLimits,
    metrics,
    traces,
    readRun: async (key) =>
      recent.runs.get(key) ?? (await getRun(pool, key.project_id, key.thread_id, key.id)),
    write: (write) => writes.write(write),
    due: (run) => writes.due(run),
    async beat() {
      const sentAt = monotonic()
      const { now, silent } = await beat(beatPool, node, lease.silence)
      clock.sync(now, sentAt)
      lease.renew(sentAt)
      return silent
    },
    leave: () => forgetNodes(beatPool, node, lease.silence * forgottenAfter),
    readiness: async () => {
      if (monotonic() - noRoomAt <= noRoomMs) return 'database full'
      return serves(pool, schema).then(
        (yes) => (yes ? 'ready' : 'database too new'),
        () => 'database unavailable',
      )
    },
    async close() {
      await within(closingMs, commits.idle())
      // A connection that is dead without a word never ends.
      await within(closingMs, Promise.all([notices.close(), pool.end(), flushPool.end(), beatPool.end()]))
    },
  }
}

function poolState(name: string, { options, totalCount, idleCount, waitingCount }: pg.Pool): PoolState {
  return { name, most: options.max, total: totalCount, idle: idleCount, waiting: waitingCount }
}

function laneOf(pool: pg.Pool, promotions: Promotions): Lane {
  return {
    commit: (batch, { promotes, waits }) =>
      promotes ? promotions.commit(batch, waits) : commitThreadWrites(pool, batch, waits),
    async committed(batch) {
      const done = await committedWrites(pool, batch)
      await promotions.lookUp(batch)
      return done
    },
  }
}

/** Waits for `work`, `ms` at most. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  await Promise.race([work, setTimeout(ms, undefined, { signal: timer.signal }).catch(() => {})])
  timer.abort()
}
