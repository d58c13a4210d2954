import pg from 'pg'
import { reasonOf, type Log } from '../log.ts'
import type { EventPlace } from '../domain/event-log.ts'
import { query, type Connection } from './pool.ts'
import { getRun } from './runs.ts'
import type { Signals } from './signals.ts'
import type { ThreadWrite } from './thread-write.ts'

// What happens to runs, told to the other nodes: one statement for all of a moment, after their commits and off their
// way. (A NOTIFY within a commit makes commits wait for each other.) Nothing depends on it: who waits for a run looks
// from time to time, and at once when the connection to hear on was lost and is back.

/** Milliseconds. */
const times = {
  /** Between two statements at least. */
  between: 20,
  /** How long a node that is alone does not look whether it still is. */
  alone: 1_000,
  /** How often the connection to hear on is tried, and for how long. */
  check: 5_000,
  answer: 3_000,
  firstPause: 100,
  longestPause: 2_000,
}

/** Seconds without a heartbeat after which nobody is told for a node's sake. */
const silence = 10

/** Postgres takes notices of less than 8000 bytes; ids are ASCII. */
const longest = 7_500

/** Run, thread, project, owner, status - '' if it did not change -, and the last place of its log that was written. */
type Notice = [string, string, string, string | null, string, number, number]

export interface NoticesOptions {
  connection: Connection
  /** Reads and sends. */
  pool: pg.Pool
  signals: Signals
  node: string
  log: Log
}

export class Notices {
  readonly #options: NoticesOptions
  #waiting = new Map<string, Notice>()
  #timer: NodeJS.Timeout | null = null
  #sentAt = -Infinity
  #aloneUntil = -Infinity
  #client: pg.Client | null = null
  #check: NodeJS.Timeout | null = null
  #pause = times.firstPause
  #closed = false

  constructor(options: NoticesOptions) {
    this.#options = options
  }

  /** Begins to hear; goes on by itself when the connection breaks. */
  start(): void {
    void this.#listen()
  }

  /** Tells the other nodes, if there are any, of a write that was committed. */
  tell(write: ThreadWrite): void {
    if (this.#closed || performance.now() < this.#aloneUntil) return
    // Of a new run nobody knows yet.
    if (write.kind !== 'advance' && write.kind !== 'log' && write.kind !== 'delete_thread') return
    const run = 'run' in write ? write.run : undefined
    const id = run?.id ?? write.log?.run_id
    if (id === undefined) return
    const owner = run && 'owner' in run.state ? run.state.owner : null
    const { term, last_no } = write.log ?? { term: 0, last_no: 0 }
    const { id: thread, project_id } = write.thread
    this.#waiting.set(id, [id, thread, project_id, owner, run?.state.status ?? '', term, last_no])
    const due = this.#sentAt + times.between - performance.now()
    this.#timer ??= setTimeout(() => void this.#send(), Math.max(0, due))
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer) clearTimeout(this.#timer)
    if (this.#check) clearTimeout(this.#check)
    const client = this.#client
    this.#client = null
    await client?.end().catch(() => {})
  }

  async #send(): Promise<void> {
    const { pool, node } = this.#options
    const notices = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#sentAt = performance.now()
    try {
      const told = await notify(pool, node, inPieces(node, notices))
      if (!told) this.#aloneUntil = performance.now() + times.alone
    } catch {
      // Whoever waits looks by himself.
    }
    this.#timer = this.#waiting.size > 0 ? setTimeout(() => void this.#send(), times.between) : null
  }

  async #listen(): Promise<void> {
    const { connection, signals, log } = this.#options
    const client = new pg.Client({
      ...connection,
      application_name: 'threadmill notices',
      connectionTimeoutMillis: times.answer,
      query_timeout: times.answer,
      keepAlive: true,
    })
    let lost = false
    const onLost = () => {
      if (lost) return
      lost = true
      client.end().catch(() => {})
      this.#again(client)
    }
    client.on('error', onLost)
    client.on('end', onLost)
    client.on('notification', ({ payload = '' }) => this.#hear(payload))
    this.#client = client
    try {
      await client.connect()
      await client.query('listen threadmill_runs')
    } catch (error) {
      if (!this.#closed) log.debug('the notices of other nodes cannot be heard', { reason: reasonOf(error) })
      return onLost()
    }
    this.#pause = times.firstPause
    this.#watchOver(client, onLost)
    // What was told in between was not heard.
    signals.lookAgain()
  }

  /** A connection that is dead without a word is found out by asking. */
  #watchOver(client: pg.Client, onLost: () => void): void {
    if (this.#closed) return
    this.#check = setTimeout(() => {
      client.query('select 1').then(() => this.#watchOver(client, onLost), onLost)
    }, times.check)
    this.#check.unref()
  }

  #again(client: pg.Client): void {
    if (this.#closed || this.#client !== client) return
    if (this.#check) clearTimeout(this.#check)
    this.#check = setTimeout(() => void this.#listen(), this.#pause)
    this.#pause = Math.min(times.longestPause, this.#pause * 2)
  }

  #hear(payload: string): void {
    const [from, notices] = readPayload(payload)
    if (from === this.#options.node) return
    for (const notice of notices) this.#take(notice)
  }

  #take([id, thread, project, owner, status, term, no]: Notice): void {
    const { signals, node, pool } = this.#options
    const place: EventPlace | null = term > 0 ? { term, no } : null
    if (place) signals.logged(id, place)
    if (status !== '') signals.nudge(id)
    // A client on another node cancelled a run that is executed here, or a run is there for whoever has room for it.
    const concerns = (status === 'cancelling' && owner === node) || (status === 'queued' && owner === null)
    if (!concerns) return
    getRun(pool, project, thread, id).then(
      (run) => run?.state.status === status && signals.changed(run),
      // The next beat finds it.
      () => {},
    )
  }
}

/** The node that sent a payload, and what it tells. Whoever reaches the database can send on the channel, also what is none of ours. */
function readPayload(payload: string): [from: unknown, Notice[]] {
  let value: unknown
  try {
    value = JSON.parse(payload)
  } catch {
    return [null, []]
  }
  const [from, notices] = Array.isArray(value) ? (value as unknown[]) : []
  return [from, Array.isArray(notices) ? notices.filter(isNotice) : []]
}

function isNotice(value: unknown): value is Notice {
  if (!Array.isArray(value)) return false
  const [id, thread, project, , status, term, no] = value as unknown[]
  const texts = [id, thread, project, status].every((one) => typeof one === 'string')
  return texts && [term, no].every((one) => typeof one === 'number')
}

/** Notices as payloads, each with the node that they are from. */
function inPieces(node: string, notices: Notice[]): string[] {
  const pieces: string[] = []
  let piece: Notice[] = []
  let size = 0
  for (const notice of notices) {
    const more = JSON.stringify(notice).length + 1
    if (size + more > longest - node.length) {
      pieces.push(JSON.stringify([node, piece]))
      piece = []
      size = 0
    }
    piece.push(notice)
    size += more
  }
  return [...pieces, JSON.stringify([node, piece])]
}

const notifyText = `
select pg_notify('threadmill_runs', payload) from unnest($1::text[]) payload
where exists (select from nodes where id <> $2 and seen_at > threadmill_now() - $3)`

/** Sends payloads to all nodes; false, and nothing is sent, if there is no other node. */
export async function notify(pool: pg.Pool, node: string, payloads: string[]): Promise<boolean> {
  const rows = await query(pool, 'notify_runs', notifyText, [payloads, node, silence])
  return rows.length > 0
}
