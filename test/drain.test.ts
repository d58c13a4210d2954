import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newRunState } from '../src/domain/run.ts'
import { gate, text } from './support/mock-model.ts'
import { anotherNode, oneNode, lastBeat } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { keyOf, newRun } from './support/records.ts'
import { inProgress, readyToRun, textOf, type TestServer } from './support/server.ts'

// A server that stops still owns its runs until it has handed them back.

/** So long that a test which waits for the drain to end by itself fails. */
const drainMs = 60_000
const never = () => gate().opened

/** A run on this node, which will say what `answer` says. */
async function begin(server: TestServer, ...answer: Parameters<typeof text>) {
  const { assistant, thread } = await readyToRun(server)
  const before = server.mock.requests.length
  server.mock.next(text(...answer))
  const { id } = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const request = await server.mock.received(before)
  await inProgress(server, thread, id)
  return { assistant, thread, id, request }
}

test('a server that stops keeps its runs for as long as it lets them go on: no other node takes them', async (t) => {
  const tuning = { silence: 1, beatMs: 50, sweepMs: 50, drainMs }
  const server = await oneNode(t, { tuning })
  const other = await anotherNode(t, server, tuning)
  const held = gate()
  const { thread, id } = await begin(server, 'In', held.opened, ' time.')
  const since = await lastBeat(server, server.app)
  const stopped = server.app.stop()
  await until(
    async () => (await lastBeat(server, server.app)) > since + 2,
    'beats for longer than the silence',
  )
  held.open()
  await stopped
  const ended = await other.client.beta.threads.runs.retrieve(id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal(server.mock.requests.length, 1)
  assert.equal(await lastBeat(server, server.app), 0)
})

test('a cancel that comes in elsewhere reaches a server that is stopping', { timeout: 30_000 }, async (t) => {
  const tuning = { sweepMs: 50, drainMs }
  const server = await oneNode(t, { tuning })
  const other = await anotherNode(t, server, tuning)
  const { thread, id, request } = await begin(server, 'On and', never())
  const stopped = server.app.stop()
  const cancelled = await other.client.beta.threads.runs.cancel(id, { thread_id: thread })
  assert.equal(cancelled.status, 'cancelling')
  assert.equal(await request.ended, 'aborted')
  await stopped
  const ended = await other.client.beta.threads.runs.retrieve(id, { thread_id: thread })
  assert.equal(ended.status, 'cancelled')
})

test(
  'a run expires in time while its server is stopping, with what it had said',
  { timeout: 30_000 },
  async (t) => {
    const server = await oneNode(t, { tuning: { sweepMs: 50, drainMs } })
    const { thread, id } = await begin(server, 'So far', never())
    const stopped = server.app.stop()
    await server.db.advanceClock(601)
    await stopped
    const other = await anotherNode(t, server)
    const ended = await other.client.beta.threads.runs.retrieve(id, { thread_id: thread })
    assert.equal(ended.status, 'expired')
    assert.equal(textOf((await other.client.beta.threads.messages.list(thread)).data[0]), 'So far')
  },
)

test('a server that stops begins no run that waits, not even when one of its own has ended', async (t) => {
  const server = await oneNode(t, { env: { MAX_CONCURRENT_RUNS: '2' }, tuning: { drainMs } })
  const [held, longer] = [gate(), gate()]
  const first = await begin(server, 'In', held.opened, ' time.')
  await begin(server, 'Just in', longer.opened, ' time.')
  const { assistant, thread } = await readyToRun(server)
  const waiting = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const stopped = server.app.stop()
  held.open()
  const status = 'select status, owner_node from runs where id = $1'
  const rowOf = async (run: string) => (await server.db.sql<{ status: string }>(status, [run]))[0]
  await until(async () => (await rowOf(first.id))?.status === 'completed', 'the first run has ended')
  await server.app.engine.sweep()
  assert.deepEqual(await rowOf(waiting.id), { status: 'queued', owner_node: null })
  longer.open()
  await stopped
  assert.equal(server.mock.requests.length, 2)
  const other = await anotherNode(t, server)
  const ended = await other.client.beta.threads.runs.poll(waiting.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})

/** What a request does that took its place before the drain: it writes a run of this node, and then announces it. */
async function announce(server: TestServer) {
  const { store } = server.app
  const { thread } = await readyToRun(server)
  const run = newRun(thread)
  run.state = newRunState(store.node, store.clock.now() + 600)
  await store.write({ kind: 'create_run', thread: keyOf(thread), messages: [], run })
  store.signals.changed(run)
  return { thread, id: run.id }
}

test('a run that begins during the drain is waited for like the others', async (t) => {
  const server = await oneNode(t, { tuning: { sweepMs: 3_600_000 } })
  const { engine } = server.app
  const [first, second] = [gate(), gate()]
  const { thread, id } = await begin(server, first.opened, 'First.')
  let settled = false
  const settling = engine.settle(drainMs).then(() => (settled = true))
  server.mock.next(text(second.opened, 'Second.'))
  const late = await announce(server)
  first.open()
  await server.client.beta.threads.runs.poll(id, { thread_id: thread })
  await until(() => engine.running === 1, 'the first run has left')
  assert.equal(settled, false)
  second.open()
  await settling
  const ended = await server.client.beta.threads.runs.retrieve(late.id, { thread_id: late.thread })
  assert.equal(ended.status, 'completed')
})

test('a run that its server wrote when it was leaving is begun by the next sweep of another', async (t) => {
  const server = await oneNode(t)
  const other = await anotherNode(t, server, { sweepMs: 3_600_000 })
  await server.app.engine.settle(0)
  await server.app.engine.release()
  const late = await announce(server)
  assert.equal(server.app.engine.running, 0)
  await other.app.engine.sweep()
  const ended = await other.client.beta.threads.runs.poll(late.id, { thread_id: late.thread })
  assert.equal(ended.status, 'completed')
  const [row] = await server.db.sql<{ attempts: number }>('select attempts from runs where id = $1', [
    late.id,
  ])
  assert.equal(row?.attempts, 0)
})

test('a server that stops beside others says so on /readyz, and serves whoever is still sent to it', async (t) => {
  const server = await oneNode(t, { tuning: { seenMs: 2_000 } })
  const other = await anotherNode(t, server)
  const { assistant, thread } = await readyToRun(server)
  const { url } = server.app
  const stopped = server.app.stop()
  const ready = await fetch(`${url}/readyz`)
  assert.equal(ready.status, 503)
  // Nobody is to come back by the same connection.
  assert.equal(ready.headers.get('connection'), 'close')
  server.mock.next(text('Done.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await stopped
  await assert.rejects(fetch(`${url}/readyz`))
  const ended = await other.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})
