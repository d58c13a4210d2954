import pg from 'pg'
import type { CreateRun } from './early-turns.ts'
import { NotDone, NotSent, Unsendable, wasRolledBack } from './pool.ts'
import type { Advance, BatchOutcome, ThreadWrite, WriteOutcome } from './thread-write.ts'
import { sizeOfWrite } from './write-size.ts'

// Concurrent writes share one statement and one fsync: while a flush is under way, what arrives waits and goes
// out together in the next. One lane: two would make smaller batches for more work in Postgres.
//
// A flush fails in one of three ways (docs/decisions/0009): it was never sent, Postgres rolled it back, or the
// connection broke in between and nobody knows. Each write of an unknown flush is looked up under its own id, and
// what is not there is sent again.

/** Writes of one batch. The statement's joins grow with the square of it. */
const maxBatch = 64

/** Characters of one batch, about. Postgres takes 256 MiB of JSON, and a batch keeps all others waiting. */
const maxSize = 8 << 20

/** Milliseconds. */
const limits = {
  /** How long a write waits for a database that cannot be reached; nothing of it was written then. */
  unsent: 5_000,
  /** How long a write is tried that others' locks or deadlocks keep from being done. */
  contended: 10_000,
  /** How long the fate of a flush is looked for. */
  unknown: 8_000,
  /** How often a write is sent again after its flush was lost. From the first loss on it goes alone. */
  losses: 3,
  /** How often a write finds its rows held before it may wait for them, which keeps the lane waiting too. */
  patience: 2,
  /** How long nobody may after one did so in vain. */
  impatience: 3_000,
  firstPause: 20,
  longestPause: 500,
}

/** The connection broke during a commit, and Postgres could not be asked what became of it. */
export class UnknownOutcome extends Error {}

export interface HowToCommit {
  /** Threads that are left go to those that wait for them, in the same transaction, which takes several statements. */
  promotes: boolean
  /** Rows that others hold are waited for. */
  waits: boolean
}

export interface Lane {
  /** Writes a batch in one transaction and answers an outcome for each, in order. */
  commit: (batch: ThreadWrite[], how: HowToCommit) => Promise<BatchOutcome[]>
  /** Which of these writes are in the store, by their own ids. */
  committed: (batch: ThreadWrite[]) => Promise<boolean[]>
  /** Milliseconds of a clock that never steps back. */
  monotonic?: () => number
  pause?: (ms: number) => Promise<void>
}

interface Waiting {
  write: ThreadWrite
  size: number
  since: number
  tries: number
  /** How often it has waited for rows that others hold. */
  waits: number
  /** Flushes with it whose outcome was unknown and that had left nothing of it. */
  losses: number
  /** Someone held its row when it was tried last. */
  held: boolean
  /** Not to be tried before this. */
  notBefore: number
  /** It was sent before, in a flush whose outcome was unknown: it may be in the store already. */
  replayed: boolean
  /** Others wait for the thread that it leaves. */
  promotes: boolean
  /** It was sent once at least. */
  sent: boolean
  resolve(outcome: WriteOutcome): void
  reject(error: unknown): void
}

/** A write that waits to be joined by another. */
export interface Joinable {
  readonly outcome: Promise<WriteOutcome>
  /** What the run has done so far is written with it, which is now due. False if it was sent already. */
  join(turn: Advance): boolean
  /** It is due as it is. False if it was before. */
  release(): boolean
  /** Resolves when it is due. */
  readonly due: Promise<void>
}

const ok: WriteOutcome = { outcome: 'ok' }

export class GroupCommit {
  #waiting: Waiting[] = []
  #flushing: Promise<void> | null = null
  /** Ends the pause of a lane that has nothing but writes that are not due. */
  #wake: () => void = () => {}
  /** Those that want to know when the next batch is made. */
  #before: (() => void)[] = []
  /** Not before this may a write wait for rows that others hold. */
  #patientFrom = 0
  /** The batch under way. */
  #sending: Waiting[] = []
  #failed = false
  readonly #lane: Lane
  readonly #now: () => number
  readonly #pause: (ms: number) => Promise<void>

  constructor(lane: Lane) {
    this.#lane = lane
    this.#now = lane.monotonic ?? (() => performance.now())
    this.#pause = lane.pause ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)))
  }

  /**
   * Resolves when the write is durable or was refused by its guard. Rejects when it was not written, and with
   * UnknownOutcome when nobody can tell.
   */
  submit(write: ThreadWrite): Promise<WriteOutcome> {
    return this.#enter(write, 0).outcome
  }

  /** As submit, for the creation of a run that is not due before it is joined by what the run does, or released. */
  submitJoinable(write: CreateRun): Joinable {
    const { outcome, waiting } = this.#enter(write, Infinity)
    const { promise: due, resolve } = Promise.withResolvers<void>()
    const release = () => {
      if (waiting.notBefore !== Infinity) return false
      waiting.notBefore = 0
      resolve()
      this.#wake()
      return true
    }
    const join = (turn: Advance) => {
      if (waiting.sent) return false
      waiting.write = { ...write, turn }
      waiting.size += sizeOfWrite(turn)
      release()
      return true
    }
    return { outcome, join, release, due }
  }

  /** Whether something that was submitted for the thread is not settled yet. */
  isBusyWith(thread: string): boolean {
    const isOf = ({ write }: Waiting) => write.thread.id === thread
    return this.#waiting.some(isOf) || this.#sending.some(isOf)
  }

  /** Whether the last flush went through. */
  get calm(): boolean {
    return !this.#failed
  }

  #enter(write: ThreadWrite, notBefore: number): { outcome: Promise<WriteOutcome>; waiting: Waiting } {
    const { promise: outcome, resolve, reject } = Promise.withResolvers<WriteOutcome>()
    const waiting: Waiting = {
      write,
      size: sizeOfWrite(write),
      since: this.#now(),
      tries: 0,
      waits: 0,
      losses: 0,
      held: false,
      notBefore,
      replayed: false,
      promotes: write.kind === 'promote' || (write.kind === 'advance' && write.withdraws === true),
      sent: false,
      resolve,
      reject,
    }
    this.#waiting.push(waiting)
    this.#flushing ??= this.#flush()
    this.#wake()
    return { outcome, waiting }
  }

  /**
   * Resolves when a write that is submitted at once will be sent at once: who would only wait behind others may see first what
   * else it has to write by then.
   */
  due(): Promise<void> {
    if (!this.#flushing) return nextTurn()
    return new Promise((resolve) => {
      this.#before.push(resolve)
      this.#wake()
    })
  }

  /** Resolves when nothing is waiting any more. */
  async idle(): Promise<void> {
    while (this.#flushing) await this.#flushing
  }

  async #flush(): Promise<void> {
    // Let the callers of this tick join the first batch.
    await Promise.resolve()
    while (this.#waiting.length > 0 || this.#before.length > 0) {
      if (this.#before.length > 0) {
        for (const resolve of this.#before.splice(0)) resolve()
        await nextTurn()
        // Who asks by now is told before the next batch: else, with many that ask, there would never be one.
        if (this.#waiting.length === 0) continue
      }
      const patient = this.#takePatient()
      const batch = patient ?? this.#take()
      if (batch.length === 0) {
        await this.#pauseUntilDue()
        continue
      }
      for (const waiting of batch) waiting.sent = true
      this.#sending = batch
      await this.#flushBatch(batch, patient !== null)
      this.#sending = []
    }
    // In the same breath as the look above: a write that comes in later must find that nobody flushes.
    this.#flushing = null
  }

  /** Waits for the first write that was put off, or for a new one. */
  async #pauseUntilDue(): Promise<void> {
    const first = Math.min(...this.#waiting.map(({ notBefore }) => notBefore || Infinity))
    const woken = new Promise<void>((resolve) => (this.#wake = resolve))
    if (first === Infinity) return woken
    await Promise.race([this.#pause(Math.max(1, first - this.#now())), woken])
  }

  /**
   * A write that found its rows held again and again, if it is the turn of one to wait for them: what many change in quick
   * succession is free only for those that stand in line. Of rows that are held for long, one every few seconds is tried.
   */
  #takePatient(): Waiting[] | null {
    const now = this.#now()
    if (now < this.#patientFrom) return null
    const asking = this.#waiting.filter(
      ({ held, tries, notBefore }) => held && tries >= limits.patience && notBefore <= now,
    )
    const [first, ...others] = asking
    if (!first) return null
    const chosen = others.reduce((least, one) => (one.waits < least.waits ? one : least), first)
    this.#waiting = this.#waiting.filter((waiting) => waiting !== chosen)
    chosen.waits += 1
    return [chosen]
  }

  /** The next batch: the oldest writes, at most one a thread, since a statement changes a row only once. */
  #take(): Waiting[] {
    const threads = new Set<string>()
    const batch: Waiting[] = []
    const left: Waiting[] = []
    const now = this.#now()
    let size = 0
    for (const waiting of this.#waiting) {
      const thread = waiting.write.thread.id
      const joins = batch.length < maxBatch && size + waiting.size <= maxSize && !(batch[0]?.losses ?? 0)
      const fits = batch.length === 0 || (joins && waiting.losses === 0)
      const alike = waiting.promotes === (batch[0] ?? waiting).promotes
      const due = fits && alike && waiting.notBefore <= now && !threads.has(thread)
      if (due) size += waiting.size
      ;(due ? batch : left).push(waiting)
      threads.add(thread)
    }
    this.#waiting = left
    return batch
  }

  async #flushBatch(batch: Waiting[], waits = false): Promise<void> {
    if (waits) this.#patientFrom = this.#now() + limits.impatience
    try {
      const promotes = batch[0]?.promotes === true
      const outcomes = await this.#lane.commit(
        batch.map((waiting) => waiting.write),
        { promotes, waits },
      )
      if (waits) this.#patientFrom = 0
      this.#failed = false
      const awaited = batch.filter((_, i) => outcomes[i]?.outcome === 'awaited')
      for (const waiting of awaited) waiting.promotes = true
      this.#waiting.unshift(...awaited)
      this.#putOff(batch.filter((_, i) => outcomes[i]?.outcome === 'busy'))
      const doubtful = batch.filter((waiting, i) => !this.#settle(waiting, outcomes[i] as BatchOutcome))
      if (doubtful.length > 0) await this.#lookUp(doubtful, 'answered')
    } catch (error) {
      this.#failed = true
      if (error instanceof NotSent) return this.#waitForConnection(batch, error)
      if (!(error instanceof Unsendable) && !wasRolledBack(error)) return this.#lookUp(batch, 'lost', error)
      // One bad row must not fail its neighbours.
      if (batch.length > 1) for (const waiting of batch) await this.#flushBatch([waiting])
      else if (batch[0]) await this.#afterRollback(batch[0], error)
    }
  }

  /** Hands an outcome on; false if the write was sent twice and its guard may have met its own first time. */
  #settle(waiting: Waiting, outcome: BatchOutcome): boolean {
    if (outcome.outcome === 'awaited' || outcome.outcome === 'busy') return true
    if (waiting.replayed && outcome.outcome !== 'ok') return false
    waiting.resolve(outcome)
    return true
  }

  async #afterRollback(waiting: Waiting, error: unknown): Promise<void> {
    const code = error instanceof pg.DatabaseError ? error.code : undefined
    // Its own row of the first time is in the way.
    if (waiting.replayed && code === uniqueViolation) return this.#lookUp([waiting], 'answered', error)
    if (code === undefined || !contention.has(code)) return this.#giveUp(waiting, error)
    this.#putOff([waiting], error)
  }

  /** Tries writes again later that others' locks keep from being done, 10 s at most. Nothing is said of an earlier sending. */
  #putOff(batch: Waiting[], cause?: unknown): void {
    // So with most flushes, and an error costs microseconds to make.
    if (batch.length === 0) return
    const late = (waiting: Waiting) => this.#now() - waiting.since > limits.contended
    const held = new NotDone('others hold what is to be changed', { cause })
    for (const waiting of batch) waiting.held = true
    for (const waiting of batch.filter(late)) this.#giveUp(waiting, held)
    this.#postpone(batch.filter((waiting) => !late(waiting)))
  }

  async #waitForConnection(batch: Waiting[], error: NotSent): Promise<void> {
    const expired = (waiting: Waiting) => this.#now() - waiting.since > limits.unsent
    for (const waiting of batch.filter(expired)) this.#giveUp(waiting, error)
    this.#postpone(batch.filter((waiting) => !expired(waiting)))
  }

  /** Fails a write; one that was sent before, whose first time may still be under way, as of unknown outcome. */
  #giveUp(waiting: Waiting, error: unknown): void {
    waiting.reject(
      waiting.replayed ? new UnknownOutcome('the outcome of a commit is unknown', { cause: error }) : error,
    )
  }

  /** Puts writes back in front of the queue, to be tried again after a pause that grows. */
  #postpone(batch: Waiting[]): void {
    for (const waiting of batch) {
      waiting.notBefore =
        this.#now() + Math.min(limits.longestPause, limits.firstPause * 2 ** Math.min(waiting.tries, 10))
      waiting.tries += 1
    }
    this.#waiting.unshift(...batch)
  }

  /**
   * Asks the store what became of writes, and sends again what is not there. 'answered': Postgres refused what was
   * sent for the second time; if the first time left nothing behind, its next refusal is final.
   */
  async #lookUp(batch: Waiting[], second: 'lost' | 'answered', cause?: unknown): Promise<void> {
    const since = this.#now()
    for (;;) {
      try {
        const done = await this.#lane.committed(batch.map((waiting) => waiting.write))
        batch.forEach((waiting, i) => done[i] && waiting.resolve(ok))
        const missing = batch.filter((_, i) => !done[i])
        for (const waiting of missing) {
          waiting.replayed = second === 'lost'
          if (second === 'lost') waiting.losses += 1
        }
        // What is lost again and again breaks its connection by itself: it must not keep all others from being done.
        const hopeless = (waiting: Waiting) => waiting.losses > limits.losses
        for (const waiting of missing.filter(hopeless)) this.#giveUp(waiting, cause)
        return this.#postpone(missing.filter((waiting) => !hopeless(waiting)))
      } catch (error) {
        if (this.#now() - since > limits.unknown) {
          const failure = new UnknownOutcome('the outcome of a commit is unknown', { cause: cause ?? error })
          for (const waiting of batch) waiting.reject(failure)
          return
        }
        await this.#pause(limits.longestPause)
      }
    }
  }
}

/** Resolves when what has come in was looked at. */
const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve))

const uniqueViolation = '23505'

/** Deadlock, serialization failure, lock time-out, statement time-out: nothing is wrong with the write itself. */
const contention: ReadonlySet<string> = new Set(['40P01', '40001', '55P03', '57014'])
