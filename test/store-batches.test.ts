import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newId } from '../src/contract/ids.ts'
import { createLog } from '../src/log.ts'
import { GroupCommit } from '../src/store/group-commit.ts'
import { openStore } from '../src/store/store.ts'
import { noRows, type ThreadWrite, type WriteOutcome } from '../src/store/thread-write.ts'
import { atEnd, createDatabase } from './support/database.ts'
import { advance, keyOf, lease, newMessage, newRun, newThread, now, usage } from './support/records.ts'

// Writes of one moment go to Postgres together (group commit); each gets its own outcome all the same.

const db = await createDatabase()
const store = await openStore({ connection: { connectionString: db.url }, log: createLog('silent') })
atEnd(async () => {
  await store.close()
  await db.drop()
})

const ok: WriteOutcome = { outcome: 'ok' }

const committed = async (): Promise<boolean[]> => assert.fail('nothing is in doubt')

function create(): { id: string; messageId: string; write: ThreadWrite } {
  const thread = newThread()
  const message = newMessage(thread.id, 'first')
  return {
    id: thread.id,
    messageId: message.id,
    write: { kind: 'create_thread', thread, messages: [message] },
  }
}

const append = (thread: string, ...texts: string[]): ThreadWrite => ({
  kind: 'append',
  thread: keyOf(thread),
  messages: texts.map((text) => newMessage(thread, text)),
})

async function textsOf(thread: string): Promise<string[]> {
  const rows = await db.sql<{ text: string }>(
    `select content->0->'text'->>'value' as text from messages where thread_id = $1 order by seq`,
    [thread],
  )
  return rows.map((row) => row.text)
}

/** How many transactions wrote these threads' messages. */
async function transactionsOf(threads: string[]): Promise<number> {
  const rows = await db.sql('select distinct xmin::text from messages where thread_id = any($1)', [threads])
  return rows.length
}

test('writes of one moment to different threads are one transaction', async () => {
  const made = Array.from({ length: 20 }, create)
  await Promise.all(made.map(({ write }) => store.write(write)))
  assert.equal(await transactionsOf(made.map(({ id }) => id)), 1)
})

test('no batch holds two writes to one thread or more than 64, and the writes of a thread keep their order', async () => {
  const threads = Array.from({ length: 30 }, () => newThread().id)
  const batches: ThreadWrite[][] = []
  const commit = async (batch: ThreadWrite[]) => {
    batches.push(batch)
    return batch.map(() => ok)
  }
  const commits = new GroupCommit({ commit, committed })
  const many = Array.from({ length: 100 }, () => create().write)
  const writes = [...[1, 2, 3].flatMap((n) => threads.map((id) => append(id, `${n}`))), ...many]
  await Promise.all(writes.map((write) => commits.submit(write)))
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [64, 64, 62],
  )
  for (const batch of batches) {
    assert.equal(new Set(batch.map((write) => write.thread.id)).size, batch.length)
  }
  const sent = batches.flat()
  for (const id of threads) {
    const ofThread = (write: ThreadWrite) => write.thread.id === id
    assert.deepEqual(sent.filter(ofThread), writes.filter(ofThread))
  }
})

test('writes of one moment to the same thread are all done, in the order in which they came', async () => {
  const { id, write } = create()
  const writes = [write, append(id, 'a', 'b'), append(id, 'c'), append(id, 'd')]
  assert.deepEqual(await Promise.all(writes.map((one) => store.write(one))), [ok, ok, ok, ok])
  assert.deepEqual(await textsOf(id), ['first', 'a', 'b', 'c', 'd'])
})

test('a write sees what the one before it in the same moment did', async () => {
  const { id, write } = create()
  const run = newRun(id)
  const messages = [newMessage(id, 'with the run')]
  const writes: ThreadWrite[] = [
    write,
    append(id, 'before'),
    { kind: 'create_run', thread: keyOf(id), messages, run },
    append(id, 'too late'),
    { kind: 'create_run', thread: keyOf(id), messages: [newMessage(id, 'refused')], run: newRun(id) },
    advance(run, { type: 'abandon', now }),
    append(id, 'after'),
  ]
  const locked: WriteOutcome = { outcome: 'locked', runId: run.id, policy: null }
  const outcomes = await Promise.all(writes.map((one) => store.write(one)))
  assert.deepEqual(outcomes, [ok, ok, ok, locked, locked, ok, ok])
  assert.deepEqual(await textsOf(id), ['first', 'before', 'with the run', 'after'])
})

test('of many runs created on one thread in one moment exactly one is', async () => {
  const { id, write } = create()
  await store.write(write)
  const runs = Array.from({ length: 10 }, () => newRun(id))
  const outcomes = await Promise.all(
    runs.map((run) => store.write({ kind: 'create_run', thread: keyOf(id), messages: [], run })),
  )
  const locked: WriteOutcome = { outcome: 'locked', runId: runs[0]?.id ?? '', policy: null }
  assert.deepEqual(outcomes, [ok, ...Array.from({ length: 9 }, () => locked)])
  assert.equal((await db.sql('select from runs where thread_id = $1', [id])).length, 1)
})

test('a write that Postgres refuses fails alone, and the others of its batch are done once', async () => {
  const existing = create()
  await store.write(existing.write)
  const good = Array.from({ length: 12 }, create)
  const foreign = newThread()
  const bad: ThreadWrite[] = [
    // An id that is taken.
    { kind: 'create_thread', thread: { ...newThread(), id: existing.id }, messages: [] },
    // A project that is not there.
    {
      kind: 'create_thread',
      thread: { ...foreign, project_id: 'nobody' },
      messages: [newMessage(foreign.id)],
    },
    // A text that jsonb does not take.
    append(existing.id, 'nul \0'),
  ]
  const writes = good.map(({ write }) => write)
  writes.splice(3, 0, ...bad.slice(0, 1))
  writes.splice(7, 0, ...bad.slice(1, 2))
  writes.push(...bad.slice(2))
  const settled = await Promise.allSettled(writes.map((write) => store.write(write)))
  const failed = settled.flatMap((one, i) => (one.status === 'rejected' ? [i] : []))
  assert.deepEqual(failed, [3, 7, 14])
  for (const one of settled) if (one.status === 'fulfilled') assert.deepEqual(one.value, ok)
  for (const { id } of good) assert.deepEqual(await textsOf(id), ['first'])
  assert.deepEqual(await textsOf(existing.id), ['first'])
  assert.deepEqual(await db.sql('select from threads where id = $1', [foreign.id]), [])
})

test('a message id that is taken in its thread fails the write whole', async () => {
  const { id, messageId, write } = create()
  await store.write(write)
  const messages = [newMessage(id, 'new'), { ...newMessage(id, 'twice'), id: messageId }]
  await assert.rejects(store.write({ kind: 'append', thread: keyOf(id), messages }), { code: '23505' })
  assert.deepEqual(await textsOf(id), ['first'])
  assert.deepEqual(await store.write(append(id, 'next')), ok)
  assert.deepEqual(await textsOf(id), ['first', 'next'])
})

/** One write of a kind, ready to be sent, and what must come of it. */
interface Case {
  write: ThreadWrite
  outcome: WriteOutcome
  id: string
  texts: string[]
  lock: string | null
}

/** The nth of all kinds of writes, good and refused; threads are made ready one by one. */
async function caseOf(n: number): Promise<Case> {
  const { id, messageId, write } = create()
  const thread = keyOf(id)
  const run = newRun(id)
  const kind = n % 12
  const free = { id, texts: ['first'], lock: null }
  if (kind === 0) return { write, outcome: ok, ...free }
  await store.write(write)
  if (kind === 1) return { write: append(id, 'a', 'b'), outcome: ok, ...free, texts: ['first', 'a', 'b'] }
  const start: ThreadWrite = { kind: 'create_run', thread, messages: [newMessage(id, 'asked')], run }
  if (kind === 2) return { write: start, outcome: ok, id, texts: ['first', 'asked'], lock: run.id }
  if (kind === 3)
    return { write: { kind: 'delete_message', thread, messageId }, outcome: ok, ...free, texts: [] }
  if (kind === 4) {
    const gone = { kind: 'delete_message', thread, messageId: newId('message') } as const
    return { write: gone, outcome: { outcome: 'missing' }, ...free }
  }
  if (kind === 5) return { write: { kind: 'delete_thread', thread, rows: noRows, now }, outcome: ok, ...free }
  if (kind === 6) {
    const elsewhere = { ...append(id, 'a'), thread: keyOf(id, 'nobody') } as ThreadWrite
    return { write: elsewhere, outcome: { outcome: 'gone' }, ...free }
  }
  await store.write({ ...start, messages: [] } as ThreadWrite)
  const held = { id, texts: ['first'], lock: run.id }
  const locked: WriteOutcome = { outcome: 'locked', runId: run.id, policy: null }
  if (kind === 7) return { write: append(id, 'a'), outcome: locked, ...held }
  if (kind === 8) return { write: { kind: 'delete_message', thread, messageId }, outcome: locked, ...held }
  if (kind === 9) {
    const begun = advance(run, { type: 'start', lease, now })
    await store.write(begun)
    const newMessages = [newMessage(id, 'answer')]
    const finish = advance(begun.run, { type: 'finish', lease, usage, now }, { ...noRows, newMessages })
    return { write: finish, outcome: ok, id, texts: ['first', 'answer'], lock: null }
  }
  if (kind === 10) {
    const begun = advance(run, { type: 'start', lease, now })
    await store.write(begun)
    return { write: begun, outcome: { outcome: 'stale' }, ...held }
  }
  const ending = advance(run, { type: 'abandon', now }) as Extract<ThreadWrite, { kind: 'advance' }>
  const withRun = { kind: 'delete_thread', thread, run: ending.run, version: 1, rows: noRows, now } as const
  return { write: withRun, outcome: ok, ...free }
}

test('200 writes of all kinds in one moment have the right outcome each', async () => {
  const cases: Case[] = []
  for (let n = 0; n < 200; n++) cases.push(await caseOf(n))
  const outcomes = await Promise.all(cases.map(({ write }) => store.write(write)))
  assert.deepEqual(
    outcomes,
    cases.map(({ outcome }) => outcome),
  )
  const rows = await db.sql<{ id: string; lock: string | null; texts: string[] }>(
    `select t.id, t.active_run_id as lock, coalesce((select array_agg(m.content->0->'text'->>'value' order by m.seq)
      from messages m where m.thread_id = t.id), '{}') as texts from threads t where t.id = any($1)`,
    [cases.map(({ id }) => id)],
  )
  const stored = new Map(rows.map((row) => [row.id, row]))
  for (const { id, lock, texts, write } of cases)
    assert.deepEqual(stored.get(id), { id, lock, texts }, write.kind)
  const broken = await db.sql(
    `select r.id from runs r join threads t on t.id = r.thread_id
      where (r.ended_at is null) <> coalesce(t.active_run_id = r.id, false)`,
  )
  assert.deepEqual(broken, [], 'a thread is held by its active run, and by nothing else')
})
