import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApp, type Tuning } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { judgingFetch } from './support/contract.ts'
import { atEnd } from './support/database.ts'
import { gate, hang, text } from './support/mock-model.ts'
import {
  allEvents,
  getEvents,
  merged,
  namesOf,
  OpenStream,
  postStream,
  textOfDeltas,
  type SeenEvent,
} from './support/run-events.ts'
import { readyToRun, startServer, textOf, type TestServer } from './support/server.ts'

// The events of runs that other nodes execute, and of runs whose node is lost.

// No beats but those that a test makes: nothing is noticed by accident.
const server = await startServer({ tuning: { beatMs: 3_600_000 } })
const { mock, client, db } = server
const other = await anotherNode()

/** A second server on the same database. */
async function anotherNode(tuning: Tuning = {}): Promise<Pick<TestServer, 'app' | 'fetch'>> {
  const env = {
    PORT: '0',
    DATABASE_URL: db.url,
    OPENAI_BASE_URL: mock.baseUrl,
    OPENAI_API_KEY: 'sk-of-the-backend',
  }
  const app = await startApp(readConfig(env), createLog('silent'), { beatMs: 3_600_000, ...tuning })
  atEnd(() => app.stop())
  return {
    app,
    fetch: (path, init = {}) => {
      const headers = new Headers(init.headers)
      headers.set('openai-beta', 'assistants=v2')
      return judgingFetch(app.url + path, { ...init, headers })
    },
  }
}

function runIn(events: readonly SeenEvent[]): string {
  return /run_\w{24}/.exec(JSON.stringify(events))?.[0] ?? assert.fail('no run in these events')
}

/** Milliseconds until the stream shows `sign`. */
async function msUntil(stream: OpenStream, sign: string): Promise<number> {
  const since = performance.now()
  await stream.until(sign)
  return performance.now() - since
}

test('a run can be followed from another node, deltas included, within a second', async () => {
  const { assistant, thread } = await readyToRun(server)
  const gates = [gate(), gate()]
  mock.next(text('One, ', gates[0]?.opened ?? '', 'two, ', gates[1]?.opened ?? '', 'three.'))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const path = { thread, run: runIn(await here.until('One, ')) }
  const there = new OpenStream(await getEvents(other, path))
  await there.until('One, ')
  gates[0]?.open()
  assert.ok((await msUntil(there, 'two, ')) < 1_000)
  gates[1]?.open()
  assert.ok((await msUntil(there, 'three.')) < 1_000)
  assert.deepEqual(await there.toEnd(), await here.toEnd())
})

test('a stream that broke off on one node goes on exactly there on another', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text('One, ', 'two, ', held.opened, 'three.'))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const seen = await here.until('two, ')
  await here.leave()
  const path = { thread, run: runIn(seen) }
  const rest = new OpenStream(await getEvents(other, path, seen.at(-1)?.id))
  held.open()
  const all = [...seen, ...(await rest.toEnd())]
  assert.deepEqual(all, await allEvents(server, path))
  assert.equal([...textOfDeltas(all).values()].join(), 'One, two, three.')
})

test('a node whose connection for notices was cut hears again, and misses nothing', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text('One, ', held.opened, 'two.'))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const path = { thread, run: runIn(await here.until('One, ')) }
  const there = new OpenStream(await getEvents(other, path))
  await there.until('One, ')
  await db.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'threadmill notices'`,
  )
  held.open()
  assert.deepEqual(await there.toEnd(), await here.toEnd())
})

test('a cancel on another node reaches the owner without waiting for a beat', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Half', gate().opened))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const run = runIn(await here.until('Half'))
  const since = performance.now()
  const cancelled = await other.fetch(`/v1/threads/${thread}/runs/${run}/cancel`, { method: 'POST' })
  assert.equal(cancelled.status, 200)
  const seen = await here.toEnd()
  assert.ok(performance.now() - since < 1_000)
  assert.deepEqual(namesOf(seen).slice(-4), [
    'run.cancelling',
    'message.incomplete',
    'run.step.cancelled',
    'run.cancelled',
  ])
  assert.deepEqual(await allEvents(other, { thread, run }), seen)
})

test('after a takeover the abandoned message is closed as incomplete, then the new one begins, for everyone', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text('Lost ', held.opened, 'words', gate().opened))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const path = { thread, run: runIn(await here.until('Lost ')) }
  // As a crash leaves it: owned by a node that is not there. What the former owner tells from now on is not stored.
  await db.sql(
    `update runs set owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1`,
    [path.run],
  )
  held.open()
  const seen = await here.until('words')
  mock.next(text('A whole', ' answer.'))
  await other.app.engine.sweep()
  const all = await here.toEnd()
  const names = [
    'run.created run.queued run.in_progress run.step.created run.step.in_progress',
    'message.created message.in_progress message.delta message.incomplete run.step.failed',
    'run.queued run.in_progress run.step.created run.step.in_progress',
    'message.created message.in_progress message.delta message.completed run.step.completed run.completed',
  ]
  assert.equal(namesOf(all).join(' '), names.join(' '))
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.equal(textOf(message), 'A whole answer.')
  assert.equal(textOfDeltas(all).get(message?.id ?? ''), 'A whole answer.')
  // Whoever saw words that were lost goes on with the closing of their message.
  const told = await allEvents(other, path)
  assert.ok(!JSON.stringify(told).includes('words'))
  const lost = await allEvents(other, path, seen.at(-1)?.id)
  assert.equal(namesOf(lost)[0], 'message.incomplete')
  assert.deepEqual(lost, told.slice(-lost.length))
  assert.deepEqual(merged([...seen, ...lost]), merged(all))
})

test('deltas that were stored before their node was lost are in the history, and their message is closed', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Lost ', 'words', gate().opened))
  const here = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const path = { thread, run: runIn(await here.until('words')) }
  const there = new OpenStream(await getEvents(other, path))
  await there.until('words')
  await db.sql(
    `update runs set owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1`,
    [path.run],
  )
  const calls = mock.requests.length
  mock.next(hang())
  await other.app.engine.sweep()
  await there.until('run.step.failed')
  await mock.received(calls)
  await other.fetch(`/v1/threads/${thread}/runs/${path.run}/cancel`, { method: 'POST' })
  assert.deepEqual(await there.toEnd(), await here.toEnd())
  assert.deepEqual(await allEvents(server, path), await allEvents(other, path))
})

test('a held poll on another node is answered when the run ends', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  const calls = mock.requests.length
  mock.next(text('One', held.opened))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(calls)
  const poll = other.fetch(`/v1/threads/${thread}/runs/${run.id}`, {
    headers: { 'x-stainless-poll-helper': 'true' },
  })
  held.open()
  const answer = (await (await poll).json()) as { status: string }
  assert.equal(answer.status, 'completed')
})

test('a stream whose run is handed over by a server that stops goes on to the end on that server', async () => {
  const leaving = await anotherNode({ drainMs: 20 })
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Half', gate().opened))
  const stream = new OpenStream(
    await postStream(leaving, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const path = { thread, run: runIn(await stream.until('Half')) }
  mock.next(text('A whole answer.'))
  const stopped = leaving.app.stop()
  await stream.until('thread.message.incomplete')
  await server.app.engine.sweep()
  const seen = await stream.toEnd()
  await stopped
  assert.equal(seen.at(-1)?.event, 'thread.run.completed')
  assert.deepEqual(await allEvents(server, path), seen)
})
