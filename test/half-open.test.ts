import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { inProgress, startServer } from './support/server.ts'
import { hang } from './support/mock-model.ts'

// A connection to the database that is dead without a word: nothing closes it, and nothing comes back.

const server = await startServer()

test('with a database that no longer answers, requests get 503 in bounded time and the server still stops', async () => {
  const proxy = await startPgProxy(server.db.url)
  const config = readConfig({
    PORT: '0',
    DATABASE_URL: proxy.url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
  })
  const app = await startApp(config, createLog('silent'), { drainMs: 200 })
  const at = (path: string, body?: object) =>
    fetch(`${app.url}/v1${path}`, {
      headers: { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' },
      ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
    })
  const { id: assistant_id } = (await (await at('/assistants', { model: 'mock-model' })).json()) as {
    id: string
  }
  server.mock.next(hang())
  const created = await at('/threads/runs', { assistant_id })
  assert.equal(created.status, 200)
  const run = (await created.json()) as { id: string; thread_id: string }
  await server.mock.received(0)
  // A commit of the run's own that is under way would keep the thread's from being sent, which is known then.
  await inProgress(server, run.thread_id, run.id)

  proxy.blackHole = true
  const [ready, read, write] = await Promise.all([
    fetch(`${app.url}/readyz`),
    at(`/assistants/${assistant_id}`),
    at('/threads', {}),
  ])
  assert.equal(ready.status, 503)
  assert.equal(read.status, 503)
  assert.equal(read.headers.get('retry-after'), '1')
  assert.equal(write.status, 503)
  // Nobody can tell whether the thread was made.
  assert.equal(write.headers.get('x-should-retry'), 'false')

  const since = performance.now()
  await app.stop().catch(() => {})
  assert.ok(performance.now() - since < 15_000)
})
