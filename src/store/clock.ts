/** Milliseconds of a clock that never steps back; only differences mean anything. */
export type Monotonic = () => number

/**
 * The database's clock as this node knows it: the node's own may be wrong by hours and step back, so times in
 * records and leases come from the database alone. Between two readings it runs on the monotonic clock.
 */
export class DbClock {
  readonly #monotonic: Monotonic
  /** Database time in seconds at monotonic zero. */
  #offset: number

  constructor(dbNow: number, monotonic: Monotonic = () => performance.now()) {
    this.#monotonic = monotonic
    this.#offset = dbNow - monotonic() / 1000
  }

  /**
   * Takes a reading of the database's time, in Unix seconds, that was asked for at `askedAt` (monotonic milliseconds).
   * It was made at some moment since then: what is known already is moved no further than that demands, so that an
   * answer that was on its way for long does no harm.
   */
  sync(dbNow: number, askedAt: number): void {
    const [least, most] = [dbNow - this.#monotonic() / 1000, dbNow - askedAt / 1000]
    this.#offset = Math.min(Math.max(this.#offset, least), most)
  }

  /** Unix seconds, whole as the wire has them. */
  now(): number {
    return Math.floor(this.#offset + this.#monotonic() / 1000)
  }
}
