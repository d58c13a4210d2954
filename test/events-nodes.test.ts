import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApp, type Tuning } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { judgingFetch } from './support/contract.ts'
import { atEnd } from './support/database.ts'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
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
import { readyToRun, startServer, textOf, tool, type TestServer } from './support/server.ts'

// The events of runs that other nodes execute, and of runs whose node is lost.

// No beats but those that a test makes: nothing is noticed by accident.
const server = await startServer({ tuning: { alone: false, beatMs: 3_600_000 } })
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

test('a notice that is none of ours, of another program or of a later version, is passed over', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  for (const payload of ['', 'hm?', 'null', '[]', '["x"]', '["x",[null]]', '["x",[1]]', '["x",[{}]]']) {
    await db.sql('select pg_notify($1, $2)', ['threadmill_runs', payload])
  }
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  // What comes behind it is heard.
  const since = performance.now()
  const cancelled = await other.fetch(`/v1/threads/${thread}/runs/${run.id}/cancel`, { method: 'POST' })
  assert.equal(cancelled.status, 200)
  await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.ok(performance.now() - since < 900)
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

test('a stream that outlasts the stop of its server breaks off without an end, and goes on elsewhere', async () => {
  const leaving = await anotherNode({ drainMs: 20, followMs: 300 })
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Thanks.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const path = { thread, run: run.id }
  const stream = new OpenStream(await getEvents(leaving, path))
  await stream.until('thread.run.requires_action')
  await leaving.app.stop()
  const seen = await stream.rest()
  assert.ok(!stream.text.includes('event: done'))
  await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '1' }],
  })
  const rest = await allEvents(other, path, seen.at(-1)?.id)
  assert.deepEqual([...seen, ...rest], await allEvents(server, path))
})

/** Numbers in [0, 1) from a seed that repeats them. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

test('whoever joins and rejoins whichever node while owners are lost sees one order, which adds up to what is stored', async (t) => {
  const seed = Number(process.env['EVENTS_SEED'] ?? Date.now() % 2 ** 31)
  t.diagnostic(`EVENTS_SEED=${seed}`)
  const random = randomFrom(seed)
  const nodes = [server, other]
  const anyNode = () => nodes[Math.floor(random() * nodes.length)] ?? server
  for (let life = 0; life < 8; life++) {
    const { assistant, thread } = await readyToRun(server)
    // At most two losses: the third would fail the run.
    const losses = Math.floor(random() * 3)
    const cancelled = random() < 0.25
    const gates = Array.from({ length: losses + 1 }, () => [gate(), gate(), gate()])
    for (const [i, [a, b, c]] of gates.entries()) {
      const last = i === losses && !cancelled
      mock.next(
        text(
          `${i}a`,
          a?.opened ?? '',
          `${i}b`,
          b?.opened ?? '',
          `${i}c`,
          c?.opened ?? '',
          ...(last ? [] : [gate().opened]),
        ),
      )
    }
    const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
    const path = { thread, run: run.id }
    const readers = Array.from({ length: 6 }, async () => {
      const seen: SeenEvent[] = []
      const leaves = [random() * 9, random() * 5].map(Math.ceil)
      for (const count of leaves) {
        const stream = new OpenStream(await getEvents(anyNode(), path, seen.at(-1)?.id))
        seen.push(...(await stream.atLeast(count)))
        await stream.leave()
      }
      return [...seen, ...(await allEvents(anyNode(), path, seen.at(-1)?.id))]
    })
    const watch = new OpenStream(await getEvents(anyNode(), path))
    for (const [i, attempt] of gates.entries()) {
      await watch.until(`${i}a`)
      const stolenAfter = Math.floor(random() * 3)
      for (const [j, held] of attempt.entries()) {
        if (i < losses && j === stolenAfter) {
          await db.sql(
            `update runs set owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1`,
            [run.id],
          )
        }
        held.open()
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (i < losses) await anyNode().app.engine.sweep()
    }
    if (cancelled) await anyNode().fetch(`/v1/threads/${thread}/runs/${run.id}/cancel`, { method: 'POST' })
    await watch.toEnd()
    const [log, again] = await Promise.all(nodes.map((node) => allEvents(node, path)))
    assert.deepEqual(log, again)
    assert.ok(log)
    for (const seen of await Promise.all(readers)) assertOneOrder(seen, log)
    const stored = (await client.beta.threads.messages.list(thread, { run_id: run.id })).data
    const texts = textOfDeltas(log)
    for (const message of stored) assert.equal(texts.get(message.id) ?? '', textOf(message))
    const survived = new Set(stored.map(({ id }) => id))
    for (const id of texts.keys()) {
      const closed = log.some(
        ({ event, data }) => event === 'thread.message.incomplete' && (data as { id: string }).id === id,
      )
      assert.ok(survived.has(id) || closed, `the message ${id} was given up without a word`)
    }
  }
})

/** A reader has all of the log in its order; what else it has are deltas of a message that was given up. */
function assertOneOrder(seen: SeenEvent[], log: SeenEvent[]): void {
  const ids = new Set(log.map(({ id }) => id))
  assert.deepEqual(merged(seen.filter(({ id }) => ids.has(id))), merged(log))
  const places = seen.map(({ id }) => id.split('.').map(Number) as [number, number])
  for (const [i, [term, no]] of places.entries()) {
    const [before, noBefore] = places[i - 1] ?? [0, -1]
    assert.ok(
      term > before || (term === before && no > noBefore),
      `${term}.${no} comes behind ${before}.${noBefore}`,
    )
  }
  for (const { id, event } of seen)
    assert.ok(ids.has(id) || event === 'thread.message.delta', `${event} ${id}`)
}
