import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { startApp, type App } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { judgingFetch } from './contract.ts'
import { atEnd } from './database.ts'
import type { PgProxy } from './pg-proxy.ts'
import { textOf, type TestServer } from './server.ts'

// A server that reaches its database by way of a proxy, which loses the answers of commits.

export interface BehindProxy {
  app: App
  client: OpenAI
}

/** Starts a server on the model of `server`, and on its database by way of the proxy, for the tests of this file. */
export async function appBehindProxy(server: TestServer, proxy: PgProxy): Promise<BehindProxy> {
  const config = readConfig({
    PORT: '0',
    DATABASE_URL: proxy.url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
  })
  const app = await startApp(config, createLog('silent'))
  atEnd(() => app.stop())
  const settings = { baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch }
  return { app, client: new OpenAI(settings) }
}

/**
 * Loses the answers of `count` commits under the load of 64 clients who send nothing twice: each of their requests is answered as if
 * nothing had been, and everything is there once.
 */
export async function loseAnswers(
  { db, mock }: TestServer,
  { client }: BehindProxy,
  proxy: PgProxy,
  count: number,
): Promise<void> {
  const { threads, assistants } = client.beta
  const assistant = await assistants.create({ model: 'mock-model' })
  const rows = async () => {
    const [counted] = await db.sql<{ threads: number; runs: number; open: number }>(
      `select (select count(*)::int from threads) as threads, (select count(*)::int from runs) as runs,
        (select count(*)::int from runs where ended_at is null) as open`,
    )
    return counted ?? assert.fail()
  }
  const before = await rows()
  const lostBefore = proxy.lost
  mock.reset()
  let rounds = 0
  const work = async (n: number) => {
    while (proxy.lost - lostBefore < count) {
      rounds += 1
      const thread = await threads.create({ messages: [{ role: 'user', content: `a${n}` }] })
      await threads.messages.create(thread.id, { role: 'user', content: `b${n}` })
      const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id })
      assert.equal(run.status, 'completed', JSON.stringify(run.last_error))
      const all = (await threads.messages.list(thread.id, { order: 'asc' })).data.map(textOf)
      assert.deepEqual(all.slice(0, 2), [`a${n}`, `b${n}`])
      assert.equal(all.length, 3)
    }
  }
  proxy.loseAnswersOf('commit_thread_writes', count)
  await Promise.all(Array.from({ length: 64 }, (_, n) => work(n)))
  assert.equal(proxy.lost - lostBefore, count)
  const after = await rows()
  assert.equal(after.threads - before.threads, rounds, 'threads')
  assert.equal(after.runs - before.runs, rounds, 'runs')
  assert.equal(after.open, before.open, 'runs that have not ended')
  assert.equal(mock.requests.length, rounds, 'model calls')
}
