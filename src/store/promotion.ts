import type pg from 'pg'
import type { EventBatch } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import { transition, type RunEvent } from '../domain/run.ts'
import { mostWaiting } from '../contract/thread-policy.ts'
import { logRow } from './event-log.ts'
import type { NodeLease } from './node-lease.ts'
import type { Room } from './places.ts'
import { inTransaction } from './pool.ts'
import { batchOf, newStamp, rowsOf } from './run-writes.ts'
import { getRun } from './runs.ts'
import { admit, clearQueues, lockThreads, waitingRuns, withdraw } from './thread-queue.ts'
import { noRows, writeThreads, type BatchOutcome, type ThreadWrite } from './thread-write.ts'

// Writes that leave threads for which others wait (docs/decisions/0012): the thread goes to the first of them in the
// same transaction, so that there is no moment at which it is free and someone waits.

/** What happened to a run that waited, to be told when it is committed. */
export interface Followed {
  write: Extract<ThreadWrite, { kind: 'advance' }>
  run: RunRecord
  batch: EventBatch
}

interface PromotionsOptions {
  pool: pg.Pool
  room: Room
  lease: NodeLease
  node: string
  now: () => number
  tell: (followed: Followed) => void
}

/** The other way of the lane, beside `commitThreadWrites`. */
export class Promotions {
  readonly #options: PromotionsOptions
  /** What followed from transactions whose outcome is unknown. */
  #doubtful: Followed[] = []

  constructor(options: PromotionsOptions) {
    this.#options = options
  }

  /**
   * As `commitThreadWrites`, for writes that leave threads for which others wait, or that those others make. Runs that get
   * their thread are this node's as far as it has room for them; what follows is told.
   */
  async commit(batch: ThreadWrite[], waits: boolean): Promise<BatchOutcome[]> {
    const { pool, room, lease, node, now, tell } = this.#options
    const { term } = lease
    const places = room.take(batch.length)
    let left = places.count
    const promoter = { now: now(), nextOwner: () => (left-- > 0 ? node : null) }
    let followed: Followed[] = []
    try {
      const outcomes = await inTransaction(pool, async (client) => {
        const done = await writeAndPromote(client, batch, waits, promoter)
        followed = done.followed
        return done.outcomes
      })
      for (const { run } of followed) lease.took(run.state, term)
      followed.forEach(tell)
      return outcomes
    } catch (error) {
      this.#doubtful.push(...followed)
      throw error
    } finally {
      places.free()
    }
  }

  /** Tells what followed from a transaction that turns out to have been committed; of writes that are looked up. */
  async lookUp(batch: ThreadWrite[]): Promise<void> {
    const { pool, tell } = this.#options
    const threads = new Set(batch.map(({ thread }) => thread.id))
    for (const followed of this.#doubtful.filter(({ run }) => threads.has(run.thread_id))) {
      const { project_id, thread_id, id, state } = followed.run
      const stored = await getRun(pool, project_id, thread_id, id)
      this.#doubtful = this.#doubtful.filter((each) => each !== followed)
      // Nobody has changed it since.
      if (stored?.state.version === state.version) tell(followed)
    }
  }
}

interface Promoter {
  now: number
  /** The owner of the next run that gets its thread. */
  nextOwner: () => string | null
}

async function writeAndPromote(
  client: pg.ClientBase,
  batch: ThreadWrite[],
  waits: boolean,
  promoter: Promoter,
): Promise<{ outcomes: BatchOutcome[]; followed: Followed[] }> {
  const { outcomes, abandoned } = await writeAll(client, batch, waits, promoter.now)
  const done = batch.filter((_, i) => outcomes[i]?.outcome === 'ok')
  const withdrawn = done.flatMap((write) =>
    write.kind === 'advance' && write.withdraws ? { thread_id: write.thread.id, run_id: write.run.id } : [],
  )
  if (withdrawn.length > 0) await withdraw(client, withdrawn)
  const left = done.filter((write) => write.kind === 'promote' || (write.kind === 'advance' && write.release))
  const promoted = await promote(client, idsOf(left), promoter)
  return { outcomes, followed: [...abandoned, ...promoted] }
}

/** Makes the writes; of threads that are deleted, what waits for them ends first. */
async function writeAll(
  client: pg.ClientBase,
  batch: ThreadWrite[],
  waits: boolean,
  now: number,
): Promise<{ outcomes: BatchOutcome[]; abandoned: Followed[] }> {
  if (!batch.some(isDeletion)) return { outcomes: await writeThreads(client, batch, waits), abandoned: [] }
  // From here on nothing new comes to these threads.
  await lockThreads(client, idsOf(batch))
  const outcomes = new Map<ThreadWrite, BatchOutcome>()
  for (;;) {
    // What was refused is not tried again: what waits there would be left behind if it were done now.
    const left = batch.filter((write) => !outcomes.has(write))
    const deletes = left.filter(isDeletion)
    await client.query('savepoint before_deletes')
    const runs = await waitingRuns(client, idsOf(deletes), mostWaiting)
    const abandoned = await follow(client, runs, () => ({ type: 'abandon', now }))
    await clearQueues(client, idsOf(deletes))
    const done = left.length === 0 ? [] : await writeThreads(client, left, waits)
    const outcomeOf = (write: ThreadWrite) => done[left.indexOf(write)] as BatchOutcome
    const refused = deletes.filter((write) => outcomeOf(write).outcome !== 'ok')
    if (refused.length === 0) {
      return { outcomes: batch.map((write) => outcomes.get(write) ?? outcomeOf(write)), abandoned }
    }
    for (const write of refused) outcomes.set(write, outcomeOf(write))
    await client.query('rollback to before_deletes')
  }
}

const isDeletion = ({ kind }: ThreadWrite) => kind === 'delete_thread'

const idsOf = (writes: ThreadWrite[]) => writes.map(({ thread }) => thread.id)

/** Gives threads that are free to those that wait for them. */
async function promote(
  client: pg.ClientBase,
  threads: string[],
  { now, nextOwner }: Promoter,
): Promise<Followed[]> {
  if (threads.length === 0) return []
  const promoted = await follow(client, await waitingRuns(client, threads, 1), ({ created_at, state }) => ({
    type: 'promote',
    owner: nextOwner(),
    // What it was given to live begins now.
    deadline: now + state.deadline - created_at,
    now,
  }))
  const next = new Map(promoted.map(({ run }) => [run.thread_id, run.id]))
  await admit(
    client,
    threads.map((thread_id) => ({ thread_id, run_id: next.get(thread_id) ?? null })),
  )
  return promoted
}

/** Changes runs that wait; their threads are locked, so that nobody else does. */
async function follow(
  client: pg.ClientBase,
  runs: RunRecord[],
  eventFor: (run: RunRecord) => RunEvent,
): Promise<Followed[]> {
  if (runs.length === 0) return []
  const followed = runs.map((run) => followedBy(run, eventFor(run)))
  const outcomes = await writeThreads(
    client,
    followed.map(({ write }) => write),
    // Their threads are locked, and only metadata of theirs may be changed at the moment.
    true,
  )
  const late = outcomes.findIndex(({ outcome }) => outcome !== 'ok')
  if (late >= 0) throw new Error(`run ${runs[late]?.id} was changed while its thread was locked`)
  return followed
}

function followedBy(run: RunRecord, event: RunEvent): Followed {
  const state = transition(run.state, event)
  if (typeof state === 'string') throw new Error(`a run that waits answers ${event.type} with ${state}`)
  const next: RunRecord = { ...run, state }
  const { version } = run.state
  // That it is queued was told when it came.
  const { rows, events } =
    event.type === 'promote'
      ? { rows: noRows, events: [] }
      : rowsOf(next, { steps: [], messages: [] }, event.now)
  const batch = batchOf(run, next, events)
  const thread = { id: run.thread_id, project_id: run.project_id }
  const log = logRow(run.id, batch)
  const stamp = newStamp()
  return {
    write: { kind: 'advance', thread, run: next, version, stamp, release: false, rows, log },
    run: next,
    batch,
  }
}
