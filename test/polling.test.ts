import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { gate, hang, text } from './support/mock-model.ts'
import { hold, oneNode } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { inProgress, readyToRun, startServer, type TestServer } from './support/server.ts'

const server = await startServer()
const { client, client6, mock } = server

const pollHeaders = { 'x-stainless-poll-helper': 'true' }

/** How long `work` took, in milliseconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

for (const [version, sdk] of [
  ['7', client],
  ['6', client6 as unknown as OpenAI],
] as const) {
  test(`createAndPoll of a run that takes 1 s returns within 1.2 s (SDK ${version})`, async () => {
    const { assistant, thread } = await readyToRun(server)
    // The machine may be busy with other things: what counts is what the server can do.
    const took: number[] = []
    for (let attempt = 0; attempt < 3; attempt++) {
      mock.reset()
      const { promise: oneSecond, resolve } = Promise.withResolvers<void>()
      mock.next(text(oneSecond, 'Slow.'))
      setTimeout(resolve, 1_000)
      took.push(await timed(() => sdk.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })))
      if (Math.min(...took) <= 1_200) break
    }
    assert.ok(Math.min(...took) <= 1_200, `took ${took.map(Math.round).join(', ')} ms`)
  })
}

test('a poll is held until the run ends, and answered with its end', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const held = gate()
  mock.next(text(held.opened, 'Done.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const poll = server.fetch(`/v1/threads/${thread}/runs/${run.id}`, { headers: pollHeaders })
  held.open()
  const answer = await poll
  assert.equal(((await answer.json()) as { status: string }).status, 'completed')
  assert.equal(answer.headers.get('openai-poll-after-ms'), null)
})

test('a poll is answered in time for a client with a short time-out, with a header that says when to ask again', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await inProgress(server, thread, run.id)
  for (const header of ['x-stainless-timeout', 'x-stainless-read-timeout']) {
    const answer = await server.fetch(`/v1/threads/${thread}/runs/${run.id}`, {
      headers: { ...pollHeaders, [header]: '0.2' },
      signal: AbortSignal.timeout(3_000),
    })
    assert.equal(((await answer.json()) as { status: string }).status, 'in_progress')
    assert.match(answer.headers.get('openai-poll-after-ms') ?? '', /^\d+$/)
  }
  await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
})

test('a plain GET of a run is answered at once', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  // Were it held, it would be for 5 s.
  const answer = await server.fetch(`/v1/threads/${thread}/runs/${run.id}`, {
    signal: AbortSignal.timeout(3_000),
  })
  assert.equal(answer.status, 200)
  await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
})

test('a plain GET of a run whose model is quick is answered with its end', async (t) => {
  const server = await oneNode(t, { tuning: { readWaitMs: 20_000 } })
  const { client, mock } = server
  const { assistant, thread } = await readyToRun(server)
  await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const answers = gate()
  mock.next(text(answers.opened, 'Done.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const read = client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  // The read is with the server before the model's answer: a request sent after it has been answered.
  await server.fetch('/healthz')
  answers.open()
  assert.equal((await read).status, 'completed')
})

test('a plain GET of a run whose end is being committed is answered with its end', async (t) => {
  const server = await oneNode(t, { tuning: { readWaitMs: 20_000 } })
  const { run, free } = await endingRun(server)
  const read = server.client.beta.threads.runs.retrieve(run.id, { thread_id: run.thread_id })
  // The read is with the server before the commit: a request sent after it has been answered.
  await server.fetch('/healthz')
  await free()
  assert.equal((await read).status, 'completed')
})

test('a plain GET of a run does not wait for a commit that takes long', async (t) => {
  const server = await oneNode(t)
  const { run, free } = await endingRun(server)
  const { status } = await server.client.beta.threads.runs.retrieve(run.id, { thread_id: run.thread_id })
  assert.match(status, /queued|in_progress/)
  await free()
  const ended = await server.client.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })
  assert.equal(ended.status, 'completed')
})

/** A run whose model has answered, and whose thread someone else holds: its end cannot be committed before `free`. */
async function endingRun(server: TestServer) {
  const { client, mock, db, app } = server
  const { assistant, thread } = await readyToRun(server)
  const answers = gate()
  mock.next(text(answers.opened, 'Done.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const free = await hold(db.url, 'select from threads where id = $1 for update', [thread])
  answers.open()
  await until(() => app.store.endings.size > 0, 'the turn has its outcome')
  return { run, free }
}

test('a poll that is held sees a change that another node made', async (t) => {
  const server = await oneNode(t)
  const { client, mock } = server
  const { assistant, thread } = await readyToRun(server)
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const poll = server.fetch(`/v1/threads/${thread}/runs/${run.id}`, { headers: pollHeaders })
  // What the commit of another server would leave: no signal of this process tells of it.
  await server.db.sql(
    `with r as (update runs set status = 'cancelled', version = version + 1, owner_node = null, ended_at = 1 where id = $1)
     update threads set active_run_id = null where id = $2`,
    [run.id, thread],
  )
  assert.equal(((await (await poll).json()) as { status: string }).status, 'cancelled')
})

test('polls that are held are let go when the server stops', async () => {
  const stopped = await startServer()
  const { assistant, thread } = await readyToRun(stopped)
  const held = gate()
  stopped.mock.next(text(held.opened, 'Done.'))
  const run = await stopped.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const path = `/v1/threads/${thread}/runs/${run.id}`
  const statusOf = async (answer: Response) => ((await answer.json()) as { status: string }).status
  await inProgress(stopped, thread, run.id)
  const poll = stopped.fetch(path, { headers: pollHeaders })
  // The poll is with the server before the stop: a request sent after it has been answered.
  await stopped.fetch('/healthz')
  const stop = stopped.app.stop()
  assert.equal(await statusOf(await poll), 'in_progress')
  held.open()
  await stop
})

/** How often Postgres was asked for a run while `work` went on. */
async function readsDuring(work: () => Promise<unknown>): Promise<number> {
  const { pool } = server.app.store
  const query = pool.query.bind(pool) as (...args: unknown[]) => unknown
  let reads = 0
  pool.query = ((...args: unknown[]) => {
    if ((args[0] as { name?: string }).name === 'get_run') reads += 1
    return query(...args)
  }) as typeof pool.query
  try {
    await work()
  } finally {
    pool.query = query as typeof pool.query
  }
  return reads
}

test('a server that has its database to itself does not ask it for runs that it wrote', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('Done.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const poll = () => client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.equal(await readsDuring(async () => assert.equal((await poll()).status, 'completed')), 0)
  // What changes in another way is seen all the same.
  await client.beta.threads.runs.update(run.id, { thread_id: thread, metadata: { seen: 'yes' } })
  assert.equal(await readsDuring(async () => assert.deepEqual((await poll()).metadata, { seen: 'yes' })), 1)
  await client.beta.threads.delete(thread)
  await assert.rejects(poll(), { status: 404 })
})
