import type { RunRecord } from '../domain/records.ts'
import type { Joinable } from './group-commit.ts'
import type { Advance, ThreadWrite, WriteOutcome } from './thread-write.ts'

// First turns that begin beside the commit that creates their run, if their model was quick when it was asked last
// (docs/decisions/0030). The commit waits for what they do first, a moment at most, and writes it with the run. What a client
// is told is committed as ever: nobody knows of the run before.

/** Milliseconds for which the commit of a run waits for what its first turn does; and how quick a model must be for it. */
const longestHoldMs = 20

export type CreateRun = Extract<ThreadWrite, { kind: 'create_run' }>

/**
 * Begins to execute a run whose creation is under way, and answers when that is over; null if it will not be done. `created` says
 * whether the run came to be.
 */
export type Beginner = (run: RunRecord, created: Promise<boolean>) => Promise<void> | null

interface EarlyTurn {
  readonly created: Promise<boolean>
  readonly creating: Joinable
  /** What is written with the run, and who waits for it. */
  joined: { turn: Advance; resolve: (outcome: WriteOutcome) => void; reject: (error: unknown) => void } | null
}

/** What became of the creation of a run, and of what went with it. */
export interface Creation {
  done: WriteOutcome
  turn: { write: Advance; done: WriteOutcome } | null
}

/** The runs of this node that are being created while they are executed. */
export class EarlyTurns {
  /** How long a commit waits for what the turn does, in milliseconds. */
  readonly holdMs: number
  readonly #turns = new Map<string, EarlyTurn>()
  /** Nobody executes runs until the engine says so. */
  begin: Beginner = () => null

  constructor(holdMs = longestHoldMs) {
    this.holdMs = holdMs
  }

  /**
   * Commits the run that `creating` makes, and has its first turn begun. Calls `told` as soon as it is committed, and `onSlow` if the turn
   * takes longer than the commit waits. Rejects as the commit does.
   */
  async create(
    { run, messages }: CreateRun,
    creating: Joinable,
    told: (creation: Creation) => void,
    onSlow: () => void,
  ): Promise<WriteOutcome> {
    const { promise: created, resolve: settle } = Promise.withResolvers<boolean>()
    const early: EarlyTurn = { created, creating, joined: null }
    this.#turns.set(run.id, early)
    const over = this.begin(run, created)
    if (!over) creating.release()
    const timer = setTimeout(() => {
      if (creating.release()) onSlow()
    }, this.holdMs)
    let done: WriteOutcome
    try {
      done = await creating.outcome
    } catch (error) {
      early.joined?.reject(error)
      this.#refuse(run, settle, over)
      throw error
    } finally {
      clearTimeout(timer)
    }
    if (done.outcome !== 'ok') {
      early.joined?.resolve({ outcome: 'gone' })
      this.#refuse(run, settle, over)
      return done
    }
    this.#turns.delete(run.id)
    const turn = early.joined && { write: early.joined.turn, done: behind(done, messages.length + 1) }
    told({ done, turn })
    settle(true)
    if (turn) early.joined?.resolve(turn.done)
    return done
  }

  /**
   * What becomes of a change of a run that is being created: written with it if that was not sent yet, else `write` it
   * when the run is there. Undefined for a run that is not.
   */
  changed(turn: Advance, write: () => Promise<WriteOutcome>): Promise<WriteOutcome> | undefined {
    const early = this.#turns.get(turn.run.id)
    if (!early) return undefined
    if (!early.creating.join(turn))
      return early.created.then((created) => (created ? write() : { outcome: 'gone' }))
    return new Promise((resolve, reject) => (early.joined = { turn, resolve, reject }))
  }

  /** Resolves when the commit of the run waits no longer for what its turn does; undefined if it does not. */
  due(run: string): Promise<void> | undefined {
    return this.#turns.get(run)?.creating.due
  }

  /** There is no such run: until its turn has been broken off, what it writes is for nothing. */
  #refuse({ id }: RunRecord, settle: (created: boolean) => void, over: Promise<void> | null): void {
    settle(false)
    void Promise.resolve(over).then(() => this.#turns.delete(id))
  }
}

/** The outcome of what came so many numbers behind another in the same commit. */
function behind(done: WriteOutcome, numbers: number): WriteOutcome {
  if (done.outcome !== 'ok' || done.counter === undefined) return done
  return { ...done, counter: done.counter + numbers }
}
