import type { Metrics } from '../observe/metrics.ts'
import type { RunTraces } from '../observe/run-traces.ts'
import type { CreateRun, EarlyTurns } from './early-turns.ts'
import type { Endings } from './endings.ts'
import type { GroupCommit } from './group-commit.ts'
import type { NodeLease } from './node-lease.ts'
import type { Notices } from './notices.ts'
import { observeWrite } from './observed-lane.ts'
import type { Followed } from './promotion.ts'
import type { Recent } from './recent.ts'
import { announce } from './run-writes.ts'
import type { Signals } from './signals.ts'
import type { ThreadWrite, WriteOutcome } from './thread-write.ts'
import { payerOf, type TokenLimits } from './usage-days.ts'

interface WritesOptions {
  commits: GroupCommit
  early: EarlyTurns
  endings: Endings
  tokenLimits: TokenLimits
  recent: Recent
  notices: Notices
  signals: Signals
  lease: NodeLease
  metrics: Metrics
  traces: RunTraces | null
  /** A commit threw this. */
  failed: (error: unknown) => void
  /** No other process writes to the database. */
  alone: boolean
}

/** Writes to threads: commits them, and tells of them what they changed. */
export class Writes {
  readonly #options: WritesOptions

  constructor(options: WritesOptions) {
    this.#options = options
  }

  /** As Store.write. */
  async write(write: ThreadWrite): Promise<WriteOutcome> {
    const done = await this.#commit(write)
    if (done.outcome !== 'ok') return done
    const { counter: _, ...outcome } = done
    return outcome
  }

  /** As Store.due. */
  async due(run: string): Promise<void> {
    await this.#options.early.due(run)
    await this.#options.commits.due()
  }

  /** Tells of a change that followed from a write, in its transaction. */
  followed({ write, run, batch }: Followed): void {
    const { recent, notices } = this.#options
    recent.followed(write)
    observeWrite(this.#options, write)
    notices.tell(write)
    announce(this.#options, run, batch)
  }

  #commit(write: ThreadWrite): Promise<WriteOutcome> {
    const commit = () => this.#commitAndTell(write)
    if (write.kind === 'advance') return this.#options.early.changed(write, commit) ?? commit()
    return write.kind === 'create_run' && this.#mayBegin(write) ? this.#createEarly(write) : commit()
  }

  async #commitAndTell(write: ThreadWrite): Promise<WriteOutcome> {
    const { term } = this.#options.lease
    let done = await this.#submit(write)
    // Nobody holds the thread, and something waits for it: that comes first.
    while (done.outcome === 'locked' && done.runId === '') {
      await this.#submit({ kind: 'promote', thread: write.thread })
      done = await this.#submit(write)
    }
    if (done.outcome === 'ok') this.#tell(write, done, term)
    return done
  }

  #submit(write: ThreadWrite): Promise<WriteOutcome> {
    return this.#doubting(write, this.#options.commits.submit(write))
  }

  async #doubting(write: ThreadWrite, outcome: Promise<WriteOutcome>): Promise<WriteOutcome> {
    try {
      return await outcome
    } catch (error) {
      this.#options.recent.doubted(write)
      this.#options.failed(error)
      throw error
    }
  }

  /**
   * Whether the first turn of a run may begin before the run is committed: its model answers at once, what it is to be shown is known,
   * and nothing speaks against the commit. A request that is refused must not cost a call of the model.
   */
  #mayBegin({ early, run, thread, messages, mostMessages }: CreateRun): boolean {
    const { alone, commits, early: turns, endings, recent, tokenLimits, lease } = this.#options
    return (
      alone &&
      early === true &&
      messages.length === 0 &&
      mostMessages === undefined &&
      endings.isQuick(run.settings.model, turns.holdMs) &&
      tokenLimits.of(payerOf(run)).length === 0 &&
      commits.calm &&
      lease.held &&
      recent.messages.isFree(thread) &&
      !commits.isBusyWith(thread.id)
    )
  }

  async #createEarly(write: CreateRun): Promise<WriteOutcome> {
    const { commits, early, endings, lease } = this.#options
    const { term } = lease
    const creating = early.create(
      write,
      commits.submitJoinable(write),
      ({ done, turn }) => {
        this.#tell(write, done, term)
        if (turn) this.#tell(turn.write, turn.done, term)
      },
      () => endings.inVain(write.run.settings.model),
    )
    const done = await this.#doubting(write, creating)
    return done.outcome === 'locked' && done.runId === '' ? this.#commitAndTell(write) : done
  }

  #tell(write: ThreadWrite, done: WriteOutcome, term: number): void {
    const { recent, notices, signals, lease } = this.#options
    if ('run' in write && write.run) lease.took(write.run.state, term)
    recent.written(write, done)
    observeWrite(this.#options, write)
    notices.tell(write)
    if (write.kind === 'log')
      signals.logged(write.log.run_id, { term: write.log.term, no: write.log.last_no })
  }
}
