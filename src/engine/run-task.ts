import { setTimeout as sleep } from 'node:timers/promises'
import { newId } from '../contract/ids.ts'
import { isTerminal } from '../contract/events.ts'
import type { IncompleteReason } from '../contract/objects.ts'
import type { Budget } from '../domain/budget.ts'
import { runEvent } from '../domain/closing.ts'
import type { RunRecord } from '../domain/records.ts'
import { leaseOf, type Lease, type RunEvent, type RunFailure } from '../domain/run.ts'
import { Turn } from '../domain/turn.ts'
import { noUsage, type Usage } from '../domain/usage.ts'
import { reasonOf, type Log } from '../log.ts'
import { buildContext, type TurnContext } from '../memory/context.ts'
import { ModelError, type Model, type ModelEnd } from '../models/model.ts'
import { hadNoRoom, NotDone } from '../store/pool.ts'
import { announce, commitTransition, rowsOf, type RowsAndEvents } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import type { Store } from '../store/store.ts'
import { noRows, written } from '../store/thread-write.ts'
import { ModelCall } from './model-call.ts'
import { chargeLost, isMetered, spentTokens, tooManyTurns } from './run-bounds.ts'
import { TurnLog } from './turn-log.ts'

/** Milliseconds between two tries of a commit that the database cannot take now. */
const againAfterMs = 500

export interface TaskDeps {
  store: Store
  /** The model that runs of a project use. */
  modelOf: (project: string) => Model
  /** The model's context window in tokens. */
  windowOf: (project: string, model: string) => number
  /** Milliseconds after which a turn's start is committed by itself, if nothing else that the turn commits has told it. */
  startAfterMs: number
  /** Turns of one run. */
  maxTurns: number
  log: Log
}

/** Why a turn is broken off: by the client, by the deadline, by this server's shutdown, or because the run ended. */
export type Interruption = 'cancel' | 'expire' | 'release' | 'gone'

type Outcome =
  | { end: ModelEnd }
  | { interrupted: Interruption }
  | { failure: RunFailure }
  /** The model was not called. */
  | { overBudget: Budget }

/** One turn of one run on this node: calls the model and commits what happens, in order. */
export class RunTask {
  readonly #deps: TaskDeps
  readonly #lease: Lease
  readonly #log: TurnLog
  readonly #abort = new AbortController()
  #run: RunRecord
  #interruption: Interruption | null = null
  /** The turn has its outcome: there is nothing left to break off. */
  #over = false
  #starting: NodeJS.Timeout | null = null
  /** The store failed while the model was being called. */
  #failure: unknown = null
  /** The commit before: one follows the other. */
  #committed: Promise<unknown> = Promise.resolve()
  #wake: () => void = () => {}

  /** `run` must be queued and owned by this node. */
  constructor(deps: TaskDeps, run: RunRecord) {
    const lease = leaseOf(run.state)
    if (lease === null) throw new Error(`run ${run.id} has no owner`)
    this.#deps = deps
    this.#run = run
    this.#lease = lease
    this.#log = new TurnLog(deps.store, run, lease)
  }

  get runId(): string {
    return this.#run.id
  }

  get epoch(): number {
    return this.#lease.epoch
  }

  get deadline(): number {
    return this.#run.state.deadline
  }

  /** Breaks the turn off: the backend request is closed and the run ends as the reason demands. */
  interrupt(reason: Interruption): void {
    if (this.#over || (this.#interruption !== null && reason !== 'gone')) return
    this.#interruption = reason
    this.#abort.abort(new Error(`interrupted: ${reason}`))
  }

  /** Resolves when this node has nothing more to do for the run. Rejects only when the store fails. */
  async execute(): Promise<void> {
    this.#deps.store.endings.begin(this.#run, this.#run.settings.model)
    this.#starting = setTimeout(() => void this.#start(), this.#deps.startAfterMs)
    try {
      await this.#execute()
    } finally {
      clearTimeout(this.#starting)
      this.#deps.store.endings.end(this.runId)
      this.#log.close()
    }
  }

  async #execute(): Promise<void> {
    if (isMetered(this.#deps.store, this.#run)) {
      const spent = await spentTokens(this.#deps.store, this.#run)
      if (spent !== null) return this.#refuse(spent)
    }
    const { store, windowOf } = this.#deps
    const window = windowOf(this.#run.project_id, this.#run.settings.model)
    const signal = this.#abort.signal
    const context = await this.#whenItCanBe(() => buildContext(store, this.#run, window, signal))
    const ids = { message: newId('message'), messageStep: newId('step'), callStep: newId('step') }
    const turn = new Turn(this.#run, context.firstSeq, ids)
    const outcome = await this.#converse(turn, context)
    const usage = this.#usageOf(turn, context, outcome)
    const done = outcome !== null && (await this.#finish(turn, outcome, usage))
    if (!done) await chargeLost(this.#deps.store, this.#deps.log, this.#run, usage.total_tokens)
  }

  /** Ends the run before its turn: the model is not called. */
  async #refuse(error: RunFailure): Promise<void> {
    this.#over = true
    const now = this.#deps.store.clock.now()
    const event: RunEvent = { type: 'fail', error, usage: noUsage, lease: this.#lease, now }
    await this.#commit(event, (next) => rowsOf(next, { steps: [], messages: [] }, now))
  }

  /** What the turn has cost so far, estimated if the model did not say. */
  #usageOf(turn: Turn, context: TurnContext, outcome: Outcome | null): Usage {
    return outcome && 'end' in outcome ? outcome.end.usage : turn.estimateUsage(promptTokensOf(context))
  }

  /**
   * Commits that the turn has begun. A model that answers at once is faster: then the start goes into the same commit as what
   * it said (docs/decisions/0018).
   */
  async #start(): Promise<void> {
    try {
      const begun = await this.#commit(this.#event('start'), (next) => ({
        rows: noRows,
        events: [runEvent(next)],
      }))
      // Not begun: cancelled in the meantime, or taken by someone else.
      if (!begun) this.interrupt(this.#isCancelling() ? 'cancel' : 'gone')
    } catch (error) {
      this.#failure = error
      this.interrupt('gone')
    }
  }

  /** Calls the model and commits what it opens; null when the run is not ours to run any more. */
  async #converse(turn: Turn, context: TurnContext): Promise<Outcome | null> {
    let outcome: Outcome | null = null
    const calling = this.#call(turn, context).then((result) => {
      outcome = result
      this.#deps.store.endings.over(this.runId, 'end' in result)
      this.#wake()
    })
    for (let due = false; ;) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      if (outcome) break
      // A model that has said all by then needs one commit instead of two.
      if (turn.hasUnstored && !due) {
        await Promise.race([this.#deps.store.due(this.runId), calling])
        due = true
        continue
      }
      if (
        turn.hasUnstored &&
        !(await this.#store(turn).catch((error: unknown) => this.#giveUp(calling, error)))
      ) {
        this.interrupt(this.#isCancelling() ? 'cancel' : 'gone')
        await calling
        break
      }
      due = false
      if (!this.#isOurs()) break
      if (!turn.hasUnstored) this.#log.publish(turn.takeEvents())
      await woken
    }
    await calling
    if (this.#failure !== null) throw this.#failure
    if (this.#interruption === 'gone') return null
    // Interrupted and answered in the same moment: what was asked for last is what counts.
    return this.#interruption === null ? outcome : { interrupted: this.#interruption }
  }

  /** A commit failed: the backend request must not go on without us. */
  async #giveUp(calling: Promise<void>, error: unknown): Promise<never> {
    this.interrupt('gone')
    await calling
    throw error
  }

  async #call(turn: Turn, context: TurnContext): Promise<Outcome> {
    const { modelOf, store, log } = this.#deps
    const isOurs = this.#isOurs()
    if (context.kind === 'over_budget')
      return isOurs ? { overBudget: context.budget } : { interrupted: 'gone' }
    if (!isOurs) {
      context.sent()
      return { interrupted: 'gone' }
    }
    const call = new ModelCall(this.#deps, this.#run, context.request)
    try {
      const end = await modelOf(this.#run.project_id).complete(
        context.request,
        (event) => {
          call.heard(event)
          context.sent()
          const now = store.clock.now()
          if (event.type === 'text') turn.text(event.text, now)
          else if (event.type === 'call') turn.call(event.id, event.name, now)
          else turn.arguments(event.text)
          this.#wake()
        },
        this.#abort.signal,
        call.headers,
      )
      call.ended(end)
      return { end }
    } catch (error) {
      call.failed(error, this.#interruption !== null)
      if (this.#interruption !== null) return { interrupted: this.#interruption }
      if (error instanceof ModelError) return { failure: { code: error.code, message: error.message } }
      const { id, thread_id } = this.#run
      log.error('a model call failed unexpectedly', { run: id, thread: thread_id, reason: reasonOf(error) })
      return { failure: { code: 'server_error', message: 'The server failed while it called the model.' } }
    } finally {
      context.sent()
    }
  }

  /** Commits the items that the model has opened; false when the run no longer takes them. */
  async #store(turn: Turn): Promise<boolean> {
    const opened = turn.openRows()
    // In the same commit, so that an item that has to be closed for us by another was told of.
    const events = turn.peekEvents()
    const stored = await this.#commit(this.#event('progress'), () => ({ rows: written(opened), events }))
    if (!stored) return false
    turn.markStored(opened)
    turn.dropEvents(events.length)
    return true
  }

  /** The commit that ends the turn; false if the run does not take it any more. */
  async #finish(turn: Turn, outcome: Outcome, usage: Usage): Promise<boolean> {
    this.#over = true
    clearTimeout(this.#starting ?? undefined)
    const now = this.#deps.store.clock.now()
    if ('interrupted' in outcome && outcome.interrupted === 'release') {
      const open = turn.storedItems()
      return this.#commit(this.#event('release'), (next) => rowsOf(next, open, now))
    }
    let reason: IncompleteReason | undefined
    if ('end' in outcome) {
      if (outcome.end.finish === 'content_filter') reason = 'content_filter'
      // What a turn cost is told by its steps: also one that was cut before it said anything is an answer.
      else turn.ensureMessage(now)
    }
    const { store } = this.#deps
    const asks = turn.calls.length > 0 && isMetered(store, this.#run)
    // What cannot be read now is found out by the next turn.
    const spent = asks ? await spentTokens(store, this.#run, usage.total_tokens).catch(() => null) : null
    return this.#commit(this.#endEvent(turn, outcome, usage, spent), (next) => {
      const { rows, events } = turn.end(next, usage, now, next.state.status === 'failed' ? reason : undefined)
      return { rows: written(rows), events: [...events, runEvent(next)] }
    })
  }

  #endEvent(turn: Turn, outcome: Outcome, usage: Usage, spent: RunFailure | null): RunEvent {
    const by = { lease: this.#lease, now: this.#deps.store.clock.now() }
    if ('overBudget' in outcome)
      return { type: 'truncate', reason: outcome.overBudget, usage: noUsage, ...by }
    if ('failure' in outcome) return { type: 'fail', error: outcome.failure, usage, ...by }
    if ('interrupted' in outcome) {
      return outcome.interrupted === 'expire'
        ? { type: 'expire', usage, now: Math.max(by.now, this.deadline) }
        : { type: 'stop', usage, ...by }
    }
    const [first, ...rest] = turn.calls
    switch (outcome.end.finish) {
      case 'length':
        return { type: 'truncate', reason: 'max_completion_tokens', usage, ...by }
      case 'content_filter': {
        const message = "The model's content filter stopped the answer."
        return { type: 'fail', error: { code: 'invalid_prompt', message }, usage, ...by }
      }
      case 'stop':
      case 'tool_calls':
        if (!first) return { type: 'finish', usage, ...by }
        // Not asked for: nobody would read their outputs.
        if (spent) return { type: 'fail', error: spent, usage, ...by }
        if (this.#run.state.turns + 1 >= this.#deps.maxTurns)
          return { type: 'fail', error: tooManyTurns(this.#deps.maxTurns), usage, ...by }
        return { type: 'ask_tools', calls: [first, ...rest], usage, ...by }
    }
  }

  #event(type: 'start' | 'progress' | 'release'): RunEvent {
    return { type, lease: this.#lease, now: this.#deps.store.clock.now() }
  }

  /**
   * False once another node may have the run: then nothing is told or asked any more. A process that was paused learns
   * it here, before any timer tells it.
   */
  #isOurs(): boolean {
    if (!this.#deps.store.lease.held) this.interrupt('gone')
    return this.#interruption !== 'gone'
  }

  #isCancelling(): boolean {
    const lease = leaseOf(this.#run.state)
    return (
      this.#run.state.status === 'cancelling' &&
      lease?.node === this.#lease.node &&
      lease.epoch === this.#lease.epoch
    )
  }

  /** Commits an event of this run behind what is being committed. */
  #commit(event: RunEvent, rowsFor: (next: RunRecord) => RowsAndEvents): Promise<boolean> {
    const committed = this.#committed.then(() => this.#commitNow(event, rowsFor))
    this.#committed = committed.catch(() => {})
    return committed
  }

  /** What `event` takes: a turn that has not been started is, in the same commit. */
  #withStart(event: RunEvent): [...before: RunEvent[], last: RunEvent] {
    const begins = this.#run.state.status === 'queued' && event.type !== 'start' && event.type !== 'release'
    return begins ? [this.#event('start'), event] : [event]
  }

  /**
   * A database whose disk is full takes a commit when it has room again, one whose rows someone else holds when they are free, and one
   * whose connections break can be read again in a moment. Until then the turn is kept, as long as it is ours: given up, it would cost
   * an attempt and another model call.
   */
  async #whenItCanBe<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const isPassing = hadNoRoom(error) || error instanceof NotDone
        if (!isPassing || !this.#isOurs() || this.#interruption === 'release') throw error
        await sleep(againAfterMs)
      }
    }
  }

  /**
   * Commits an event of this run, reading it again when it has changed in between. True if it was applied;
   * false if the run as it is now drops it. Announces what was committed.
   */
  async #commitNow(event: RunEvent, rowsFor: (next: RunRecord) => RowsAndEvents): Promise<boolean> {
    const { store, log } = this.#deps
    // Started by what was committed in between.
    if (event.type === 'start' && this.#run.state.status === 'in_progress') return true
    const tail = await this.#log.begin()
    for (;;) {
      const applied = await this.#whenItCanBe(() =>
        commitTransition(store, this.#run, this.#withStart(event), rowsFor, tail),
      )
      if (applied.kind === 'applied') {
        this.#run = applied.run
        this.#log.committed(applied.batch)
        announce(store, applied.run, applied.batch)
        return true
      }
      const run = await getRun(store.pool, this.#run.project_id, this.#run.thread_id, this.#run.id)
      if (run === null) return false
      const same = run.state.version === this.#run.state.version
      this.#run = run
      // Dropped by what we knew of the run, but the run has changed: it may well take the event as it is now.
      if (!same) continue
      this.#log.failed()
      const { status } = this.#run.state
      log.debug('a late event was dropped', {
        run: this.#run.id,
        thread: this.#run.thread_id,
        event: event.type,
        status,
        ended: isTerminal(status),
      })
      return false
    }
  }
}

function promptTokensOf(context: TurnContext): number {
  return context.kind === 'ready' ? context.promptTokens : 0
}
