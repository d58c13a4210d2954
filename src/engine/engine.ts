import { isTerminal } from '../contract/events.ts'
import type { RunRecord } from '../domain/records.ts'
import { leaseOf } from '../domain/run.ts'
import { noUsage } from '../domain/usage.ts'
import { reasonOf } from '../log.ts'
import { purgeEvents } from '../store/event-log.ts'
import { forgetNodes } from '../store/nodes.ts'
import { applyRunEvent } from '../store/run-writes.ts'
import { claimRuns, dueRuns, orphanedRuns, ownedRuns } from '../store/runs.ts'
import { purgeThreads } from '../store/threads.ts'
import { RunTask, type TaskDeps } from './run-task.ts'

export interface EngineOptions extends TaskDeps {
  /** Runs that this node executes at a time; more stay queued. */
  capacity: number
  /** Milliseconds between heartbeats; each also sweeps. */
  beatMs: number
  /** Seconds without a heartbeat after which another node counts as dead. */
  silence: number
  /** How often a turn may lose its lease before its run fails. */
  maxAttempts: number
  /** Seconds for which the events of a run can be read, counted from its end. */
  eventsKeptFor: number
}

/** Rows a sweep handles at a time; the rest waits for the next beat. */
const sweepLimit = 200

/** Rows of deleted threads removed a beat, of each kind. */
const purgeRows = 2_000

/** Seconds for which a log outlives its time, for whoever is still reading it. */
const logGrace = 120

/** What handing back the runs of a stopping server may take: an abort and a commit each. */
const releaseMs = 3_000

/** Executes the runs that this node owns, and sweeps for those that nobody looks after. */
export class Engine {
  readonly #options: EngineOptions
  readonly #tasks = new Map<string, { task: RunTask; done: Promise<void> }>()
  readonly #unwatch: () => void
  #timer: NodeJS.Timeout | null = null
  #sweeping: Promise<void> | null = null
  /** Runs that the database says are ours although no task has them, as of the last beat. */
  #suspects = new Set<string>()
  #backlog = true
  #claiming = false
  #draining = false

  constructor(options: EngineOptions) {
    this.#options = options
    const { store } = options
    store.hasRoom = () => !this.#draining && this.#tasks.size < options.capacity
    this.#unwatch = store.signals.watchAll((run) => this.#onChange(run))
  }

  /** Starts the heartbeat and takes what is waiting. */
  start(): void {
    this.#timer = setInterval(() => {
      // A slow beat is not followed by a queue of them.
      if (!this.#sweeping) void this.sweep()
    }, this.#options.beatMs)
    void this.sweep()
  }

  /** Runs executing on this node now. */
  get running(): number {
    return this.#tasks.size
  }

  /** One heartbeat with its sweep, begun after this call: expired runs, runs of dead nodes, unowned runs, deleted threads. */
  async sweep(): Promise<void> {
    while (this.#sweeping) await this.#sweeping
    this.#sweeping = this.#sweepOnce()
      .catch((error: unknown) => this.#options.log.warn('a sweep failed', { reason: reasonOf(error) }))
      .finally(() => (this.#sweeping = null))
    await this.#sweeping
  }

  /** Takes no more runs and gives the present ones `graceMs` to end. */
  async settle(graceMs: number): Promise<void> {
    this.#draining = true
    if (this.#timer) clearInterval(this.#timer)
    await this.#sweeping
    await this.#idle(graceMs)
  }

  /** Hands back what is left: an unfinished turn is undone and its run queued for whoever comes next. */
  async release(): Promise<void> {
    for (const { task } of this.#tasks.values()) task.interrupt('release')
    await this.#idle(releaseMs)
    this.#unwatch()
    const { store, silence } = this.#options
    await forgetNodes(store.pool, store.node, silence * 100)
  }

  /** Resolves when no task is left, or after `ms`. */
  async #idle(ms: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    await Promise.race([Promise.all([...this.#tasks.values()].map(({ done }) => done)), late])
    clearTimeout(timer)
  }

  #onChange(run: RunRecord): void {
    const running = this.#tasks.get(run.id)
    const { status } = run.state
    if (running) {
      if (status === 'cancelling') running.task.interrupt('cancel')
      else if (isTerminal(status)) running.task.interrupt('gone')
      // Outputs came in before the turn that asked for them has left: the next one follows it.
      else if (this.#isOurs(run) && run.state.epoch > running.task.epoch) {
        void running.done.then(() => this.#execute(run))
      }
    } else if (status === 'queued') {
      if (this.#isOurs(run)) this.#execute(run)
      else this.#backlog = true
    }
  }

  #isOurs(run: RunRecord): boolean {
    return run.state.status === 'queued' && run.state.owner === this.#options.store.node
  }

  #execute(run: RunRecord): void {
    const task = new RunTask(this.#options, run)
    const done = task
      .execute()
      .catch((error: unknown) => this.#abandon(run, error))
      .finally(() => this.#ended(run.id))
    this.#tasks.set(run.id, { task, done })
  }

  #ended(runId: string): void {
    this.#tasks.delete(runId)
    if (this.#backlog) void this.#claim()
  }

  /** The store failed under a task: its run is handed back as soon as the store answers again. */
  async #abandon(run: RunRecord, cause: unknown): Promise<void> {
    const { log } = this.#options
    log.error('a run could not be carried on', { run: run.id, reason: reasonOf(cause) })
    try {
      await this.#loseLease(run)
    } catch (error) {
      // The next beats find it again.
      log.error('a run could not be handed back', { run: run.id, reason: reasonOf(error) })
    }
  }

  async #claim(): Promise<void> {
    const { store, capacity, log } = this.#options
    if (this.#claiming || !store.hasRoom()) return
    this.#claiming = true
    try {
      const room = capacity - this.#tasks.size
      const runs = await claimRuns(store.pool, store.node, Math.min(room, sweepLimit))
      this.#backlog = runs.length === Math.min(room, sweepLimit)
      for (const run of runs) this.#execute(run)
    } catch (error) {
      log.warn('waiting runs could not be claimed', { reason: reasonOf(error) })
    } finally {
      this.#claiming = false
    }
  }

  async #sweepOnce(): Promise<void> {
    const { store } = this.#options
    await store.beat()
    await this.#expireDue()
    await this.#takeOrphans()
    await this.#reconcile()
    if (!this.#draining) await this.#claim()
    await purgeThreads(store.pool, sweepLimit, purgeRows)
    await purgeEvents(store.pool, this.#options.eventsKeptFor + logGrace, sweepLimit, purgeRows)
  }

  async #expireDue(): Promise<void> {
    const { store } = this.#options
    for (const run of await dueRuns(store.pool, sweepLimit)) {
      const running = this.#tasks.get(run.id)
      // A run of ours knows its unfinished text, so its own task ends it.
      if (running) {
        if (store.clock.now() >= running.task.deadline) running.task.interrupt('expire')
        continue
      }
      await applyRunEvent(store, run, () => ({
        event: { type: 'expire', usage: noUsage, now: store.clock.now() },
      }))
    }
  }

  /**
   * Compares what the database says is ours with what is in memory. Tasks learn here what another node decided
   * about their runs. Runs without a task are handed back: a commit or its answer was lost; with one beat of
   * grace, since a run is committed a moment before it is announced.
   */
  async #reconcile(): Promise<void> {
    const { store } = this.#options
    const tasks = [...this.#tasks.values()].map(({ task }) => task)
    const owned = new Map((await ownedRuns(store.pool, store.node)).map((run) => [run.id, run]))
    for (const task of tasks) {
      const run = owned.get(task.runId)
      if (run === undefined) task.interrupt('gone')
      else if (run.state.status === 'cancelling') task.interrupt('cancel')
    }
    const missing = [...owned.values()].filter((run) => !this.#tasks.has(run.id))
    for (const run of missing) if (this.#suspects.has(run.id)) await this.#loseLease(run)
    this.#suspects = new Set(missing.map((run) => run.id))
  }

  async #loseLease(run: RunRecord): Promise<void> {
    const { store, maxAttempts } = this.#options
    const lease = leaseOf(run.state)
    if (lease === null) return
    await applyRunEvent(store, run, () => ({
      event: { type: 'lose_lease', lease, maxAttempts, now: store.clock.now() },
    }))
    this.#backlog = true
  }

  async #takeOrphans(): Promise<void> {
    const { store, silence, log } = this.#options
    for (const run of await orphanedRuns(store.pool, store.node, silence, sweepLimit)) {
      log.warn('taking over a run of a node that fell silent', { run: run.id })
      await this.#loseLease(run)
    }
  }
}
