import type { RunRecord } from '../domain/records.ts'
import { within } from '../store/store.ts'
import { RunTask, type Interruption, type TaskDeps } from './run-task.ts'

interface Entry {
  task: RunTask
  done: Promise<void>
  /** The same run under a later lease, which waits until the task has left. */
  next: RunRecord | null
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

  all(): RunTask[] {
    return [...this.#entries.values()].map(({ task }) => task)
  }

  get(runId: string): RunTask | undefined {
    return this.#entries.get(runId)?.task
  }

  /** Whether the run is executed here under its present lease, or will be when its former task has left. */
  has({ id, state }: RunRecord): boolean {
    const entry = this.#entries.get(id)
    return entry?.task.epoch === state.epoch || entry?.next?.state.epoch === state.epoch
  }

  /** Executes a run that this node owns; after its former task, if there is one under an earlier lease. */
  start(run: RunRecord): void {
    const entry = this.#entries.get(run.id)
    if (!entry) return this.#begin(run)
    const latest = entry.next?.state.epoch ?? entry.task.epoch
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

  #begin(run: RunRecord): void {
    // Its row names this node, which may be taken for dead by now: whoever sees that first hands it on.
    if (!this.#options.store.lease.held) return
    const task = new RunTask(this.#options, run)
    const done = task
      .execute()
      .catch((error: unknown) => this.#options.onFailure(run, error))
      .finally(() => this.#left(run.id))
    this.#entries.set(run.id, { task, done, next: null })
    if (this.#releasing) task.interrupt('release')
  }

  #left(runId: string): void {
    const next = this.#entries.get(runId)?.next
    this.#entries.delete(runId)
    if (next) this.#begin(next)
    this.#options.onEnd()
  }
}
