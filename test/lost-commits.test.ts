import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { committedWrites } from '../src/store/committed-writes.ts'
import { GroupCommit, UnknownOutcome } from '../src/store/group-commit.ts'
import { NotSent } from '../src/store/pool.ts'
import { noRows, type ThreadWrite, type WriteOutcome } from '../src/store/thread-write.ts'
import { appBehindProxy, loseAnswers } from './support/lost-answers.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { advance, keyOf, newMessage, newRun, newThread, now } from './support/records.ts'
import { readyToRun, startServer, textOf } from './support/server.ts'

// A connection that breaks between COMMIT and its answer leaves a whole flush unknown. Each of its writes is
// looked up under its own id, and what is not there is sent again.

// Two servers write to one database.
const server = await startServer({ tuning: { alone: false } })
const proxy = await startPgProxy(server.db.url)
const behind = await appBehindProxy(server, proxy)

const texts = async (thread: string) =>
  (await server.client.beta.threads.messages.list(thread, { order: 'asc', limit: 100 })).data.map(textOf)

test('a message whose commit answer was lost is in the thread once, and its sender hears of it', async () => {
  const { threads } = behind.client.beta
  const thread = await threads.create()
  proxy.loseAnswersOf('commit_thread_writes', 1)
  const message = await threads.messages.create(thread.id, { role: 'user', content: 'once' })
  assert.equal(proxy.lost, 1)
  assert.deepEqual(await texts(thread.id), ['once'])
  assert.equal((await threads.messages.retrieve(message.id, { thread_id: thread.id })).id, message.id)
})

test('200 lost answers among 64 clients lose nothing, double nothing and make no error', () =>
  loseAnswers(server, behind, proxy, 200))

test('a run whose every commit answer is lost completes, calls the model once and has one answer', async () => {
  const { assistant, thread } = await readyToRun(server)
  server.mock.reset()
  proxy.loseAnswersOf('commit_thread_writes', 3)
  const run = await behind.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.equal(server.mock.requests.length, 1)
  assert.equal((await texts(thread)).length, 2)
})

test('a run whose history cannot be read waits until it can, and loses no attempt', async () => {
  const { assistant, thread } = await readyToRun(server)
  const lost = proxy.lost
  // A read is made again once by itself.
  proxy.loseAnswersOf('newest_messages', 2)
  const run = await behind.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.equal(proxy.lost, lost + 2)
  const rows = await server.db.sql('select attempts from runs where id = $1', [run.id])
  assert.deepEqual(rows, [{ attempts: 0 }])
})

test('each kind of write is told from one that was not done, by ids that only it has', async () => {
  const { store } = server.app
  const [thread, other] = [newThread(), newThread()]
  const first = newMessage(thread.id, 'first')
  const run = newRun(thread.id)
  const doomed = newMessage(thread.id, 'doomed')
  const change = advance(run, { type: 'abandon', now })
  const writes: ThreadWrite[] = [
    { kind: 'create_thread', thread, messages: [doomed] },
    { kind: 'append', thread: keyOf(thread.id), messages: [first] },
    { kind: 'delete_message', thread: keyOf(thread.id), messageId: doomed.id },
    { kind: 'create_run', thread: keyOf(thread.id), messages: [], run },
    change,
  ]
  const inStore = () => committedWrites(store.pool, writes)
  // A message that is not there counts as deleted.
  assert.deepEqual(await inStore(), [false, false, true, false, false])
  for (const write of writes) assert.deepEqual(await store.write(write), { outcome: 'ok' })
  assert.deepEqual(await inStore(), [true, true, true, true, true])
  const foreign: ThreadWrite[] = [
    { kind: 'create_thread', thread: other, messages: [] },
    { kind: 'append', thread: keyOf(thread.id), messages: [newMessage(thread.id, 'x')] },
    // The same change made by someone else.
    { ...change, stamp: 1 } as ThreadWrite,
  ]
  assert.deepEqual(await committedWrites(store.pool, foreign), [false, false, false])
  const remove: ThreadWrite = { kind: 'delete_thread', thread: keyOf(thread.id), rows: noRows, now }
  assert.deepEqual(await committedWrites(store.pool, [remove]), [false])
  assert.deepEqual(await store.write(remove), { outcome: 'ok' })
  assert.deepEqual(await committedWrites(store.pool, [remove]), [true])
})

/** A lane that does as it is told, on a clock that moves only while it pauses. */
function lane(answers: (() => WriteOutcome[])[], inStore: () => boolean[]) {
  let time = 0
  const batches: number[] = []
  const commits = new GroupCommit({
    commit: async (batch) => {
      batches.push(batch.length)
      return (answers.shift() ?? (() => batch.map(() => ({ outcome: 'ok' }) as const)))()
    },
    committed: async () => inStore(),
    monotonic: () => time,
    pause: async (ms) => void (time += ms),
  })
  return { commits, batches, time: () => time }
}

const broken = () => {
  throw new Error('Connection terminated unexpectedly')
}
const refused = (code: string) => () => {
  throw Object.assign(new pg.DatabaseError('refused', 10, 'error'), { code, severity: 'ERROR' })
}
const write = (): ThreadWrite => ({ kind: 'create_thread', thread: newThread(), messages: [] })

test('a write that was refused when it was sent again is looked up once more: it may have met itself', async () => {
  const seen = [false, true]
  const { commits, batches } = lane([broken, () => [{ outcome: 'stale' }]], () => [seen.shift() ?? true])
  assert.deepEqual(await commits.submit(write()), { outcome: 'ok' })
  assert.equal(batches.length, 2)
})

test('a write that is refused again after nothing of it was found is refused', async () => {
  const stale: WriteOutcome = { outcome: 'stale' }
  const { commits } = lane([broken, () => [stale], () => [stale]], () => [false])
  assert.deepEqual(await commits.submit(write()), stale)
})

test('a write that is still under way elsewhere is never answered as not written', async () => {
  // Its own first sending holds the row: the replay meets a lock until its time is up.
  const held = Array.from({ length: 100 }, () => refused('55P03'))
  const { commits } = lane([broken, ...held], () => [false])
  await assert.rejects(commits.submit(write()), UnknownOutcome)
  const away = () => {
    throw new NotSent('no connection', { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) })
  }
  const gone = lane([broken, ...Array.from({ length: 1_000 }, () => away)], () => [false])
  await assert.rejects(gone.commits.submit(write()), UnknownOutcome)
})

test('a write that breaks every connection it is sent on is given up, and its neighbours are done', async () => {
  const poison = write()
  let sent = 0
  let time = 0
  const commits = new GroupCommit({
    commit: async (batch) => {
      if (!batch.includes(poison)) return batch.map(() => ({ outcome: 'ok' }) as const)
      sent += 1
      return broken()
    },
    committed: async (batch) => batch.map(() => false),
    monotonic: () => time,
    pause: async (ms) => void (time += ms),
  })
  const settled = await Promise.allSettled([poison, write(), write()].map((one) => commits.submit(one)))
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled'],
  )
  assert.equal(sent, 4)
  await commits.idle()
})

test('when nobody can tell what became of a commit within 8 s, its writers hear exactly that', async () => {
  const { commits, time } = lane([broken], () => broken())
  await assert.rejects(commits.submit(write()), UnknownOutcome)
  assert.ok(time() > 8_000 && time() < 9_000)
})

test('a write that never left waits 5 s for a connection and fails as not written', async () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const away = () => {
    throw new NotSent('no connection', { cause })
  }
  const { commits, time } = lane(
    Array.from({ length: 1_000 }, () => away),
    broken,
  )
  await assert.rejects(commits.submit(write()), NotSent)
  assert.ok(time() > 5_000 && time() < 6_000)
  const back = lane([away, away, away], broken)
  assert.deepEqual(await back.commits.submit(write()), { outcome: 'ok' })
})

test('a deadlock or a lock that is held does not fail a write: it is tried again, apart from the others', async () => {
  const others = Array.from({ length: 4 }, write)
  const { commits, batches } = lane([refused('55P03'), refused('55P03'), refused('40P01')], broken)
  const outcomes = await Promise.all([write(), ...others].map((one) => commits.submit(one)))
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['ok', 'ok', 'ok', 'ok', 'ok'],
  )
  assert.equal(batches[0], 5)
})
