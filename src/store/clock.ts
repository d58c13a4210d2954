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

  /** Takes a reading of the database's time, in Unix seconds. */
  sync(dbNow: number): void {
    this.#offset = dbNow - this.#monotonic() / 1000
  }

  /** Unix seconds, whole as the wire has them. */
  now(): number {
    return Math.floor(this.#offset + this.#monotonic() / 1000)
  }
}
