import type { RunRecord } from '../domain/records.ts'
import { within } from '../store/store.ts'
import { RunTask, type Interruption, type TaskDeps } from './run-task.ts'

interface Entry {
  task: RunTask
  done: Promise<void>
  /** The same run under a later lease, which waits until the task has left. */
  next: RunRecord | null
  /** Whether the run is in the store: its first turn may begin before. */
  stored: boolean
}

export interface TasksOptions extends TaskDeps {
  /** The store failed under a task. Never rejects; the task counts until it resolves. */
  onFailure: (run: RunRecord, cause: unknown) => Promise<void>
  /** A task has left. */
  onEnd: () => void
}

/** The tasks of this node: at most one a run, so that a task that is slow to leave is never lost sight of. */
export class Tasks {
  readonly #options: TasksOptions
  readonly #entries = new Map<string, Entry>()
  #releasing = false

  constructor(options: TasksOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#entries.size
  }

  /** Those whose runs are in the store. */
  all(): RunTask[] {
    return [...this.#entries.values()].filter(({ stored }) => stored).map(({ task }) => task)
  }

  get(runId: string): RunTask | undefined {
    return this.#entries.get(runId)?.task
  }

  /** Whether the run is executed here under its present lease, or will be when its former task has left. */
  has({ id, state }: RunRecord): boolean {
    const entry = this.#entries.get(id)
    return (entry?.stored && entry.task.epoch === state.epoch) || entry?.next?.state.epoch === state.epoch
  }

  /**
   * Executes a run that is being created, as this node's; resolves when that is over. If it was not `created`, it is broken off. Null if
   * this node takes no runs.
   */
  startEarly(run: RunRecord, created: Promise<boolean>): Promise<void> | null {
    const entry = this.#begin(run, false)
    if (!entry) return null
    void created.then((yes) => {
      entry.stored = yes
      if (!yes) entry.task.interrupt('gone')
    })
    return entry.done
  }

  /** Executes a run that this node owns; after its former task, if there is one under an earlier lease. */
  start(run: RunRecord): void {
    const entry = this.#entries.get(run.id)
    if (!entry) return void this.#begin(run, true)
    const latest = entry.next?.state.epoch ?? (entry.stored ? entry.task.epoch : 0)
    if (run.state.epoch <= latest) return
    entry.next = run
    entry.task.interrupt('gone')
  }

  /** Breaks all off. */
  interrupt(reason: Interruption): void {
    for (const { task } of this.#entries.values()) task.interrupt(reason)
  }

  /** Hands back all runs, and each that is started from now on. */
  release(): void {
    this.#releasing = true
    this.interrupt('release')
  }

  /** Resolves when no task is left, or after `ms`. */
  async idle(ms: number): Promise<void> {
    const until = performance.now() + ms
    for (;;) {
      const left = until - performance.now()
      if (this.#entries.size === 0 || left <= 0) return
      await within(left, Promise.all([...this.#entries.values()].map(({ done }) => done)))
    }
  }

  #begin(run: RunRecord, stored: boolean): Entry | null {
    // Its row names this node, which may be taken for dead by now: whoever sees that first hands it on.
    if (!this.#options.store.lease.held) return null
    const task = new RunTask(this.#options, run)
    const done = task
      .execute()
      .catch((error: unknown) => this.#options.onFailure(run, error))
      .finally(() => this.#left(run.id))
    const entry: Entry = { task, done, next: null, stored }
    this.#entries.set(run.id, entry)
    if (this.#releasing) task.interrupt('release')
    return entry
  }

  #left(runId: string): void {
    const next = this.#entries.get(runId)?.next
    this.#entries.delete(runId)
    if (next) this.#begin(next, true)
    this.#options.onEnd()
  }
}
