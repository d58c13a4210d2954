import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FastifyRequest } from 'fastify'
import pg from 'pg'
import { errorAnswer } from '../src/http/error-answer.ts'
import { GroupCommit, UnknownOutcome } from '../src/store/group-commit.ts'
import { NotDone, NotSent } from '../src/store/pool.ts'
import { commitThreadWrites, noRows, type BatchOutcome, type ThreadWrite } from '../src/store/thread-write.ts'
import { advance, keyOf, lease, newMessage, newRun, newThread, now } from './support/records.ts'
import { startServer, textOf } from './support/server.ts'

// Rows of threads and runs that someone else holds - a node that was paused in the middle of an update, an
// administrator's session - keep their own writes waiting, and no others.

const server = await startServer()
const { client } = server

async function holding(work: (session: pg.Client) => Promise<void>): Promise<void> {
  const session = new pg.Client({ connectionString: server.db.url })
  await session.connect()
  try {
    await session.query('begin')
    await work(session)
  } finally {
    await session.end()
  }
}

/** A thread with a run that is under way. */
async function running() {
  const { store } = server.app
  const thread = newThread()
  const queued = newRun(thread.id)
  const start = advance(queued, { type: 'start', lease, now })
  await store.write({ kind: 'create_thread', thread, messages: [], run: queued })
  await store.write(start)
  return { thread: thread.id, run: start.run }
}

const append = (thread: string): ThreadWrite => ({
  kind: 'append',
  thread: keyOf(thread),
  messages: [newMessage(thread)],
})

test('in one batch, writes to held rows are busy, to rows that are not there gone, and the others are done', async () => {
  const [heldThread, free] = [newThread(), newThread()]
  const { store } = server.app
  for (const thread of [heldThread, free]) await store.write({ kind: 'create_thread', thread, messages: [] })
  const [first, second, third, other] = [await running(), await running(), await running(), await running()]
  const log = { run_id: second.run.id, term: 9, first_no: 0, last_no: 0, events: [], ends: false }
  const end = { type: 'abandon', now } as const
  const batch: ThreadWrite[] = [
    append(heldThread.id),
    append(newThread().id),
    advance(first.run, end),
    { kind: 'log', thread: keyOf(second.thread), lease, log },
    {
      kind: 'delete_thread',
      thread: keyOf(third.thread),
      run: advance(third.run, end).run,
      version: third.run.state.version,
      rows: noRows,
      now,
    },
    { ...advance(other.run, end), version: 0 } as ThreadWrite,
    advance(newRun(free.id), end),
  ]
  const outcomes: BatchOutcome['outcome'][] = []
  await holding(async (session) => {
    await session.query('select from threads where id = $1 for update', [heldThread.id])
    const runs = [first, second, third].map(({ run }) => run.id)
    await session.query('select from runs where id = any($1) for update', [runs])
    outcomes.push(...(await commitThreadWrites(store.pool, batch)).map(({ outcome }) => outcome))
  })
  assert.deepEqual(outcomes, ['busy', 'gone', 'busy', 'busy', 'busy', 'stale', 'stale'])
  const again = await commitThreadWrites(store.pool, batch)
  assert.deepEqual(
    again.map(({ outcome }) => outcome),
    ['ok', 'gone', 'ok', 'ok', 'ok', 'stale', 'stale'],
  )
})

test('threads that someone else holds do not keep other threads waiting, and their writes are done in the end', async () => {
  const held = await Promise.all(Array.from({ length: 20 }, () => client.beta.threads.create()))
  const ids = held.map(({ id }) => id)
  let done = 0
  let late: Promise<unknown>[] = []
  await holding(async (session) => {
    await session.query('select from threads where id = any($1) for update', [ids])
    late = ids.map((id) =>
      client.beta.threads.messages.create(id, { role: 'user', content: 'late' }).then(() => (done += 1)),
    )
    const since = performance.now()
    for (let i = 0; i < 50; i++) await client.beta.threads.create()
    // A single wait for a lock takes 300 ms.
    assert.ok(performance.now() - since < 3_000, `${performance.now() - since} ms`)
    assert.equal(done, 0)
  })
  await Promise.all(late)
  for (const id of ids)
    assert.deepEqual((await client.beta.threads.messages.list(id)).data.map(textOf), ['late'])
})

/** A lane whose writes to `held` threads are busy, on a clock that moves only while it pauses. */
function lane(held: (thread: string, batch: number) => boolean, opened?: Promise<void>) {
  let time = 0
  let batches = 0
  const commits = new GroupCommit({
    commit: async (batch) => {
      batches += 1
      if (batches === 1 && opened === undefined) throw new Error('Connection terminated unexpectedly')
      return batch.map((write) => (held(write.thread.id, batches) ? { outcome: 'busy' } : { outcome: 'ok' }))
    },
    committed: async (batch) => batch.map(() => false),
    monotonic: () => time,
    pause: async (ms) => {
      await opened
      time += ms
    },
  })
  return { commits, time: () => time }
}

const open = Promise.resolve()

test('a write whose row is held for more than 10 s is given up as not done', async () => {
  const { commits, time } = lane(() => true, open)
  await assert.rejects(commits.submit(append('thread_held')), NotDone)
  assert.ok(time() > 10_000 && time() < 11_000, `${time()}`)
})

test('a write that was surely not done is answered as such, whatever the connection said', () => {
  const cause = new Error('Connection terminated unexpectedly')
  const request = { method: 'POST' } as FastifyRequest
  for (const failure of [new NotSent('no connection', { cause }), new NotDone('held', { cause })])
    assert.equal(errorAnswer('openai', failure, request).error.key, 'not_ready')
  assert.equal(errorAnswer('openai', cause, request).error.key, 'outcome_unknown')
  // What the driver says of a connection that never came to be.
  const never = new Error('Connection terminated due to connection timeout')
  assert.equal(errorAnswer('openai', never, request).error.key, 'not_ready')
})

test('a change whose connection broke before its commit was surely not done, and is answered as such', async () => {
  const { id } = await client.beta.threads.create()
  await holding(async (session) => {
    await session.query('select from threads where id = $1 for update', [id])
    const changing = server.fetch(`/v1/threads/${id}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ metadata: { a: 'b' } }),
    })
    const broken = () =>
      server.db.sql(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'threadmill reads' and wait_event_type = 'Lock'`,
      )
    while ((await broken()).length === 0) await new Promise(setImmediate)
    const answer = await changing
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
    assert.equal(answer.headers.get('x-should-retry'), null)
  })
})

test('a write that was sent before and now meets a held row is given up as of unknown outcome', async () => {
  const { commits } = lane(() => true)
  await assert.rejects(commits.submit(append('thread_held')), UnknownOutcome)
})

test('a write that was sent before and now meets a held row is done when the row is free', async () => {
  const { commits } = lane((_, batch) => batch < 5)
  assert.deepEqual(await commits.submit(append('thread_held')), { outcome: 'ok' })
})

test('a new write does not wait for the pause of those that were put off', async () => {
  let release = () => {}
  let isHeld = true
  const { commits } = lane(
    (thread) => isHeld && thread === 'thread_held',
    new Promise((resolve) => (release = resolve)),
  )
  const late = commits.submit(append('thread_held'))
  for (const thread of ['thread_a', 'thread_b']) {
    assert.deepEqual(await commits.submit(append(thread)), { outcome: 'ok' })
    // The lane pauses now.
    await new Promise(setImmediate)
  }
  isHeld = false
  release()
  assert.deepEqual(await late, { outcome: 'ok' })
})

test('a write whose row is never free for those that do not stand in line gets it all the same', async () => {
  const commits = new GroupCommit({
    commit: async (batch, { waits }) => batch.map(() => (waits ? { outcome: 'ok' } : { outcome: 'busy' })),
    committed: () => assert.fail('nothing is in doubt'),
  })
  const since = performance.now()
  assert.deepEqual(await commits.submit(append('thread_hot')), { outcome: 'ok' })
  assert.ok(performance.now() - since < 2_000)
})

test('of rows that are held for long, one every 3 s is waited for in vain', async () => {
  let time = 0
  let waited = 0
  const commits = new GroupCommit({
    commit: async (batch, { waits }) => {
      if (!waits) return batch.map(() => ({ outcome: 'busy' }))
      waited += 1
      time += 300
      throw Object.assign(new pg.DatabaseError('refused', 10, 'error'), { code: '55P03', severity: 'ERROR' })
    },
    committed: () => assert.fail('nothing is in doubt'),
    monotonic: () => time,
    pause: async (ms) => void (time += ms),
  })
  const writes = Array.from({ length: 20 }, (_, n) => commits.submit(append(`thread_${n}`)))
  const settled = await Promise.allSettled(writes)
  assert.ok(settled.every(({ status }) => status === 'rejected'))
  assert.ok(waited >= 2 && waited <= 4, `${waited}`)
})
