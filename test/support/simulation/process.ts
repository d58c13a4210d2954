import type pg from 'pg'
import type { ThreadPolicy } from '../../../src/contract/thread-policy.ts'
import { Engine } from '../../../src/engine/engine.ts'
import { createLog } from '../../../src/log.ts'
import type { Model } from '../../../src/models/model.ts'
import { openStore, type Store } from '../../../src/store/store.ts'
import { Connection, Pool, type Sent, type Wire } from './driver.ts'
import { runInside, type Outside } from './outside.ts'
import type { Random } from './random.ts'
import { Timers } from './timers.ts'

/** What a simulated process is started with. */
export interface ProcessOptions {
  name: string
  random: Random
  /** Milliseconds of the simulation. */
  now: () => number
  model: Model
  send: (from: Process, sent: Sent) => void
  accepts: () => boolean
  /** What the statements that a start begins with are answered: the schema is there already. */
  migrated: (text: string) => pg.QueryResultRow[]
  capacity: number
  /** Seconds. */
  silence: number
  /** What becomes of those who find a thread held. */
  threadPolicy: ThreadPolicy
  /** Seconds. */
  runTtl: number
  /** Milliseconds after which a turn's start is committed by itself. */
  startAfterMs: number
  /** It alone writes to the database. */
  alone: boolean
}

/** Milliseconds. A sweep takes more statements than a run does. */
const cadence = { beatMs: 1_000, sweepMs: 1_500 }

/** A server process of the simulation: the real store and engine, with an outside of its own. */
export class Process implements Outside {
  readonly name: string
  readonly timers: Timers
  readonly #options: ProcessOptions
  readonly #bootedAt: number
  readonly #wire: Wire
  /** Milliseconds: no clock of a node says anything about another's. */
  readonly #monotonicAtBoot: number
  wallOffset: number
  /** It is there; false once it was killed. */
  alive = true
  /** Until then it does nothing. */
  pausedUntil = -Infinity
  store: Store | null = null
  engine: Engine | null = null
  /** Runs that it began to execute before they were there. */
  early = 0
  /** Connections that hear notices, and what they have not heard yet. */
  listener: Connection | null = null
  readonly notices: string[] = []

  constructor(options: ProcessOptions) {
    const { random, now } = options
    this.#options = options
    this.name = options.name
    this.timers = new Timers(now)
    this.#bootedAt = now()
    this.#monotonicAtBoot = random.between(0, 1_000_000)
    this.wallOffset = random.between(-3_600_000, 3_600_000)
    const { accepts, send } = options
    this.#wire = {
      now,
      accepts,
      send: (sent) => send(this, sent),
      setTimeout: (work, ms) => {
        const timer = this.timers.start(work, ms, false)
        return () => void this.timers.stop(timer)
      },
    }
  }

  /** Runs `work` as code of this process. */
  run<T>(work: () => T): T {
    return runInside(this, work)
  }

  get threadPolicy(): ThreadPolicy {
    return this.#options.threadPolicy
  }

  get runTtl(): number {
    return this.#options.runTtl
  }

  get awake(): boolean {
    return this.alive && this.pausedUntil <= this.#options.now()
  }

  get ready(): boolean {
    return this.awake && this.engine !== null
  }

  /** Opens the store and starts the engine; what that sends is scheduled like all else. */
  start(): void {
    this.run(() => this.#start()).catch(() => this.kill())
  }

  async #start(): Promise<void> {
    const { model, capacity, silence, alone } = this.#options
    const log = createLog('silent')
    const store = await openStore({ connection: { connectionString: '' }, log, silence, alone })
    this.store = store
    this.engine = new Engine({
      store,
      modelOf: () => model,
      windowOf: () => 100_000,
      log,
      capacity,
      ...cadence,
      startAfterMs: this.#options.startAfterMs,
      maxAttempts: 3,
      maxTurns: 200,
      eventsKeptFor: 3_600,
      // One of the servers does it, by a name that no seed decides.
      retainThreadsFor: null,
    })
    const { begin } = store.early
    store.early.begin = (run, created) => {
      this.early += 1
      return begin(run, created)
    }
    this.engine.start()
  }

  /** As if its model had just answered at once. */
  findModelQuick(): void {
    this.run(() => {
      const run = { project_id: '', thread_id: '', id: '' }
      this.store?.endings.begin(run, 'mock')
      this.store?.endings.over(run.id, true)
      this.store?.endings.end(run.id)
    })
  }

  /** As SIGKILL: nothing of it goes on. */
  kill(): void {
    this.alive = false
    this.timers.clear()
    this.listener = null
    this.notices.length = 0
  }

  monotonic(): number {
    return this.#monotonicAtBoot + this.#options.now() - this.#bootedAt
  }

  wall(): number {
    return 1_800_000_000_000 + this.wallOffset + this.#options.now()
  }

  random(): number {
    return this.#options.random.next()
  }

  startTimer(work: () => void, ms: number, every: boolean) {
    return this.timers.start(work, ms, every)
  }

  stopTimer(timer: unknown): boolean {
    return this.timers.stop(timer)
  }

  createPool(options: pg.PoolConfig): Pool {
    return new Pool(this.#wire, options)
  }

  /** Whether the connection is one of its own. */
  holds(connection: Connection): boolean {
    return connection.wire === this.#wire
  }

  createClient(options: pg.ClientConfig): Connection | MigratedClient {
    if (options.application_name === 'threadmill migrate') return new MigratedClient(this.#options.migrated)
    return new Connection(this.#wire, options as { query_timeout?: number })
  }
}

/** For the migration at a start: it finds the schema as it should be. */
class MigratedClient {
  readonly #answer: (text: string) => pg.QueryResultRow[]
  constructor(answer: (text: string) => pg.QueryResultRow[]) {
    this.#answer = answer
  }
  /** Its connection does not break. */
  on(): void {}
  async connect(): Promise<void> {}
  async end(): Promise<void> {}
  async query(text: string): Promise<{ rows: pg.QueryResultRow[] }> {
    return { rows: this.#answer(text) }
  }
}
