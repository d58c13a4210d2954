import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { committedWrites } from '../src/store/committed-writes.ts'
import type { ThreadWrite } from '../src/store/thread-write.ts'
import { waitingRunState } from '../src/domain/run.ts'
import { enterThread } from '../src/store/enter-thread.ts'
import type { Store } from '../src/store/store.ts'
import { judgingFetch } from './support/contract.ts'
import { atEnd } from './support/database.ts'
import { gate, text } from './support/mock-model.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { advance, keyOf, lease, newMessage, newRun, newThread, now, usage } from './support/records.ts'
import { startServer, type TestServer } from './support/server.ts'
import { queue, queueing, replace, say } from './support/thread-queue.ts'

// What waits for a thread, when the answers of commits are lost: nothing is lost, doubled or left behind.

const server = await startServer({ tuning: { alone: false } })
const { mock, db } = server
const proxy = await startPgProxy(db.url)
const behind = await serverBehind()

/** A server whose connections to Postgres go through the proxy. */
async function serverBehind(): Promise<TestServer> {
  const env = {
    PORT: '0',
    DATABASE_URL: proxy.url,
    OPENAI_BASE_URL: mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
  }
  const app = await startApp(readConfig(env), createLog('silent'))
  atEnd(() => app.stop())
  const settings = { baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch }
  return { ...server, app, client: new OpenAI(settings) }
}

const { heldThread, ended, textsOf } = queueing(behind)
/** The statement as it goes to Postgres by itself. */
const commit = 'commit\0'
/** Among the parameters of the statement that writes it, and of the one that looks it up. */
const enqueue = '"enqueue"'

test('what is sent to a held thread and whose answers are lost waits once, and its sender hears of it', async () => {
  const { threads } = behind.client.beta
  const { assistant, thread, letGo } = await heldThread()
  mock.when(() => true, text('x'))
  const before = proxy.lost
  proxy.loseAnswersOf('commit_thread_writes', 2)
  await threads.messages.create(thread, say('a'), queue)
  proxy.loseAnswersOf(enqueue, 2)
  await threads.messages.create(thread, say('b'), queue)
  proxy.loseAnswersOf(enqueue, 2)
  const run = await threads.runs.create(
    thread,
    { assistant_id: assistant, additional_messages: [say('c')] },
    queue,
  )
  assert.equal(proxy.lost - before, 6)
  assert.equal((await db.sql('select from thread_queue where thread_id = $1', [thread])).length, 3)
  letGo()
  assert.equal((await ended(thread, run)).status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'a', 'b', 'c', 'x'])
})

test('a thread whose release was committed without an answer is handed on once, at once', async () => {
  const { threads } = behind.client.beta
  const { assistant, thread, letGo } = await heldThread()
  mock.when(() => true, text('x'))
  const runs = []
  for (let i = 0; i < 10; i++) {
    await threads.messages.create(thread, say(`m${i}`), queue)
    runs.push(await threads.runs.create(thread, { assistant_id: assistant }, queue))
  }
  const before = proxy.lost
  proxy.loseAnswersOf(commit, 10)
  letGo()
  for (const run of runs) assert.equal((await ended(thread, run)).status, 'completed')
  assert.equal(proxy.lost - before, 10)
  assert.deepEqual(await textsOf(thread), [
    'Good morning?',
    'First.',
    ...runs.flatMap((_, i) => [`m${i}`, 'x']),
  ])
  assert.equal(mock.requests.length, 11)
  const taken = await db.sql('select from runs where thread_id = $1 and (attempts > 0 or lease_epoch > 1)', [
    thread,
  ])
  assert.equal(taken.length, 0, 'none was left to a sweep')
})

test('a cancel of a run that waits, whose answer was lost, is done once', async () => {
  const { threads } = behind.client.beta
  const { assistant, thread, holder, letGo } = await heldThread()
  const body = { assistant_id: assistant, additional_messages: [say('kept')] }
  const run = await threads.runs.create(thread, body, queue)
  proxy.loseAnswersOf(commit, 1)
  assert.equal((await threads.runs.cancel(run.id, { thread_id: thread })).status, 'cancelled')
  letGo()
  await ended(thread, { id: holder })
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'kept'])
})

test('what waits is told from what does not by ids that only it has, also when it waits no more', async () => {
  const { store } = server.app
  const thread = newThread()
  const [holder, waits] = [newRun(thread.id), newRun(thread.id)]
  const waiting = { ...waits, state: waitingRunState(now + 600) }
  const key = keyOf(thread.id)
  const runEntry: ThreadWrite = { kind: 'enqueue', thread: key, messages: [], run: waiting, front: false }
  const message = newMessage(thread.id, 'a')
  const messageEntry: ThreadWrite = { kind: 'enqueue', thread: key, messages: [message], front: false }
  const writes = [messageEntry, runEntry]
  await store.write({ kind: 'create_thread', thread, messages: [], run: holder })
  assert.deepEqual(await committedWrites(store.pool, writes), [false, false])
  for (const write of writes) {
    assert.deepEqual(await store.write(write), { outcome: 'ok' })
  }
  assert.deepEqual(await committedWrites(store.pool, writes), [true, true])
  const other: ThreadWrite = { ...messageEntry, messages: [newMessage(thread.id, 'a')] }
  assert.deepEqual(await committedWrites(store.pool, [other]), [false])
  const start = advance(holder, { type: 'start', lease, now })
  await store.write(start)
  await store.write(advance(start.run, { type: 'finish', lease, usage, now }))
  assert.deepEqual(await committedWrites(store.pool, writes), [true, true])
})

// Found by the simulation: a loss at the wrong moment told a client that its message was gone, and then it came.
test('a message that still waits for its thread does not count as deleted', async () => {
  const { store } = server.app
  const thread = newThread()
  const message = newMessage(thread.id, 'a')
  const key = keyOf(thread.id)
  const deletion: ThreadWrite = { kind: 'delete_message', thread: key, messageId: message.id }
  await store.write({ kind: 'create_thread', thread, messages: [], run: newRun(thread.id) })
  assert.deepEqual(await committedWrites(store.pool, [deletion]), [true])
  await store.write({ kind: 'enqueue', thread: key, messages: [newMessage(thread.id, 'b')], front: false })
  assert.deepEqual(await committedWrites(store.pool, [deletion]), [true])
  await store.write({ kind: 'enqueue', thread: key, messages: [message], front: false })
  assert.deepEqual(await committedWrites(store.pool, [deletion]), [false])
})

// Found by the simulation: the client was told that nothing had been done, and would have sent it again.
test('what is to replace a run and cannot cancel it was acknowledged all the same, and a sweep cancels the run', async () => {
  const { threads } = server.client.beta
  const { thread, holder, letGo } = await queueing(server).heldThread()
  const { pool } = server.app.store
  const genuine = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
  let broken = 0
  pool.query = ((config: { name: string }) => {
    if (config.name !== 'replaced_in_queue') return genuine(config)
    broken += 1
    return Promise.reject(new Error('Connection terminated unexpectedly'))
  }) as typeof pool.query
  await threads.messages.create(thread, say('instead'), replace)
  pool.query = genuine as typeof pool.query
  assert.ok(broken > 0)
  await server.app.engine.sweep()
  assert.equal((await threads.runs.poll(holder, { thread_id: thread })).status, 'cancelled')
  letGo()
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'instead'])
})

test('what was to replace a run cancels nobody who got the thread after it, however late it hears that it was taken', async () => {
  const { threads } = server.client.beta
  const { assistant, thread, holder, letGo } = await queueing(server).heldThread()
  const held = gate()
  mock.next(text(held.opened, 'Second.'))
  const waits = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  // The answer of the write comes when all that was before the run that waits has been, and that run has the thread.
  const late: Store = {
    ...server.app.store,
    async write(write) {
      const done = await server.app.store.write(write)
      if (write.kind !== 'enqueue' || done.outcome !== 'ok') return done
      letGo()
      await threads.runs.poll(holder, { thread_id: thread })
      await mock.received(1)
      return { outcome: 'ok' }
    },
  }
  const messages = [newMessage(thread, 'instead')]
  const entered = await enterThread(
    late,
    { kind: 'append', thread: keyOf(thread), messages },
    () => 'replace',
  )
  assert.equal(entered.outcome, 'ok')
  held.open()
  assert.equal((await threads.runs.poll(waits.id, { thread_id: thread })).status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'instead', 'Second.'])
})
