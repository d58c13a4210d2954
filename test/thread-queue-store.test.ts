import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { waitingRunState } from '../src/domain/run.ts'
import type { RunRecord } from '../src/domain/records.ts'
import { commitTransition } from '../src/store/run-writes.ts'
import { noRows, type ThreadWrite } from '../src/store/thread-write.ts'
import { createDatabase, atEnd } from './support/database.ts'
import { advance, keyOf, lease, newMessage, newRun, newThread, now, usage } from './support/records.ts'
import { hold } from './support/nodes.ts'
import { Promotions } from '../src/store/promotion.ts'
import { openStore } from '../src/store/store.ts'
import { createLog } from '../src/log.ts'

// What waits for a thread, in the store alone: locks, numbers and transactions.

const db = await createDatabase()
const store = await openStore({ connection: { connectionString: db.url }, log: createLog('silent') })
atEnd(async () => {
  await store.close()
  await db.drop()
})

const must = async (write: ThreadWrite) => {
  const done = await store.write(write)
  if (done.outcome !== 'ok') assert.fail(`${write.kind}: ${done.outcome}`)
  return done
}

/** A thread that a run in progress holds. */
async function heldThread(): Promise<{ thread: string; holder: RunRecord }> {
  const thread = newThread()
  const run = newRun(thread.id)
  await must({ kind: 'create_thread', thread, messages: [], run })
  const start = advance(run, { type: 'start', lease, now })
  await must(start)
  return { thread: thread.id, holder: start.run }
}

const finish = (run: RunRecord) => advance(run, { type: 'finish', lease, usage, now })

async function waits(thread: string, texts: string[] = [], front = false): Promise<RunRecord> {
  const run = { ...newRun(thread), state: waitingRunState(now + 600) }
  const messages = texts.map((text) => newMessage(thread, text))
  await must({ kind: 'enqueue', thread: keyOf(thread), messages, run, front })
  return run
}

const stateOf = (thread: string) =>
  db.sql<{ id: string; status: string; holds: boolean; same: boolean; seq: string }>(
    `select r.id, r.status, r.id is not distinct from t.active_run_id as holds, r.xmin = t.xmin as same, r.seq
      from runs r join threads t on t.id = r.thread_id where t.id = $1 order by r.seq`,
    [thread],
  )

test('the lock passes from one run to the next in the transaction that ends the first', async () => {
  const { thread, holder } = await heldThread()
  const [second, third] = [await waits(thread), await waits(thread)]
  assert.deepEqual(
    (await stateOf(thread)).map(({ status, holds }) => [status, holds]),
    [
      ['in_progress', true],
      ['waiting', false],
      ['waiting', false],
    ],
  )
  await must(finish(holder))
  const rows = await stateOf(thread)
  assert.deepEqual(
    rows.map(({ id, status, holds }) => [id, status, holds]),
    [
      [holder.id, 'completed', false],
      [second.id, 'queued', true],
      [third.id, 'waiting', false],
    ],
  )
  assert.deepEqual(
    rows.map(({ same }) => same),
    [true, true, false],
  )
})

test('numbers are given in the order of places, without a gap that a run could see into', async () => {
  const { thread, holder } = await heldThread()
  await must({ kind: 'enqueue', thread: keyOf(thread), messages: [newMessage(thread, 'a')], front: false })
  const second = await waits(thread, ['b', 'c'])
  await must({ kind: 'enqueue', thread: keyOf(thread), messages: [newMessage(thread, 'd')], front: false })
  await must({ kind: 'enqueue', thread: keyOf(thread), messages: [newMessage(thread, 'z')], front: true })
  await must(finish(holder))
  const rows = await db.sql<{ what: string }>(
    `select content -> 0 -> 'text' ->> 'value' as what, seq from messages where thread_id = $1
      union all select id, seq from runs where thread_id = $1 order by seq`,
    [thread],
  )
  assert.deepEqual(
    rows.map(({ what }) => what),
    [holder.id, 'z', 'a', 'b', 'c', second.id],
  )
})

test('a write to a held thread meets the same refusals whether something waits or not', async () => {
  const { thread, holder } = await heldThread()
  const locked = { outcome: 'locked', runId: holder.id, policy: null }
  const writes: ThreadWrite[] = [
    { kind: 'append', thread: keyOf(thread), messages: [newMessage(thread)] },
    { kind: 'create_run', thread: keyOf(thread), messages: [], run: newRun(thread) },
    { kind: 'delete_message', thread: keyOf(thread), messageId: 'msg_x' },
  ]
  for (const write of writes) assert.deepEqual(await store.write(write), locked)
  await waits(thread)
  for (const write of writes) assert.deepEqual(await store.write(write), locked)
})

test('nothing waits for a thread that is free, not there, or of another project', async () => {
  const { thread, holder } = await heldThread()
  await must(finish(holder))
  const write = (key: string, project?: string): ThreadWrite => ({
    kind: 'enqueue',
    thread: keyOf(key, project),
    messages: [newMessage(key)],
    front: false,
  })
  assert.deepEqual(await store.write(write(thread)), { outcome: 'free' })
  assert.deepEqual(await store.write(write('thread_none')), { outcome: 'gone' })
  assert.deepEqual(await store.write(write(thread, 'other')), { outcome: 'gone' })
  assert.deepEqual(await db.sql('select from thread_queue where thread_id = $1', [thread]), [])
})

test('a late write of the former holder, and a second end, give the thread to nobody else', async () => {
  const { thread, holder } = await heldThread()
  const second = await waits(thread)
  await waits(thread)
  await must(finish(holder))
  const before = await stateOf(thread)
  assert.deepEqual(await store.write(finish(holder)), { outcome: 'stale' })
  assert.deepEqual(await store.write(advance(holder, { type: 'cancel', now })), { outcome: 'stale' })
  assert.deepEqual(await stateOf(thread), before)
  // A cancel that was computed while it waited meets a run that waits no more.
  const late = await commitTransition(store, second, [{ type: 'cancel', now }], () => ({
    rows: noRows,
    events: [],
  }))
  assert.equal(late.kind, 'stale')
  assert.deepEqual(await stateOf(thread), before)
})

test('a deletion that comes too late for the run that it knows leaves all that waits', async () => {
  const { thread, holder } = await heldThread()
  await waits(thread, ['a'])
  await waits(thread)
  const end = advance(holder, { type: 'abandon', now })
  const stale: ThreadWrite = {
    kind: 'delete_thread',
    thread: keyOf(thread),
    run: end.run,
    version: 1,
    rows: noRows,
    now,
  }
  const before = await stateOf(thread)
  assert.deepEqual(await store.write(stale), { outcome: 'stale' })
  assert.deepEqual(await stateOf(thread), before)
  assert.equal((await db.sql('select from thread_queue where thread_id = $1', [thread])).length, 2)
  await must({ ...stale, version: holder.state.version })
  assert.deepEqual(
    (await stateOf(thread)).map(({ status }) => status),
    ['cancelled', 'cancelled', 'cancelled'],
  )
  assert.deepEqual(await db.sql('select from thread_queue where thread_id = $1', [thread]), [])
})

test('a deletion whose run someone holds at first, and then no more, leaves nobody waiting for a deleted thread', async () => {
  const { thread, holder } = await heldThread()
  const waiting = await waits(thread)
  const letGo = await hold(db.url, 'select from runs where id = $1 for update', [holder.id])
  const pool = new pg.Pool({ connectionString: db.url, max: 1 })
  atEnd(() => pool.end())
  const client = await pool.connect()
  const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>
  client.query = (async (...args: unknown[]) => {
    if (args[0] === 'rollback to before_deletes') await letGo()
    return query(...args)
  }) as typeof client.query
  client.release()
  const promotions = new Promotions({
    pool,
    room: store.room,
    lease: store.lease,
    node: 'n',
    now: () => now,
    tell: () => {},
  })
  const end = advance(holder, { type: 'abandon', now })
  const { version } = holder.state
  const deletion = {
    kind: 'delete_thread',
    thread: keyOf(thread),
    run: end.run,
    version,
    rows: noRows,
    now,
  } as const
  assert.deepEqual(await promotions.commit([deletion], false), [{ outcome: 'busy' }])
  assert.deepEqual(
    (await stateOf(thread)).map(({ id, status }) => [id, status]),
    [
      [holder.id, 'in_progress'],
      [waiting.id, 'waiting'],
    ],
  )
  await must(deletion)
  assert.deepEqual(
    (await stateOf(thread)).map(({ status }) => status),
    ['cancelled', 'cancelled'],
  )
})

test('threads that are left in one moment are handed on together, each to its own', async () => {
  const held = await Promise.all(Array.from({ length: 40 }, heldThread))
  const next = await Promise.all(held.map(({ thread }) => waits(thread, ['x'])))
  await Promise.all(held.map(({ holder }) => must(finish(holder))))
  for (const [i, { thread }] of held.entries()) {
    const rows = await stateOf(thread)
    assert.deepEqual(
      rows.map(({ id, holds }) => [id, holds]),
      [
        [held[i]?.holder.id, false],
        [next[i]?.id, true],
      ],
    )
  }
})

test('a thread whose count is wrong is put right by the next who comes, and holds nobody up', async () => {
  const { thread, holder } = await heldThread()
  await must(finish(holder))
  await db.sql('update threads set waiting = 3 where id = $1', [thread])
  await must({ kind: 'append', thread: keyOf(thread), messages: [newMessage(thread)] })
  assert.deepEqual(await db.sql('select waiting from threads where id = $1', [thread]), [{ waiting: 0 }])
})

// Found by the simulation: the first sending was still under way when it was not found and sent again.
test('a message that came to wait twice is shown once, and keeps no run from ending', async () => {
  const { thread, holder } = await heldThread()
  const messages = [newMessage(thread, 'once')]
  const entry: ThreadWrite = { kind: 'enqueue', thread: keyOf(thread), messages, front: false }
  for (const write of [entry, entry, finish(holder)]) await must(write)
  assert.deepEqual(
    (await stateOf(thread)).map(({ status }) => status),
    ['completed'],
  )
  const shown = await db.sql<{ id: string }>('select id from messages where thread_id = $1', [thread])
  assert.deepEqual(
    shown.map(({ id }) => id),
    messages.map(({ id }) => id),
  )
})
