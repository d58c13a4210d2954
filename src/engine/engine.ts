import { isTerminal } from '../contract/events.ts'
import type { RunRecord } from '../domain/records.ts'
import { isWaiting, type RunState } from '../domain/run.ts'
import { reasonOf } from '../log.ts'
import { purgeEvents } from '../store/event-log.ts'
import { purgeFiles } from '../store/file-uploads.ts'
import { purgeKeptAnswers } from '../store/idempotency.ts'
import { claimRuns, getRun } from '../store/runs.ts'
import { purgeThreads } from '../store/threads.ts'
import { Cadence } from './cadence.ts'
import { Heartbeat } from './heartbeat.ts'
import type { TaskDeps } from './run-task.ts'
import { Retention } from './retention.ts'
import { Sweep, sweepLimit } from './sweep.ts'
import { Tasks } from './tasks.ts'

export interface EngineOptions extends TaskDeps {
  /** Runs that this node executes at a time; more stay queued. */
  capacity: number
  /** Milliseconds between heartbeats. */
  beatMs: number
  /** Milliseconds between sweeps, and between purges. */
  sweepMs: number
  /** How often a turn may lose its lease before its run fails. */
  maxAttempts: number
  /** Seconds for which the events of a run can be read, counted from its end. */
  eventsKeptFor: number
  /**
   * Seconds without activity after which threads are deleted whose project says nothing about it; 0 keeps them, and null leaves all of it
   * to others.
   */
  retainThreadsFor: number | null
}

/** Rows of deleted threads removed in a round, of each kind. */
const purgeRows = 2_000

/** Pieces of deleted files removed in a round. */
const purgePieces = 100

/** Seconds for which a log outlives its time, for whoever is still reading it. */
const logGrace = 120

/** What handing back the runs of a stopping server may take: an abort and a commit each. */
const releaseMs = 3_000

/**
 * Executes the runs that this node owns, and sweeps for those that nobody looks after. The heartbeat, the sweep and the
 * purge of deleted rows go on side by side: none of them waits for another.
 */
export class Engine {
  readonly #options: EngineOptions
  readonly #tasks: Tasks
  readonly #sweep: Sweep
  readonly #heartbeat: Heartbeat
  readonly #retention: Retention | null
  readonly #sweeping: Cadence
  readonly #purging: Cadence
  readonly #unwatch: () => void
  /** Runs may be waiting that nobody has looked for. */
  #backlog = false
  #claiming = false
  #draining = false
  /** Of runs that were begun before they were announced. */
  readonly #begun = new WeakSet<RunState>()

  constructor(options: EngineOptions) {
    const { store, log, capacity, beatMs, sweepMs, maxAttempts } = options
    this.#options = options
    const onEnd = () => this.#goOnClaiming()
    const onFailure = (run: RunRecord, cause: unknown) => this.#abandon(run, cause)
    this.#tasks = new Tasks({ ...options, onFailure, onEnd })
    const takesRuns = () => !this.#draining && store.lease.held
    this.#sweep = new Sweep({ store, log, maxAttempts, tasks: this.#tasks, takesRuns })
    this.#heartbeat = new Heartbeat({
      store,
      log,
      beatMs,
      onLost: () => this.#giveUp(),
      onSilence: () => void this.#sweep.takeOver(),
    })
    const { retainThreadsFor } = options
    this.#retention = retainThreadsFor === null ? null : new Retention(store, log, retainThreadsFor)
    this.#sweeping = new Cadence(() => this.#sweepOnce(), sweepMs)
    this.#purging = new Cadence(() => this.#purge(), sweepMs)
    store.metrics.sources.executing = () => this.#tasks.size
    store.metrics.sources.capacity = () => capacity
    store.room.open(() => (takesRuns() ? capacity - this.#tasks.size : 0), onEnd)
    this.#unwatch = store.signals.watchAll((run) => this.#onChange(run))
    store.early.begin = (run, created) => this.#beginEarly(run, created)
  }

  /** Starts to beat, to sweep and to take what is waiting. */
  start(): void {
    for (const part of [this.#heartbeat, this.#sweeping, this.#purging]) part.start()
  }

  /** Runs executing on this node now. */
  get running(): number {
    return this.#tasks.size
  }

  /** One heartbeat, one sweep and one purge, begun after this call. */
  async sweep(): Promise<void> {
    for (const part of [this.#heartbeat, this.#sweeping, this.#purging]) await part.once()
  }

  /** Takes no more runs and gives the present ones `graceMs` to end. They stay this node's: it goes on beating. */
  async settle(graceMs: number): Promise<void> {
    this.#draining = true
    await this.#tasks.idle(graceMs)
  }

  /** Hands back what is left: an unfinished turn is undone and its run queued for whoever comes next. */
  async release(): Promise<void> {
    const { store, log } = this.#options
    // A run that is announced from now on is taken over by whoever finds that its owner has left.
    this.#unwatch()
    this.#tasks.release()
    await this.#tasks.idle(releaseMs)
    await Promise.all([this.#heartbeat, this.#sweeping, this.#purging].map((part) => part.stop()))
    // A node that cannot beat could not say this either.
    if (!store.lease.held) return
    await store
      .leave()
      .catch((error: unknown) => log.warn('the heartbeat was not withdrawn', { reason: reasonOf(error) }))
  }

  /** This node may be taken for dead soon: whatever it works on is broken off, and its late commits are refused. */
  #giveUp(): void {
    this.#sweep.suspectAll()
    this.#tasks.interrupt('gone')
  }

  #onChange(run: RunRecord): void {
    const { state } = run
    if (state.status === 'queued') {
      if (this.#begun.has(state)) return
      if (state.owner === this.#options.store.node) this.#begin(run, run.state.version === 1)
      // One that waits for its thread is nobody's to take.
      else if (!isWaiting(state)) void this.#claim()
      return
    }
    const task = this.#tasks.get(run.id)
    if (state.status === 'cancelling') task?.interrupt('cancel')
    else if (isTerminal(state.status)) {
      this.#logEnd(run)
      task?.interrupt('gone')
    }
  }

  /** Without the error's message, which may quote what somebody wrote. */
  #logEnd({ id: run, thread_id: thread, state }: RunRecord): void {
    const { log } = this.#options
    if (state.status === 'failed') log.warn('a run failed', { run, thread, code: state.error.code })
    else if (log.verbose) log.debug('a run ended', { run, thread, status: state.status })
  }

  /** Starts a run that is this node's; `atOnce`: it has been since it was created. */
  #begin(run: RunRecord, atOnce: boolean): void {
    const { store } = this.#options
    const { state, created_at } = run
    const first = state.turns === 0 && state.attempts === 0
    if (first) store.metrics.queuedSeconds.observe(atOnce ? 0 : store.clock.now() - created_at)
    if (store.lease.doubts(state)) void this.#beginIfOurs(run)
    else this.#tasks.start(run)
  }

  /** Starts a run that is being created here; it is announced as any other when that is done. */
  #beginEarly(run: RunRecord, created: Promise<boolean>): Promise<void> | null {
    if (this.#draining) return null
    const over = this.#tasks.startEarly(run, created)
    if (!over) return null
    this.#begun.add(run.state)
    this.#options.store.metrics.queuedSeconds.observe(0)
    void created.then((yes) => yes || this.#begun.delete(run.state))
    return over
  }

  /** Starts a run that others may have taken since it became this node's: then its model would be called for nothing. */
  async #beginIfOurs({ project_id, thread_id, id, state }: RunRecord): Promise<void> {
    const { store } = this.#options
    const places = store.room.take(1)
    try {
      const run = await getRun(store.pool, project_id, thread_id, id)
      if (run?.state.version === state.version && places.count > 0) this.#tasks.start(run)
    } catch {
      // The comparison of the sweep finds it.
    } finally {
      places.free()
    }
  }

  /** The store failed under a task: its run is handed back as soon as the store answers again. */
  async #abandon(run: RunRecord, cause: unknown): Promise<void> {
    const { log } = this.#options
    log.error('a run could not be carried on', {
      run: run.id,
      thread: run.thread_id,
      reason: reasonOf(cause),
    })
    try {
      await this.#sweep.handBack(run)
    } catch (error) {
      // The next sweeps find it again.
      log.error('a run could not be handed back', {
        run: run.id,
        thread: run.thread_id,
        reason: reasonOf(error),
      })
    }
  }

  /** There is more room than before: takes what was left waiting for it. */
  #goOnClaiming(): void {
    if (this.#backlog) void this.#claim()
  }

  /** Takes waiting runs as long as there are some, and room for them. */
  async #claim(): Promise<void> {
    // Who is claiming already looks once more, for what was announced behind its back.
    this.#backlog = true
    if (this.#claiming) return
    this.#claiming = true
    try {
      for (let room = true; room && this.#backlog;) room = await this.#claimSome()
    } catch (error) {
      this.#options.log.warn('waiting runs could not be claimed', { reason: reasonOf(error) })
    } finally {
      this.#claiming = false
    }
  }

  /** False if there was no room. */
  async #claimSome(): Promise<boolean> {
    const { store } = this.#options
    const places = store.room.take(sweepLimit)
    if (places.count === 0) return false
    this.#backlog = false
    const { term } = store.lease
    try {
      const runs = await claimRuns(store.pool, store.node, places.count)
      if (runs.length === places.count) this.#backlog = true
      for (const { state } of runs) store.lease.took(state, term)
      for (const run of runs) this.#begin(run, false)
    } catch (error) {
      this.#backlog = true
      throw error
    } finally {
      places.free()
    }
    return true
  }

  async #sweepOnce(): Promise<void> {
    await this.#sweep.run()
    await this.#claim()
  }

  /** What there is much of is purged on for as long as a round may take: it must not grow faster than it goes. */
  async #purge(): Promise<void> {
    const { store, log, eventsKeptFor, sweepMs } = this.#options
    const until = performance.now() + sweepMs
    const again = async (purge: () => Promise<boolean>) => {
      try {
        while ((await purge()) && performance.now() < until && !this.#draining);
      } catch (error) {
        log.warn('a purge failed', { reason: reasonOf(error) })
      }
    }
    await Promise.all([
      again(() => purgeThreads(store.pool, sweepLimit, purgeRows)),
      again(() => purgeFiles(store.pool, sweepLimit, purgePieces).then(() => false)),
      again(() => purgeKeptAnswers(store.pool, purgeRows)),
      again(() => purgeEvents(store.pool, eventsKeptFor + logGrace, sweepLimit, purgeRows)),
      this.#retention?.round(),
    ])
  }
}
