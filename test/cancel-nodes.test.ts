import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { makeFolder } from './support/embedded-postgres.ts'
import { delta, hang, stall, text, type Answer } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { serveAlone } from './support/npm-start.ts'
import { inProgress, readyToRun, textOf } from './support/server.ts'

// How soon a cancel ends a run, whichever node is asked: a promise about real time, so it is measured.

/** Milliseconds, of the promise, at the 99th percentile. */
const soon = 1_000

/** Says a word every 20 ms and never ends. */
const slowly: Answer = async (exchange) => {
  for (let i = 0; !exchange.signal.aborted; i++) {
    await exchange.send(delta({ content: `word ${i} ` }))
    await sleep(20)
  }
}

test('of 320 cancels at either of two nodes, 99 in 100 end their run within a second, whoever works on it', async (t) => {
  const server = await oneNode(t)
  const other = await anotherNode(t, server)
  server.mock.when(() => true, slowly)
  const { assistant } = await readyToRun(server)
  const clients = [server.client, other.client] as const
  const took: number[] = []
  const work = async (worker: number) => {
    for (let i = 0; i < 40; i++) {
      const run = await clients[worker % 2]?.beta.threads.createAndRun({ assistant_id: assistant })
      assert.ok(run)
      const path = { thread_id: run.thread_id }
      // Most are under way, some have just begun; three of four are cancelled where they are not.
      if (i % 8 > 0) await inProgress(server, run.thread_id, run.id)
      const { runs } = (clients[(worker + (i % 4 > 0 ? 1 : 0)) % 2] ?? server.client).beta.threads
      const since = performance.now()
      await runs.cancel(run.id, path)
      const ended = await runs.poll(run.id, path)
      took.push(performance.now() - since)
      assert.equal(ended.status, 'cancelled')
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, i) => work(i)))
  took.sort((a, b) => a - b)
  const at = (share: number) => Math.round(took[Math.ceil(took.length * share) - 1] ?? NaN)
  t.diagnostic(`${took.length} cancels: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`)
  assert.equal(took.length, 320)
  assert.ok(at(0.99) < soon, `p99 ${at(0.99)} ms`)
})

test('runs that were being cancelled when their server was killed end cancelled, without another word of their models', async (t) => {
  const server = await oneNode(t)
  const { mock, db, client } = server
  const env = { DATABASE_URL: db.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' }
  const doomed = await serveAlone(t, await makeFolder(t), { env })
  const there = new OpenAI({ baseURL: `${doomed.url}/v1`, apiKey: 'unused', maxRetries: 0 })
  const { assistant } = await readyToRun(server)
  mock.when(() => true, stall('Half'))
  const runs = await Promise.all(
    Array.from({ length: 5 }, () => there.beta.threads.createAndRun({ assistant_id: assistant })),
  )
  await mock.received(runs.length - 1)
  await Promise.all(runs.map((run) => inProgress(server, run.thread_id, run.id)))
  // Paused it cannot end them, and killed it never will.
  doomed.signalGroup('SIGSTOP')
  for (const run of runs) {
    const { status } = await client.beta.threads.runs.cancel(run.id, { thread_id: run.thread_id })
    assert.equal(status, 'cancelling')
  }
  doomed.signalGroup('SIGKILL')
  const since = performance.now()
  for (const run of runs) {
    const ended = await client.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })
    assert.equal(ended.status, 'cancelled')
    await client.beta.threads.messages.create(run.thread_id, { role: 'user', content: 'Free again.' })
    const messages = (await client.beta.threads.messages.list(run.thread_id)).data.map(textOf)
    assert.deepEqual(messages, ['Free again.'])
  }
  // As soon as runs of a killed server are taken up (test/recovery.test.ts).
  assert.ok(performance.now() - since < 5_000, `${performance.now() - since} ms`)
  assert.equal(mock.requests.length, runs.length)
})

test('a run that was being cancelled when its server stopped in order ends cancelled', async (t) => {
  const server = await oneNode(t, { tuning: { drainMs: 50 } })
  const other = await anotherNode(t, server)
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(hang())
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await inProgress(server, thread, run.id)
  const [cancelled] = await Promise.all([
    other.client.beta.threads.runs.cancel(run.id, { thread_id: thread }),
    server.app.stop(),
  ])
  assert.match(cancelled.status, /^cancell(ing|ed)$/)
  const ended = await other.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'cancelled')
  server.mock.when(() => true, text('Again.'))
  const next = await other.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(next.status, 'completed')
})
