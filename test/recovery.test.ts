import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { anotherNode, oneNode } from './support/nodes.ts'
import { makeFolder } from './support/embedded-postgres.ts'
import { hang, text } from './support/mock-model.ts'
import { serveAlone } from './support/npm-start.ts'
import { inProgress, readyToRun, startServer } from './support/server.ts'

// How soon the runs of a server that was killed go on. These are the promises that are about real time, so it is measured.

/** Milliseconds, of the promise. */
const soon = 5_000

test('the runs of a killed server are taken up, and their model is called again, within 5 s', async (t) => {
  const server = await oneNode(t)
  await anotherNode(t, server)
  const { mock, db } = server
  const env = { DATABASE_URL: db.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' }
  const doomed = await serveAlone(t, await makeFolder(t), { env })
  const client = new OpenAI({ baseURL: `${doomed.url}/v1`, apiKey: 'unused', maxRetries: 0 })
  const { assistant } = await readyToRun(server)
  const count = 50
  mock.when(() => true, hang())
  const runs = await Promise.all(
    Array.from({ length: count }, () => client.beta.threads.createAndRun({ assistant_id: assistant })),
  )
  await mock.received(count - 1)
  await Promise.all(runs.map((run) => inProgress(server, run.thread_id, run.id)))
  mock.when(() => true, text('Whole.'))
  doomed.signalGroup('SIGKILL')
  const since = performance.now()
  await mock.received(2 * count - 1)
  const took = Math.round(performance.now() - since)
  t.diagnostic(`${count} runs after ${took} ms`)
  assert.ok(took < soon, `${took} ms`)
  const ended = await Promise.all(
    runs.map((run) => server.client.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })),
  )
  assert.deepEqual([...new Set(ended.map(({ status }) => status))], ['completed'])
  assert.equal(mock.requests.length, 2 * count)
})

test('a server that is alone with its database takes up the runs of the one before it at once', async (t) => {
  const byHand = { beatMs: 3_600_000, sweepMs: 3_600_000, drainMs: 0 }
  const before = await oneNode(t, { tuning: byHand })
  const { assistant, thread } = await readyToRun(before)
  before.mock.next(hang(), text('Whole.'))
  const run = await before.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await before.mock.received(0)
  await inProgress(before, thread, run.id)
  // The one before beat a moment ago and has not left: by its silence it is not dead.
  const next = await anotherNode(t, before, { ...byHand, alone: true })
  await next.app.engine.sweep()
  await before.mock.received(1)
  const ended = await next.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})

test('a killed server with its own Postgres goes on with its runs within 5 s of its restart', async (t) => {
  const { mock } = await startServer()
  const dataDir = await makeFolder(t)
  const options = { env: { OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' } }
  const killed = await serveAlone(t, dataDir, options)
  const client = new OpenAI({ baseURL: `${killed.url}/v1`, apiKey: 'unused', maxRetries: 0 })
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  mock.next(hang(), text('Whole.'))
  const run = await client.beta.threads.createAndRun({ assistant_id })
  await mock.received(0)
  killed.signalGroup('SIGKILL')
  await killed.ended()
  const since = performance.now()
  const [next] = await Promise.all([serveAlone(t, dataDir, options), mock.received(1)])
  const took = Math.round(performance.now() - since)
  assert.ok(took < soon, `${took} ms`)
  const again = new OpenAI({ baseURL: `${next.url}/v1`, apiKey: 'unused' })
  const ended = await again.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })
  assert.equal(ended.status, 'completed')
})
