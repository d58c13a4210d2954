import assert from 'node:assert/strict'
import { test } from 'node:test'
import { text } from './support/mock-model.ts'
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
