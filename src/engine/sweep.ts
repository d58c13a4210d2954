import type { OpenItems, RunRecord } from '../domain/records.ts'
import { leaseOf } from '../domain/run.ts'
import { noUsage } from '../domain/usage.ts'
import { reasonOf, type Log } from '../log.ts'
import { cancelReplaced } from '../store/enter-thread.ts'
import { applyRunEvent, applyToKnown, openItemsOfRuns } from '../store/run-writes.ts'
import { dueRuns, orphanedRuns, ownedRuns, type Orphan } from '../store/runs.ts'
import { within, type Store } from '../store/store.ts'
import { runsToReplace } from '../store/thread-queue.ts'
import { strandedThreads } from '../store/threads.ts'
import type { Tasks } from './tasks.ts'

/** Runs a sweep handles of each kind; the rest waits for the next. */
export const sweepLimit = 200

/** Of them, how many at a time. */
const width = 64

/** How long a sweep waits for its runs, in milliseconds; those that take longer are ended in their own time. */
const patienceMs = 1_000

/** Seconds after its deadline at which a run is expired over its owner's head: no write is kept waiting for so long. */
const expiryGrace = 15

interface SweepOptions {
  store: Store
  log: Log
  tasks: Tasks
  /** How often a turn may lose its lease before its run fails. */
  maxAttempts: number
  /** Whether this node takes runs now. */
  takesRuns: () => boolean
}

/** Looks after runs that nobody looks after: expired ones, those of dead nodes, and those that this node lost track of. */
export class Sweep {
  readonly #options: SweepOptions
  /** Runs that the database says are ours although no task has them, as of the last sweep; with their epochs. */
  #suspects = new Map<string, number>()
  /** Runs that a sweep is working on. */
  readonly #busy = new Set<string>()

  constructor(options: SweepOptions) {
    this.#options = options
  }

  /** One sweep. What fails is logged, for one run or one kind of work, and hinders nothing else. */
  async run(): Promise<void> {
    await this.#attempt('expired runs', () => this.#expireDue())
    await this.takeOver()
    await this.#attempt('threads that nobody holds', () => this.#promote())
    await this.#attempt('replaced runs', () => this.#cancelReplaced())
    await this.#attempt('runs of this node', () => this.#reconcile())
  }

  /** Queues all runs of nodes that fell silent; also beside a sweep, since their clients wait. */
  takeOver(): Promise<void> {
    return this.#attempt('runs of silent nodes', () => this.#takeOrphans())
  }

  /** Queues a run of this node again whose turn cannot go on under its lease; it fails if that has happened too often. */
  async handBack(run: RunRecord): Promise<void> {
    const { store, maxAttempts } = this.#options
    const lease = leaseOf(run.state)
    if (lease === null) return
    const done = await applyRunEvent(store, run, () => ({
      event: { type: 'lose_lease', lease, maxAttempts, now: store.clock.now() },
    }))
    if (done.kind === 'applied') store.metrics.runsRecovered.with('lost_track').add()
  }

  /** The present tasks are being given up: their runs need no grace before they are handed back. */
  suspectAll(): void {
    for (const task of this.#options.tasks.all()) this.#suspects.set(task.runId, task.epoch)
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#options.log.warn('a part of a sweep failed', { part: what, reason: reasonOf(error) })
    }
  }

  /** Works on runs side by side: one whose thread is held by someone keeps no other waiting, nor the next sweep. */
  async #each<T extends { run: RunRecord }>(all: T[], work: (each: T) => Promise<unknown>): Promise<void> {
    const waiting = all.filter(({ run }) => !this.#busy.has(run.id))
    for (const { run } of waiting) this.#busy.add(run.id)
    const worker = async () => {
      for (let each = waiting.shift(); each; each = waiting.shift()) {
        const { run } = each
        await work(each).catch((error: unknown) =>
          this.#options.log.warn('a sweep could not look after a run', {
            run: run.id,
            thread: run.thread_id,
            reason: reasonOf(error),
          }),
        )
        this.#busy.delete(run.id)
      }
    }
    await within(patienceMs, Promise.all(Array.from({ length: width }, worker)))
  }

  async #expireDue(): Promise<void> {
    const { store, tasks } = this.#options
    const due = await dueRuns(store.pool, store.node, store.lease.silence, expiryGrace, sweepLimit)
    const now = store.clock.now()
    // A run of ours knows its unfinished text, so its own task ends it.
    for (const { id } of due) {
      const task = tasks.get(id)
      if (task && now >= task.deadline) task.interrupt('expire')
    }
    await this.#each(
      due.filter(({ id }) => !tasks.get(id)).map((run) => ({ run })),
      ({ run }) =>
        applyRunEvent(store, run, () => ({
          event: { type: 'expire', usage: noUsage, now: store.clock.now() },
        })),
    )
  }

  async #takeOrphans(): Promise<void> {
    const { store, takesRuns } = this.#options
    const seen = new Set<string>()
    while (takesRuns()) {
      const orphans = await orphanedRuns(store.pool, store.node, store.lease.silence, sweepLimit)
      const fresh = orphans.filter(({ run }) => !seen.has(run.id))
      if (fresh.length === 0) return
      for (const { run } of fresh) seen.add(run.id)
      await this.#takeAll(fresh)
      // A node that dies with thousands leaves none of them to later sweeps; those that are stuck come back with each look.
      if (orphans.length < sweepLimit) return
    }
  }

  async #takeAll(orphans: Orphan[]): Promise<void> {
    const { store } = this.#options
    // Their owner is dead, so that nobody adds to it; what changes them all the same, changes their version.
    const openOf = await openItemsOfRuns(
      store,
      orphans.map(({ run }) => run),
    )
    await this.#each(orphans, (orphan) => this.#take(orphan, openOf(orphan.run)))
  }

  /** One that was written behind the back of a node that left in order has lost nothing. */
  async #take({ run, ownerLeft }: Orphan, open: OpenItems): Promise<void> {
    const { store, log, maxAttempts } = this.#options
    const lease = leaseOf(run.state)
    if (lease === null) return
    log.warn('taking over a run of a node that fell silent', { run: run.id, thread: run.thread_id })
    const now = store.clock.now()
    const untouched = ownerLeft && run.state.status === 'queued'
    const done = await applyToKnown(
      store,
      run,
      open,
      untouched ? { type: 'release', lease, now } : { type: 'lose_lease', lease, maxAttempts, now },
    )
    if (done) store.metrics.runsRecovered.with('silent_server').add()
  }

  /** Threads for which something waits go on, also those that were left by a server which knows of no waiting. */
  async #promote(): Promise<void> {
    const { store } = this.#options
    const stranded = await strandedThreads(store.pool, sweepLimit)
    await within(patienceMs, Promise.all(stranded.map((thread) => store.write({ kind: 'promote', thread }))))
  }

  /** A run that is to be replaced is cancelled by whoever asked for it, unless that server died in between. */
  async #cancelReplaced(): Promise<void> {
    const { store } = this.#options
    const replaced = await runsToReplace(store.pool, sweepLimit)
    await within(patienceMs, Promise.all(replaced.map((run) => cancelReplaced(store, run))))
  }

  /**
   * Compares what the database says is ours with what is in memory. Tasks learn here what another node decided
   * about their runs. Runs without a task are handed back: a commit or its answer was lost, or their task was given
   * up; with one sweep of grace, since a run is committed a moment before it is announced.
   */
  async #reconcile(): Promise<void> {
    const { store, tasks } = this.#options
    const present = tasks.all()
    const owned = new Map((await ownedRuns(store.pool, store.node)).map((run) => [run.id, run]))
    for (const task of present) {
      const run = owned.get(task.runId)
      if (run === undefined || run.state.epoch > task.epoch) task.interrupt('gone')
      else if (run.state.status === 'cancelling') task.interrupt('cancel')
    }
    const missing = [...owned.values()].filter((run) => !tasks.has(run))
    const lost = missing.filter(({ id, state }) => this.#suspects.get(id) === state.epoch)
    this.#suspects = new Map(missing.map(({ id, state }) => [id, state.epoch]))
    await this.#each(
      lost.map((run) => ({ run })),
      ({ run }) => this.handBack(run),
    )
  }
}
