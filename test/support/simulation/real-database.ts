import pg from 'pg'
import type { Connection, Sent } from './driver.ts'

// The one real database below the simulation, on one connection: what the scheduler lets go is done at once and whole.

/** As src/store/pool.ts sets it for every connection. */
const session = [
  'set enable_seqscan = off',
  'set enable_mergejoin = off',
  'set enable_hashjoin = off',
  'set plan_cache_mode = force_generic_plan',
  'set synchronous_commit = off',
].join('; ')

/** Reads that say nothing about the order of their rows; the order in which they lie there would not repeat. */
const unordered = new Set(['owned_runs', 'orphaned_runs', 'due_runs', 'claim_runs'])

/** Ids are as random as they are everywhere; what a run was told to do names the request that made it. */
const madeBy = ({ settings }: pg.QueryResultRow) =>
  Number(/\d+$/.exec((settings as { instructions: string }).instructions)?.[0] ?? 0)

const cleanText = `
delete from run_events; delete from run_steps; delete from messages; delete from runs; delete from threads;
delete from nodes; delete from assistants; delete from thread_queue; delete from idempotency_keys`

/** What is wrong with the rows of runs and threads is seen here: one row a run. */
const runsText = `
select r.id, r.thread_id, r.status, r.version, r.lease_epoch as epoch, r.owner_node as owner, r.turns, r.attempts,
  t.active_run_id as holder, t.waiting, t.deleted_at is not null as deleted
from runs r left join threads t on t.id = r.thread_id
order by r.id`

export interface ObservedRun {
  id: string
  thread_id: string
  status: string
  version: number
  epoch: number
  owner: string | null
  turns: number
  attempts: number
  /** The run that the thread says it is held by. */
  holder: string | null
  /** How many messages and runs wait for the thread. */
  waiting: number
  deleted: boolean
}

export class RealDatabase {
  readonly #client: pg.Client
  readonly #migrations: pg.QueryResultRow[]
  /** The connection whose transaction is open. All others wait, as behind its locks. */
  transaction: Connection | null = null
  #clock = -1

  private constructor(client: pg.Client, migrations: pg.QueryResultRow[]) {
    this.#client = client
    this.#migrations = migrations
  }

  /** Takes a migrated database over, whose clock the simulation sets from now on. */
  static async open(url: string): Promise<RealDatabase> {
    const client = new pg.Client({
      connectionString: url,
      types: {
        getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
          oid === 20
            ? Number
            : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
      },
    })
    client.on('error', () => {})
    await client.connect()
    await client.query(session)
    // A setting of the session: what time it is costs nothing to ask.
    await client.query(`create or replace function threadmill_now() returns double precision
      language sql stable parallel safe
      as $$ select current_setting('threadmill.now')::double precision $$`)
    const { rows } = await client.query('select number from threadmill_migrations')
    return new RealDatabase(client, rows)
  }

  async end(): Promise<void> {
    await this.#client.end()
  }

  /** Leaves nothing of a former simulation. */
  async clean(): Promise<void> {
    if (this.transaction) await this.rollBack(this.transaction)
    await this.#client.query(cleanText)
  }

  /** What a migration asks at a start. */
  migrated(text: string): pg.QueryResultRow[] {
    if (text.includes('server_version_num')) return [{ number: 180_000, name: '18.0', encoding: 'UTF8' }]
    return text.includes('from threadmill_migrations') ? this.#migrations : []
  }

  /** Does what was sent, at `clock` seconds of the database's time. */
  async execute(sent: Sent, clock: number): Promise<NonNullable<Sent['result']>> {
    const { name, text, values, connection } = sent
    try {
      await this.#setClock(clock)
      const { rows } = await this.#client.query<pg.QueryResultRow>(
        name === '' ? { text, values } : { name, text, values },
      )
      if (text === 'begin') this.transaction = connection
      if (text === 'commit' || text === 'rollback') this.transaction = null
      return { rows: unordered.has(name) ? rows.toSorted((a, b) => madeBy(a) - madeBy(b)) : rows }
    } catch (error) {
      return { error: error as Error }
    }
  }

  /** The connection of an open transaction has gone. */
  async rollBack(connection: Connection): Promise<void> {
    if (this.transaction !== connection) return
    this.transaction = null
    await this.#client.query('rollback')
    this.#clock = -1
  }

  async runs(): Promise<ObservedRun[]> {
    const { rows } = await this.#client.query<ObservedRun>({ name: 'simulation_runs', text: runsText })
    return rows
  }

  async rows<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.#client.query<R>(text, values)).rows
  }

  async #setClock(clock: number): Promise<void> {
    if (clock === this.#clock) return
    await this.#client.query({
      name: 'simulation_clock',
      text: `select set_config('threadmill.now', $1, false)`,
      values: [String(clock)],
    })
    this.#clock = clock
  }
}
