import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { newId } from '../src/contract/ids.ts'
import { createLog } from '../src/log.ts'
import { deleteAssistant, getAssistant, insertAssistant, updateAssistant } from '../src/store/assistants.ts'
import { deleteThread } from '../src/store/delete-thread.ts'
import { getMessage, listMessages, updateMessageMetadata } from '../src/store/messages.ts'
import { applyRunEvent, commitTransition } from '../src/store/run-writes.ts'
import { getRun, listRuns, updateRunMetadata } from '../src/store/runs.ts'
import { getStep, listSteps } from '../src/store/steps.ts'
import { openStore } from '../src/store/store.ts'
import { noRows, type ThreadWrite, type WriteOutcome } from '../src/store/thread-write.ts'
import { getThread, updateThread } from '../src/store/threads.ts'
import { atEnd, createDatabase } from './support/database.ts'
import {
  advance,
  keyOf,
  lease,
  newMessage,
  newRun,
  newStep,
  newThread,
  now,
  project_id,
  usage,
} from './support/records.ts'

// The guards of the store's writes, without engine and HTTP: what may not change must not.

const db = await createDatabase()
const store = await openStore({ connection: { connectionString: db.url }, log: createLog('silent') })
atEnd(async () => {
  await store.close()
  await db.drop()
})
await db.sql(`insert into projects (id, name, created_at) values ('other', 'Another', 0)`)

const page = { limit: 20, order: 'asc' } as const

async function must(write: ThreadWrite): Promise<void> {
  assert.deepEqual(await store.write(write), { outcome: 'ok' })
}

/** A thread with one message. */
async function aThread() {
  const thread = newThread()
  const message = newMessage(thread.id)
  await must({ kind: 'create_thread', thread, messages: [message] })
  return { id: thread.id, message }
}

/** A thread whose run is in progress, with a message and a step that it has begun. */
async function running() {
  const { id: thread, message: first } = await aThread()
  const queued = newRun(thread)
  await must({ kind: 'create_run', thread: keyOf(thread), messages: [], run: queued })
  const message = newMessage(thread, '', {
    role: 'assistant',
    status: 'in_progress',
    run_id: queued.id,
    ended_at: null,
  })
  const step = newStep(queued, message.id)
  const start = advance(
    queued,
    { type: 'start', lease, now },
    { ...noRows, newMessages: [message], newSteps: [step] },
  )
  await must(start)
  return { thread, first, queued, run: start.run, message, step }
}

/** Every row of a thread, as text. */
async function rowsOf(thread: string): Promise<string> {
  const rows = await db.sql<{ all: string }>(
    `select jsonb_build_object(
      'thread', (select to_jsonb(t) from threads t where id = $1),
      'messages', (select jsonb_agg(m order by id) from messages m where thread_id = $1),
      'runs', (select jsonb_agg(r order by id) from runs r where thread_id = $1),
      'steps', (select jsonb_agg(s order by id) from run_steps s where thread_id = $1),
      'events', (select jsonb_agg(e order by term, last_no) from run_events e where thread_id = $1))::text as all`,
    [thread],
  )
  return rows[0]?.all ?? ''
}

/** Sends a write and expects an outcome that left every row of the thread alone. */
async function changesNothing(thread: string, write: ThreadWrite, outcome: WriteOutcome): Promise<void> {
  const before = await rowsOf(thread)
  assert.deepEqual(await store.write(write), outcome)
  assert.equal(await rowsOf(thread), before)
}

/** A write that would change all that a run's write can: run, lock, messages and steps. */
function finishOf({ run, message, step, first, thread }: Awaited<ReturnType<typeof running>>): ThreadWrite {
  return advance(
    run,
    { type: 'finish', lease, usage, now },
    {
      newMessages: [newMessage(thread, 'late')],
      changedMessages: [{ ...message, status: 'completed', ended_at: now }],
      removedMessages: [first.id],
      newSteps: [{ ...newStep(run, message.id), seq: 1 }],
      changedSteps: [{ ...step, status: 'completed', usage, ended_at: now }],
    },
  )
}

test('a write from a stale version leaves run, lock, messages and steps alone', async () => {
  const state = await running()
  const finish = finishOf(state)
  await must(advance(state.run, { type: 'progress', lease, now }))
  await changesNothing(state.thread, finish, { outcome: 'stale' })
})

test('the same write is not done twice', async () => {
  const state = await running()
  const finish = finishOf(state)
  await must(finish)
  await changesNothing(state.thread, finish, { outcome: 'stale' })
})

test('a late finish after a cancel changes nothing', async () => {
  const state = await running()
  const finish = finishOf(state)
  await must(advance(state.run, { type: 'cancel', now }))
  await changesNothing(state.thread, finish, { outcome: 'stale' })
  const run = await getRun(store.pool, project_id, state.thread, state.run.id)
  assert.equal(run?.state.status, 'cancelling')
})

test('a late finish after the thread was deleted changes nothing', async () => {
  const state = await running()
  const finish = finishOf(state)
  assert.equal(await deleteThread(store, keyOf(state.thread)), true)
  await changesNothing(state.thread, finish, { outcome: 'gone' })
  const [run] = await db.sql('select status, owner_node from runs where thread_id = $1', [state.thread])
  assert.deepEqual(run, { status: 'cancelled', owner_node: null })
  assert.equal(await deleteThread(store, keyOf(state.thread)), false)
})

test('a write of another project changes nothing', async () => {
  const state = await running()
  const other = keyOf(state.thread, 'other')
  const gone = { outcome: 'gone' } as const
  const { thread, run } = state
  await changesNothing(thread, { ...finishOf(state), thread: other } as ThreadWrite, gone)
  await changesNothing(
    thread,
    { kind: 'delete_thread', thread: other, run, version: 2, rows: noRows, now },
    gone,
  )

  const free = await aThread()
  const foreign = keyOf(free.id, 'other')
  await changesNothing(free.id, { kind: 'append', thread: foreign, messages: [newMessage(free.id)] }, gone)
  await changesNothing(
    free.id,
    { kind: 'create_run', thread: foreign, messages: [], run: newRun(free.id) },
    gone,
  )
  await changesNothing(free.id, { kind: 'delete_message', thread: foreign, messageId: free.message.id }, gone)
  await changesNothing(free.id, { kind: 'delete_thread', thread: foreign, rows: noRows, now }, gone)
})

test('another project reads and changes nothing', async () => {
  const { pool } = store
  const { thread, run, message, step } = await running()
  const assistant = { id: newId('assistant'), project_id, created_at: now, name: null, description: null }
  const rest = {
    model: 'm',
    instructions: null,
    tools: [],
    tool_resources: null,
    metadata: {},
    temperature: null,
  }
  const more = { top_p: null, response_format: 'auto', reasoning_effort: null } as const
  await insertAssistant(pool, { ...assistant, ...rest, ...more })
  const before = await rowsOf(thread)
  const change = (): never => assert.fail('it was given to change')
  assert.equal(await getAssistant(pool, 'other', assistant.id), null)
  assert.equal(await updateAssistant(pool, 'other', assistant.id, change), null)
  assert.equal(await deleteAssistant(pool, 'other', assistant.id), false)
  assert.ok(await getAssistant(pool, project_id, assistant.id))
  assert.equal(await getThread(pool, 'other', thread), null)
  assert.equal(await updateThread(pool, 'other', thread, change), null)
  assert.equal(await getMessage(pool, 'other', thread, message.id), null)
  assert.equal(await updateMessageMetadata(store, 'other', thread, message.id, change), null)
  assert.equal(await getRun(pool, 'other', thread, run.id), null)
  assert.equal(await updateRunMetadata(pool, 'other', thread, run.id, change), null)
  assert.equal(await getStep(pool, 'other', thread, run.id, step.id), null)
  assert.deepEqual((await listMessages(store, 'other', thread, null, page)).rows, [])
  assert.deepEqual((await listMessages(store, 'other', thread, run.id, page)).rows, [])
  assert.deepEqual((await listRuns(pool, 'other', thread, page)).rows, [])
  assert.deepEqual((await listSteps(pool, 'other', thread, run.id, page)).rows, [])
  const after = { ...page, after: message.id }
  await assert.rejects(listMessages(store, 'other', thread, null, after), { key: 'unknown_cursor' })
  assert.equal(await deleteThread(store, keyOf(thread, 'other')), false)
  assert.equal(await rowsOf(thread), before)
  assert.ok(await getStep(pool, project_id, thread, run.id, step.id))
})

test('events told under a foreign or a lost lease are not logged', async () => {
  const { thread, run } = await running()
  const log = { run_id: run.id, term: 2, first_no: 0, last_no: 0, events: [], ends: false }
  const write = { kind: 'log', thread: keyOf(thread), lease, log } as const
  await must(write)
  const before = await rowsOf(thread)
  for (const other of [
    { ...lease, node: 'node-b' },
    { ...lease, epoch: lease.epoch + 1 },
  ]) {
    const late = { ...log, first_no: 1, last_no: 1 }
    assert.deepEqual(await store.write({ ...write, lease: other, log: late }), { outcome: 'stale' })
  }
  await must(advance(run, { type: 'lose_lease', lease, maxAttempts: 3, now }))
  const after = await rowsOf(thread)
  const late = { ...log, first_no: 2, last_no: 2 }
  assert.deepEqual(await store.write({ ...write, log: late }), { outcome: 'stale' })
  assert.equal(await rowsOf(thread), after)
  assert.notEqual(before, after)
})

test('an event of a foreign or a lost lease is dropped and writes nothing', async () => {
  const { thread, run } = await running()
  const before = await rowsOf(thread)
  const rows = () => assert.fail('rows were asked for')
  for (const foreign of [
    { node: 'node-b', epoch: 1 },
    { node: 'node-a', epoch: 2 },
    { node: 'node-a', epoch: 0 },
  ]) {
    const late = { type: 'finish', lease: foreign, usage, now } as const
    assert.equal((await commitTransition(store, run, [late], rows)).kind, 'dropped')
  }
  assert.equal(await rowsOf(thread), before)

  // The worker does not know yet that it was replaced: its own state still allows the event.
  const lost = await applyRunEvent(store, run, () => ({
    event: { type: 'lose_lease', lease, maxAttempts: 3, now },
  }))
  assert.equal(lost.kind, 'applied')
  const taken = await rowsOf(thread)
  const finish = { type: 'finish', lease, usage, now } as const
  const late = await commitTransition(store, run, [finish], () => ({ rows: noRows, events: [] }))
  assert.equal(late.kind, 'stale')
  assert.equal(await rowsOf(thread), taken)
})

test('two changes from one version: one is applied, the other is told', async () => {
  const { run } = await running()
  const outcomes = await Promise.all([
    store.write(advance(run, { type: 'cancel', now })),
    store.write(advance(run, { type: 'finish', lease, usage, now })),
  ])
  assert.deepEqual(outcomes, [{ outcome: 'ok' }, { outcome: 'stale' }])
})

test('a write that was put off for a held thread row sees what was committed meanwhile', async () => {
  const { id: thread, message } = await aThread()
  const client = new pg.Client({ connectionString: db.url })
  await client.connect()
  try {
    await client.query('begin')
    await client.query(`update threads set active_run_id = 'run_x', next_seq = 50 where id = $1`, [thread])
    const waiting = store.write({ kind: 'delete_message', thread: keyOf(thread), messageId: message.id })
    await flushed()
    await client.query('commit')
    assert.deepEqual(await waiting, { outcome: 'locked', runId: 'run_x', policy: null })

    await client.query('begin')
    await client.query('update threads set active_run_id = null, next_seq = 60 where id = $1', [thread])
    const late = newMessage(thread, 'late')
    const second = store.write({ kind: 'append', thread: keyOf(thread), messages: [late] })
    await flushed()
    await client.query('commit')
    assert.deepEqual(await second, { outcome: 'ok' })
    const seqs = await db.sql<{ seq: string }>('select seq from messages where id = $1', [late.id])
    assert.equal(Number(seqs[0]?.seq), 61)

    await client.query('begin')
    await client.query('update threads set deleted_at = 1 where id = $1', [thread])
    const third = store.write({ kind: 'append', thread: keyOf(thread), messages: [newMessage(thread)] })
    await flushed()
    await client.query('commit')
    assert.deepEqual(await third, { outcome: 'gone' })
  } finally {
    await client.end()
  }
})

/** Resolves once what was submitted in this moment went out: it shares its flush. */
async function flushed(): Promise<void> {
  await store.write({ kind: 'create_thread', thread: newThread(), messages: [] })
}

test('lock and run change in one transaction, at the start and at the end', async () => {
  const transactions = (thread: string) =>
    db.sql<{ same: boolean; active: string | null; status: string }>(
      `select t.xmin = r.xmin as same, t.active_run_id as active, r.status
        from threads t join runs r on r.thread_id = t.id where t.id = $1`,
      [thread],
    )
  const { id: thread } = await aThread()
  const run = newRun(thread)
  await must({ kind: 'create_run', thread: keyOf(thread), messages: [], run })
  assert.deepEqual(await transactions(thread), [{ same: true, active: run.id, status: 'queued' }])
  const start = advance(run, { type: 'start', lease, now })
  await must(start)
  await must(advance(start.run, { type: 'finish', lease, usage, now }))
  assert.deepEqual(await transactions(thread), [{ same: true, active: null, status: 'completed' }])
  await must({ kind: 'create_run', thread: keyOf(thread), messages: [], run: newRun(thread) })
})

test('a second active run is refused by the database itself', async () => {
  const { thread, run } = await running()
  const copy = (status: string) =>
    db.sql(
      `insert into runs select (jsonb_populate_record(r, jsonb_build_object('id', r.id || $2, 'seq', 1000 + length($2),
        'status', $2))).* from runs r where thread_id = $1 and id = $3`,
      [thread, status, run.id],
    )
  for (const status of ['queued', 'in_progress', 'requires_action', 'cancelling']) {
    await assert.rejects(copy(status), { code: '23505', constraint: 'runs_active' })
  }
  await copy('completed')
  await assert.rejects(copy('paused'), { code: '23514' })
})

test('every table but the bookkeeping ones has a project, and the run path is keyed by thread', async () => {
  const bookkeeping = ['threadmill_migrations', 'nodes', 'projects', 'access_version']
  const tables = await db.sql<{ name: string; has: boolean }>(
    `select c.relname as name, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'project_id'
      and a.attnotnull) as has
      from pg_class c where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace`,
  )
  const without = tables.filter((table) => !table.has).map((table) => table.name)
  assert.deepEqual(without.toSorted(), bookkeeping.toSorted())

  const keys = await db.sql<{ name: string; first: string }>(
    `select i.indrelid::regclass::text as name, a.attname as first from pg_index i
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
      where i.indisunique and i.indrelid::regclass::text = any($1)`,
    [['messages', 'runs', 'run_steps', 'run_events']],
  )
  assert.ok(keys.length >= 7)
  for (const { name, first } of keys) assert.equal(first, 'thread_id', `a unique index of ${name}`)
})
