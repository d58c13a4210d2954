import type { RunState } from '../domain/run.ts'
import type { Monotonic } from './clock.ts'

/** Seconds without a heartbeat after which other nodes take a node's runs. All nodes of a database must agree. */
const usualSilence = 3.5

/** Of the silence: how long a node goes on without a beat. The rest is left for timers that are late. */
const ownShare = 0.8

/**
 * How long this node may go on with the runs it owns. Others take them when its last beat is `silence` seconds old by
 * the database's clock; it stops before that by its own monotonic one (DESIGN §5.5), so that no two nodes work on one run.
 */
export class NodeLease {
  /** Seconds. */
  readonly silence: number
  readonly #monotonic: Monotonic
  #renewedAt = -Infinity
  #term = 0
  readonly #doubtful = new WeakSet<RunState>()

  constructor(monotonic: Monotonic, silence = usualSilence) {
    this.#monotonic = monotonic
    this.silence = silence
  }

  /**
   * A beat that was sent at `sentAt`, in milliseconds of the monotonic clock, has been answered. It counts from then:
   * the database cannot have dated it earlier, and its answer may have been on its way, or the process asleep, for long.
   */
  renew(sentAt: number): void {
    if (!this.held) this.#term += 1
    this.#renewedAt = Math.max(this.#renewedAt, sentAt)
  }

  /** Milliseconds that are left; not above zero when this node must leave its runs alone. */
  get leftMs(): number {
    return this.#renewedAt + this.silence * 1_000 * ownShare - this.#monotonic()
  }

  /** Grows whenever the lease is got anew: others may have taken what became this node's in an earlier term. */
  get term(): number {
    return this.#term
  }

  /** A run became this node's, in a state that was written in `term`; the answer has come only now. */
  took(state: RunState, term: number): void {
    if (term !== this.#term) this.#doubtful.add(state)
  }

  /** Whether others may have taken a run since it came into this state, as this node's. */
  doubts(state: RunState): boolean {
    return this.#doubtful.has(state)
  }

  get held(): boolean {
    return this.leftMs > 0
  }
}
