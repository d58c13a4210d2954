import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { until } from './support/npm-start.ts'
import { readyToRun, startServer, textOf } from './support/server.ts'

// A database whose disk is full: it answers, and refuses what needs room with 53100. Here a trigger says so; a real disk is
// filled in test-system/disk-full.test.ts.

const server = await startServer()
const { client, mock, db } = server

await db.sql(`create function no_room() returns trigger language plpgsql as $$
  begin raise exception 'could not extend file' using errcode = '53100'; end $$`)

const tables = ['threads', 'messages', 'run_steps', 'assistants']

/** From now on these tables take no new row; answers how to end it. */
async function fill(t: TestContext): Promise<() => Promise<void>> {
  for (const table of tables)
    await db.sql(`create trigger no_room before insert on ${table} for each row execute function no_room()`)
  const free = async () => {
    for (const table of tables) await db.sql(`drop trigger if exists no_room on ${table}`)
  }
  t.after(free)
  return free
}

const readiness = async () => (await fetch(`${server.app.url}/readyz`)).status

test('while the disk is full writes are answered 503 with retry-after, reads as ever, and readyz tells', async (t) => {
  const { thread } = await readyToRun(server)
  assert.equal(await readiness(), 200)
  const free = await fill(t)
  const post = (path: string, body: object) =>
    server.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const message = { role: 'user', content: 'Is there room?' }
  const [first, ...others] = await Promise.all([
    post(`/v1/threads/${thread}/messages`, message),
    post('/v1/threads', { messages: [message] }),
    post('/v1/assistants', { model: 'mock-model' }),
  ])
  for (const answer of [first, ...others]) {
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
    assert.equal(answer.headers.get('x-should-retry'), null)
  }
  assert.equal((await server.fetch(`/v1/threads/${thread}`)).status, 200)
  assert.equal(await readiness(), 503)
  await free()
  await until(async () => (await readiness()) === 200, 'readyz says 200')
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'Now there is.' })
  const messages = (await client.beta.threads.messages.list(thread)).data.map(textOf)
  assert.deepEqual(messages, ['Now there is.', 'Good morning?'])
})

test('a run whose answer finds the disk full keeps it until there is room, and calls its model once', async (t) => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const free = await fill(t)
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  // Longer than it takes to give a run up, twice over.
  await until(async () => (await readiness()) === 503, 'the answer finds no room')
  for (let i = 0; i < 3; i++) await server.app.engine.sweep()
  const waiting = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.match(waiting.status, /^(queued|in_progress)$/)
  await free()
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal(mock.requests.length, 1)
  const [row] = await db.sql<{ attempts: number }>('select attempts from runs where id = $1', [run.id])
  assert.equal(row?.attempts, 0)
})
