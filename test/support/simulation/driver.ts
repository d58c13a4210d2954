import { EventEmitter } from 'node:events'
import type pg from 'pg'

// The Postgres driver as a process of the simulation sees it: what it sends is parked, and the scheduler decides when
// it reaches the one real database, when the answer comes back, and whether.

/** Something that a process has sent over a connection and that is not answered. */
export interface Sent {
  connection: Connection
  name: string
  text: string
  values: unknown[]
  /** When it was sent, in milliseconds of the simulation. */
  at: number
  /** Postgres has done it: the answer is on its way. */
  result: { rows: pg.QueryResultRow[] } | { error: Error } | null
  /** When that was. */
  doneAt: number
  /** Nobody waits for the answer any more. */
  abandoned: boolean
  settle(result: { rows: pg.QueryResultRow[] } | { error: Error }): void
}

/** What the driver needs of its process. */
export interface Wire {
  now(): number
  /** Whether a new connection is accepted at present. */
  accepts(): boolean
  send(sent: Sent): void
  setTimeout(work: () => void, ms: number): () => void
}

export const brokenConnection = () => new Error('Connection terminated unexpectedly')

const refusedConnection = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })

type Query = string | { name?: string; text: string; values?: unknown[] }

/** A connection: a client of a pool, or one of its own. */
export class Connection extends EventEmitter {
  /** Of its process. */
  readonly wire: Wire
  readonly #timeout: number | undefined
  readonly application: string
  open = true
  inTransaction = false

  constructor(wire: Wire, options: { query_timeout?: number; application_name?: string }) {
    super()
    this.wire = wire
    this.#timeout = options.query_timeout
    this.application = (options.application_name ?? '').replace('threadmill ', '')
  }

  /** As pg's: for a client that is no pool's. */
  async connect(): Promise<void> {
    await this.query('connect')
  }

  query(query: Query, values: unknown[] = []): Promise<{ rows: pg.QueryResultRow[] }> {
    const config = typeof query === 'string' ? { text: query, values } : query
    if (!this.open) return Promise.reject(brokenConnection())
    if (!this.wire.accepts()) return Promise.reject(refusedConnection())
    return new Promise((resolve, reject) => {
      const stop = this.#timeout
        ? this.wire.setTimeout(() => {
            sent.abandoned = true
            reject(new Error('Query read timeout'))
          }, this.#timeout)
        : () => {}
      const sent: Sent = {
        connection: this,
        name: config.name ?? '',
        text: config.text,
        values: config.values ?? values,
        at: this.wire.now(),
        result: null,
        doneAt: Infinity,
        abandoned: false,
        settle: (result) => {
          if (sent.abandoned) return
          sent.abandoned = true
          stop()
          if ('error' in result) reject(result.error)
          else resolve({ rows: result.rows })
        },
      }
      this.wire.send(sent)
    })
  }

  /** The connection breaks: for whoever waits on it, and for those who listen. */
  break(): void {
    if (!this.open) return
    this.open = false
    this.emit('error', brokenConnection())
    this.emit('end')
  }

  async end(): Promise<void> {
    if (!this.open) return
    this.open = false
    this.emit('end')
  }
}

interface Lent {
  connection: Connection
  release: (broken?: boolean | Error) => void
}

/** A pool of them, as far as the store uses it. */
export class Pool extends EventEmitter {
  readonly #wire: Wire
  readonly #options: pg.PoolConfig
  readonly #idle: Connection[] = []
  readonly #waiting: ((lent: Lent) => void)[] = []
  #lent = 0
  ending = false

  constructor(wire: Wire, options: pg.PoolConfig) {
    super()
    this.#wire = wire
    this.#options = options
  }

  async query(query: Query, values?: unknown[]): Promise<{ rows: pg.QueryResultRow[] }> {
    const { connection, release } = await this.#borrow()
    try {
      const result = await connection.query(query, values)
      release()
      return result
    } catch (error) {
      release(error as Error)
      throw error
    }
  }

  /** A connection with `release`, as pg's. */
  async connect(): Promise<Connection & { release: Lent['release'] }> {
    const { connection, release } = await this.#borrow()
    return Object.assign(connection, { release })
  }

  async end(): Promise<void> {
    this.ending = true
  }

  /** Whether the connection is this pool's and nobody has it. */
  async #borrow(): Promise<Lent> {
    if (this.#lent < (this.#options.max ?? 10)) {
      if (!this.#wire.accepts()) throw refusedConnection()
      return this.#lend()
    }
    return new Promise((resolve, reject) => {
      const stop = this.#wire.setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1)
        reject(new Error('timeout exceeded when trying to connect'))
      }, this.#options.connectionTimeoutMillis ?? 10_000)
      const take = (lent: Lent) => {
        stop()
        resolve(lent)
      }
      this.#waiting.push(take)
    })
  }

  #lend(): Lent {
    this.#lent += 1
    let connection = this.#idle.pop()
    while (connection && !connection.open) connection = this.#idle.pop()
    const mine = connection ?? this.#open()
    let released = false
    const release = (broken?: boolean | Error) => {
      if (released) return
      released = true
      this.#lent -= 1
      // As in pg: what Postgres reported leaves the connection as it is only if the one who has it says so.
      if (broken) mine.open = false
      else if (mine.open) this.#idle.push(mine)
      this.#waiting.shift()?.(this.#lend())
    }
    return { connection: mine, release }
  }

  #open(): Connection {
    const connection = new Connection(this.#wire, this.#options)
    connection.on('error', () => {})
    this.emit('connect', connection)
    return connection
  }
}
