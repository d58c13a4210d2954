import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GroupCommit } from '../src/store/group-commit.ts'
import { text } from './support/mock-model.ts'
import { newThread } from './support/records.ts'
import { readyToRun, startServer, type TestServer } from './support/server.ts'

// How many commits a run takes, told by the rows of its log: each commit of a run writes one.

/** The names of the events in each commit of a streamed run, deltas aside. */
async function commitsOfRun(server: TestServer): Promise<string[][]> {
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(text('Done.'))
  await server.events(`/v1/threads/${thread}/runs`, { assistant_id: assistant })
  const rows = await server.db.sql<{ events: string }>(
    'select events from run_events where thread_id = $1 order by term, first_no',
    [thread],
  )
  const names = (events: string) => (JSON.parse(events) as { event?: string }[]).flatMap((e) => e.event ?? [])
  return rows.map(({ events }) => names(events))
}

const created = ['thread.run.created', 'thread.run.queued']

test('the start of a turn goes with the first thing that the turn commits', async () => {
  const server = await startServer({ tuning: { startAfterMs: 3_600_000 } })
  const [first, second, ...rest] = await commitsOfRun(server)
  assert.deepEqual(first, created)
  assert.deepEqual(second?.slice(0, 2), ['thread.run.in_progress', 'thread.run.step.created'])
  assert.ok(rest.every((commit) => !commit.includes('thread.run.in_progress')))
  assert.equal([second, ...rest].at(-1)?.at(-1), 'thread.run.completed')
})

test('the start of a turn whose model takes its time is committed by itself', async () => {
  const server = await startServer({ tuning: { startAfterMs: 0 } })
  const { assistant, thread } = await readyToRun(server)
  const { promise: heard, resolve } = Promise.withResolvers<void>()
  server.mock.next(text(heard, 'Done.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const seen = server.client.beta.threads.runs.retrieve.bind(server.client.beta.threads.runs)
  while ((await seen(run.id, { thread_id: thread })).status !== 'in_progress') await server.mock.received(0)
  resolve()
  const ended = await server.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})

test('a model that says all at once makes a run of two commits: its creation and its end', async () => {
  // Also on a machine that takes its time.
  const server = await startServer({ tuning: { startAfterMs: 3_600_000 } })
  const { assistant, thread } = await readyToRun(server)
  const chunk = (delta: object, finish_reason: string | null) =>
    `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  // In one write, and so in one piece.
  const answer = [
    chunk({ content: 'All ' }, null),
    chunk({ content: 'at once.' }, 'stop'),
    'data: [DONE]\n\n',
  ]
  server.mock.next(({ response }) => {
    response.setHeader('content-type', 'text/event-stream')
    response.end(answer.join(''))
  })
  const run = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const rows = await server.db.sql(
    `select term, ends from run_events where run_id = '${run.id}' order by term`,
  )
  // Created; started, said and completed.
  assert.deepEqual(rows, [
    { term: 1, ends: false },
    { term: 3, ends: true },
  ])
})

test('whoever waits for the lane is in its next batch, or sends at once if it is free, and is never forgotten', async () => {
  const flushes: { size: number; end: () => void }[] = []
  const commits = new GroupCommit({
    commit: (batch) =>
      new Promise((resolve) => {
        flushes.push({ size: batch.length, end: () => resolve(batch.map(() => ({ outcome: 'ok' }))) })
      }),
    committed: async (batch) => batch.map(() => false),
  })
  const write = () => commits.submit({ kind: 'create_thread', thread: newThread(), messages: [] })
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  await commits.due()
  const first = write()
  await turn()
  const waiting = [commits.due().then(write), commits.due().then(write)]
  const idle = commits.due()
  await turn()
  assert.deepEqual(
    flushes.map(({ size }) => size),
    [1],
  )
  flushes[0]?.end()
  await Promise.all([first, idle])
  while (flushes.length < 2) await turn()
  assert.equal(flushes[1]?.size, 2)
  flushes[1]?.end()
  await Promise.all(waiting)
  await commits.idle()
})

test('a write is not kept waiting by those that ask, one after the other, when it would be sent', async () => {
  let asked = 0
  let askedBefore = -1
  const commits = new GroupCommit({
    commit: async (batch) => {
      if (askedBefore < 0) askedBefore = asked
      return batch.map(() => ({ outcome: 'ok' }))
    },
    committed: async (batch) => batch.map(() => false),
  })
  const written = commits.submit({ kind: 'create_thread', thread: newThread(), messages: [] })
  while (asked < 100) {
    await commits.due()
    asked += 1
  }
  await written
  assert.ok(askedBefore < 3, `${askedBefore} had been told that it would be sent at once`)
})
