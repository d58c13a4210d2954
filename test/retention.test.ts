import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commands } from '../src/cli/commands.ts'
import { runCommand } from '../src/cli/run.ts'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { anotherNode } from './support/nodes.ts'
import { readyToRun, startServer, tool, uploaded } from './support/server.ts'
import { queue, say } from './support/thread-queue.ts'

// Threads are deleted by age. The database's clock is moved; nothing waits for days.

const day = 86_400
// Rounds begin when a test says so.
const tuning = { sweepMs: 3_600_000 }
const env = { RETAIN_THREADS_FOR: String(30 * day) }
const server = await startServer({ env, tuning })
const { client, mock, db } = server
const { threads } = client.beta

/** A pass over all threads, however many rounds it takes; and one more, to remove what it deleted. */
async function pass(rounds = 3): Promise<void> {
  await db.advanceClock(61)
  for (let i = 0; i < rounds; i++) await server.app.engine.sweep()
}

async function rest(days: number): Promise<void> {
  await db.advanceClock(days * day)
  // The server learns the time with its heartbeat.
  await server.app.store.beat()
}

/** Of these threads those that are still there. */
async function left(ids: string[]): Promise<string[]> {
  const found = await Promise.all(
    ids.map((id) =>
      threads.retrieve(id).then(
        () => [id],
        (error: { status?: number }) => (error.status === 404 ? [] : Promise.reject(error as Error)),
      ),
    ),
  )
  return found.flat()
}

async function rowsOf(thread: string): Promise<number> {
  const [row] = await db.sql<{ n: number }>(
    `select (select count(*) from messages where thread_id = $1) + (select count(*) from runs where thread_id = $1)
      + (select count(*) from run_steps where thread_id = $1) + (select count(*) from run_events where thread_id = $1)
      + (select count(*) from threads where id = $1) as n`,
    [thread],
  )
  return Number(row?.n)
}

/** A thread with a run that has completed. */
async function answered(): Promise<{ assistant: string; thread: string; run: string }> {
  const made = await readyToRun(server)
  mock.reset()
  mock.next(text('Yes.'))
  const body = { assistant_id: made.assistant }
  const run = await threads.runs.createAndPoll(made.thread, body)
  assert.equal(run.status, 'completed')
  return { ...made, run: run.id }
}

test('a thread goes when it was not active for the time set, with all its rows, and not a day before', async () => {
  const { thread, run } = await answered()
  const empty = (await threads.create()).id
  await rest(29)
  await pass()
  assert.deepEqual(await left([thread, empty]), [thread, empty])
  await rest(1)
  await pass()
  assert.deepEqual(await left([thread, empty]), [])
  await assert.rejects(threads.messages.list(thread), { status: 404 })
  // The node that executed the run has it in its memory.
  await assert.rejects(threads.runs.retrieve(run, { thread_id: thread }), { status: 404 })
  assert.deepEqual([await rowsOf(thread), await rowsOf(empty)], [0, 0])
})

test('a message and a run make a thread young again', async () => {
  const [plain, spoken, run] = [(await threads.create()).id, (await threads.create()).id, await answered()]
  await rest(20)
  await threads.messages.create(spoken, say('Still here.'))
  mock.next(text('Again.'))
  await threads.runs.createAndPoll(run.thread, { assistant_id: run.assistant })
  await rest(20)
  await pass()
  assert.deepEqual(await left([plain, spoken, run.thread]), [spoken, run.thread])
  await rest(11)
  await pass()
  assert.deepEqual(await left([spoken, run.thread]), [])
})

test('a thread with a run is kept: one that goes on, one that waits for outputs, and what waits for it', async () => {
  const [going, asking] = [await readyToRun(server), await readyToRun(server, { tools: [tool('f')] })]
  mock.reset()
  const held = gate()
  mock.next(text('At last.', held.opened))
  const long = await threads.runs.create(going.thread, { assistant_id: going.assistant })
  await mock.received(0)
  await threads.messages.create(going.thread, say('And then?'), queue)
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const asked = await threads.runs.createAndPoll(asking.thread, { assistant_id: asking.assistant })
  assert.equal(asked.status, 'requires_action')
  // Their deadlines are far away, as with a large RUN_EXPIRES_AFTER.
  await db.sql('update runs set deadline = deadline + $1 where id = any($2)', [
    100 * day,
    [long.id, asked.id],
  ])
  await db.sql('update threads set created_at = 0 where id = any($1)', [[going.thread, asking.thread]])
  await db.sql('update messages set created_at = 0 where thread_id = any($1)', [
    [going.thread, asking.thread],
  ])
  await db.sql('update runs set created_at = 0 where id = any($1)', [[long.id, asked.id]])
  await pass()
  assert.deepEqual(await left([going.thread, asking.thread]), [going.thread, asking.thread])
  assert.equal(
    (await threads.runs.retrieve(asked.id, { thread_id: asking.thread })).status,
    'requires_action',
  )
  held.open()
  await threads.runs.poll(long.id, { thread_id: going.thread })
  await threads.runs.cancel(asked.id, { thread_id: asking.thread })
  await pass()
  // Their runs ended today.
  assert.deepEqual(await left([going.thread, asking.thread]), [going.thread, asking.thread])
  await rest(31)
  await pass()
  assert.deepEqual(await left([going.thread, asking.thread]), [])
})

test('a thread that is used in the moment in which it is looked at is kept', async () => {
  const { thread } = await answered()
  await rest(31)
  const held = await holdRow(thread)
  await pass(1)
  await held()
  assert.deepEqual(await left([thread]), [thread])
  await pass()
  assert.deepEqual(await left([thread]), [])
})

/** Someone else holds the row of a thread; answers what lets it go. */
async function holdRow(thread: string): Promise<() => Promise<void>> {
  const client = await server.app.store.pool.connect()
  await client.query('begin')
  await client.query('select from threads where id = $1 for update', [thread])
  return async () => {
    await client.query('commit')
    client.release()
  }
}

test('a project says for itself how long its threads are kept; 0 keeps them', async () => {
  const ids = [(await threads.create()).id, (await threads.create()).id, (await threads.create()).id]
  const [ours = '', short = '', kept = ''] = ids
  const command = async (words: string) => {
    let said = ''
    const add = (text: string) => void (said += text)
    const code = await runCommand(
      commands,
      words.split(' '),
      { DATABASE_URL: db.url },
      { out: add, err: add },
    )
    assert.equal(code, 0, said)
    return said
  }
  await command('projects create short')
  await command('projects create kept')
  assert.match(await command('projects retain short 2d'), /project short are kept for 2 d\./)
  assert.match(await command('projects retain kept 0'), /project kept are kept for ever\./)
  assert.match(await command('projects retain default default'), /kept as RETAIN_THREADS_FOR says\./)
  assert.match(await command('projects list'), /\nshort .* for 2 d/)
  await db.sql(`update threads set project_id = 'short' where id = $1`, [short])
  await db.sql(`update threads set project_id = 'kept' where id = $1`, [kept])
  await rest(3)
  await pass()
  assert.deepEqual((await stillThere(ids)).toSorted(), [ours, kept].toSorted())
  await rest(30)
  await pass()
  assert.deepEqual(await stillThere(ids), [kept])
})

test('files stay when their thread goes', async () => {
  const file = await uploaded(server)
  const attachments = [{ file_id: file, tools: [{ type: 'file_search' as const }] }]
  const { id } = await threads.create({ messages: [{ ...say('Read this.'), attachments }] })
  await rest(31)
  await pass()
  assert.deepEqual(await left([id]), [])
  assert.equal((await client.files.retrieve(file)).id, file)
})

test('many threads go a few at a time, while runs are served as ever', async () => {
  await db.sql(`insert into threads (id, project_id, created_at, metadata, next_seq)
    select 'thread_many' || i, 'default', 1, '{}', 0 from generate_series(1, 950) i`)
  await db.advanceClock(61)
  const counts: number[] = [950]
  for (let i = 0; i < 12; i++) {
    await server.app.engine.sweep()
    const [row] = await db.sql<{ n: number }>(
      `select count(*)::int as n from threads where id like 'thread_many%' and deleted_at is null`,
    )
    counts.push(row?.n ?? 0)
    if (i === 2) await answered()
  }
  const steps = counts.slice(1).map((n, i) => (counts[i] ?? 0) - n)
  assert.equal(counts.at(-1), 0)
  assert.ok(Math.max(...steps) <= 200, String(steps))
})

test('whoever says in the middle of a pass that threads are kept keeps all that are left', async () => {
  await db.sql(`insert into threads (id, project_id, created_at, metadata, next_seq)
    select 'thread_kept' || i, 'default', 1, '{}', 0 from generate_series(1, 300) i`)
  const count = async () => {
    const [row] = await db.sql<{ n: number }>(
      `select count(*)::int as n from threads where id like 'thread_kept%' and deleted_at is null`,
    )
    return row?.n
  }
  await pass(1)
  const before = await count()
  assert.ok(before !== undefined && before > 0 && before < 300, String(before))
  await db.sql(`update projects set retain_threads_for = 0 where id = 'default'`)
  for (let i = 0; i < 2; i++) await server.app.engine.sweep()
  assert.equal(await count(), before)
  await db.sql(`update projects set retain_threads_for = null where id = 'default'`)
  await pass()
  assert.equal(await count(), 0)
})

test('of several servers one deletes by age, and another when that one has gone', async (t) => {
  await db.sql(`update projects set retain_threads_for = ${30 * day} where id = 'default'`)
  const other = await anotherNode(t, server, { ...tuning, alone: false })
  const apps = [server.app, other.app].toSorted((a, b) => (a.store.node < b.store.node ? -1 : 1))
  const [first, second] = apps
  // The round with which it starts.
  await other.app.engine.sweep()
  const ids = [(await threads.create()).id]
  await rest(31)
  await other.app.store.beat()
  await second?.engine.sweep()
  assert.deepEqual((await stillThere(ids)).length, 1)
  await first?.engine.sweep()
  assert.deepEqual(await stillThere(ids), [])
  ids.push(
    ...(
      await db.sql<{ id: string }>(`insert into threads (id, project_id, created_at, metadata, next_seq)
    values ('thread_late', 'default', 1, '{}', 0) returning id`)
    ).map(({ id }) => id),
  )
  await first?.stop()
  await db.advanceClock(61)
  await second?.engine.sweep()
  assert.deepEqual(await stillThere(ids), [])
})

/** The same without a server. */
async function stillThere(ids: string[]): Promise<string[]> {
  const text = 'select id from threads where id = any($1) and deleted_at is null'
  return (await db.sql<{ id: string }>(text, [ids])).map(({ id }) => id)
}
