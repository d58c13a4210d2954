import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, text, toolCalls } from './support/mock-model.ts'
import {
  allEvents,
  argumentsOfDeltas,
  eventsIn,
  getEvents,
  merged,
  namesOf,
  OpenStream,
  postStream,
  readEvents,
  textOfDeltas,
  type RunPath,
  type SeenEvent,
} from './support/run-events.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// GET .../runs/{id}/events: the whole history of a run and what comes, for anyone who joins at any time.

const server = await startServer()
const { mock, client } = server

function runIn(events: readonly SeenEvent[]): string {
  return /run_\w{24}/.exec(JSON.stringify(events))?.[0] ?? assert.fail('no run in these events')
}

const call = { id: 'call_a', name: 'f', arguments: '{"a":"Ä 🙂"}' }
const outputs = { tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }

/** A run of two turns, streamed: what its two POSTs showed, in one. */
async function twoTurns(): Promise<RunPath & { seen: SeenEvent[] }> {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.next(toolCalls([call], { text: 'Let me look.' }))
  const path = `/v1/threads/${thread}/runs`
  const first = await readEvents(await postStream(server, path, { assistant_id: assistant }))
  const run = runIn(first)
  mock.next(text('Good', ' mor', 'ning', '.'))
  const second = await readEvents(await postStream(server, `${path}/${run}/submit_tool_outputs`, outputs))
  return { thread, run, seen: [...first, ...second] }
}

test('the events of a run are what its streaming POSTs have shown, ids and all', async () => {
  const { seen, ...path } = await twoTurns()
  const ids = seen.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  assert.ok(ids.every((id) => /^\d+\.\d+$/.test(id)))
  assert.deepEqual(await allEvents(server, path), seen)
})

test('a stream that broke off anywhere goes on exactly there', async () => {
  const { seen, ...path } = await twoTurns()
  for (const [i, { id }] of seen.entries()) {
    assert.deepEqual(await allEvents(server, path, id), seen.slice(i + 1), `behind ${id}`)
  }
  const [, second] = seen
  const byQuery = await server.fetch(`/v1/threads/${path.thread}/runs/${path.run}/events?after=${second?.id}`)
  assert.deepEqual(await readEvents(byQuery), seen.slice(2))
})

test('a run made together with its thread tells of both', async () => {
  const { assistant } = await readyToRun(server)
  mock.next(text('Hello.'))
  const thread = { messages: [{ role: 'user', content: 'Hi.' }] }
  const seen = await readEvents(
    await postStream(server, '/v1/threads/runs', { assistant_id: assistant, thread }),
  )
  assert.equal(seen[0]?.event, 'thread.created')
  const made = seen[0]?.data as { id: string } | undefined
  const path = { thread: made?.id ?? '', run: runIn(seen) }
  assert.deepEqual(await allEvents(server, path), seen)
})

test('who joins while the model speaks gets what was said and what will be, through requires_action to the end', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const [first, second] = [gate(), gate()]
  mock.next(toolCalls([call]), text('One, ', first.opened, 'two, ', second.opened, 'three.'))
  const made = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(made.status, 'requires_action')
  const path = { thread, run: made.id }
  const waiting = new OpenStream(await getEvents(server, path))
  await waiting.until('requires_action"')
  await client.beta.threads.runs.submitToolOutputs(made.id, { thread_id: thread, ...outputs })
  await waiting.until('One, ')
  const joined = new OpenStream(await getEvents(server, path))
  await joined.until('One, ')
  first.open()
  await Promise.all([waiting.until('two, '), joined.until('two, ')])
  second.open()
  const [a, b] = [await waiting.toEnd(), await joined.toEnd()]
  assert.deepEqual(a, b)
  assert.deepEqual(a, await allEvents(server, path))
  assert.equal(a.at(-1)?.event, 'thread.run.completed')
})

test('twenty readers who join and rejoin at random see one gapless order', async () => {
  const { assistant, thread } = await readyToRun(server)
  const pieces = Array.from({ length: 120 }, (_, i) => `${i} `)
  const gates = pieces.map(() => gate())
  mock.next(text(...pieces.flatMap((piece, i) => [piece, gates[i]?.opened ?? ''])))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const path = { thread, run: run.id }
  const readers = Array.from({ length: 20 }, async (_, n) => {
    const seen: SeenEvent[] = []
    // Each joins at a piece of its own, leaves some pieces later, and comes back where it broke off.
    await gates[n * 4]?.opened
    for (const rest of [2, 9, 1]) {
      const stream = new OpenStream(await getEvents(server, path, seen.at(-1)?.id))
      seen.push(...(await stream.atLeast(rest)))
      await stream.leave()
    }
    return [...seen, ...(await allEvents(server, path, seen.at(-1)?.id))]
  })
  for (const held of gates) {
    held.open()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const told = await allEvents(server, path)
  for (const seen of await Promise.all(readers)) assert.deepEqual(merged(seen), merged(told))
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.deepEqual([...textOfDeltas(told).values()], [textOf(message)])
  assert.equal(textOf(message), pieces.join(''))
})

test('deltas add up to what is stored, whatever they are cut into', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.next(toolCalls([call, { ...call, id: 'call_b' }], { text: 'Ein 🙂 Wort\u0000, "quoted"\n' }))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
  const told = await allEvents(server, { thread, run: run.id })
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.deepEqual([...textOfDeltas(told)], [[message?.id, textOf(message)]])
  assert.deepEqual([...argumentsOfDeltas(told).values()], [call.arguments, call.arguments])
  assert.equal(told.at(-1)?.event, 'thread.run.cancelled')
})

test('a cancel while text streams is told before the message closes, to the stream and in the log', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('One, two', new Promise(() => {})))
  const stream = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  const run = runIn(await stream.until('One, two'))
  await client.beta.threads.runs.cancel(run, { thread_id: thread })
  const seen = await stream.toEnd()
  assert.deepEqual(namesOf(seen).slice(-5), [
    'message.delta',
    'run.cancelling',
    'message.incomplete',
    'run.step.cancelled',
    'run.cancelled',
  ])
  assert.deepEqual(await allEvents(server, { thread, run }), seen)
})

test('after an hour the history is told again from what is stored, and adds up', async () => {
  const own = await startServer({ env: { EVENTS_KEPT_FOR: '3600' } })
  const { assistant, thread } = await readyToRun(own, { tools: [tool('f')] })
  own.mock.next(toolCalls([call], { text: 'Let me look.' }), text('Good', ' morning.'))
  const runs = own.client.beta.threads.runs
  const asked = await runs.createAndPoll(thread, { assistant_id: assistant })
  await runs.submitToolOutputsAndPoll(asked.id, { thread_id: thread, ...outputs })
  const path = { thread, run: asked.id }
  const kept = await allEvents(own, path)
  await own.db.advanceClock(3_500)
  await own.app.engine.sweep()
  assert.deepEqual(await allEvents(own, path), kept)
  await own.db.advanceClock(300)
  // Two sweeps: the row by which a log is found goes last.
  for (let i = 0; i < 2; i++) await own.app.engine.sweep()
  const rows = await own.db.sql('select from run_events where run_id = $1', [asked.id])
  assert.equal(rows.length, 0)
  const told = await allEvents(own, path)
  assert.deepEqual(namesOf(told), namesOf(kept))
  assert.deepEqual(textOfDeltas(told), textOfDeltas(kept))
  assert.deepEqual(argumentsOfDeltas(told), argumentsOfDeltas(kept))
  assert.deepEqual(told.at(-1)?.data, kept.at(-1)?.data)
  // Who broke off in what was told again goes on there; who has an id of the lost log hears all of it.
  assert.deepEqual(await allEvents(own, path, told[4]?.id), told.slice(5))
  assert.deepEqual(await allEvents(own, path, kept[4]?.id), told)
})

test('a run without a place in the log, an id of no form and a deleted thread are refused', async () => {
  const { seen, thread, run } = await twoTurns()
  const status = async (path: RunPath, after?: string) => (await getEvents(server, path, after)).status
  assert.equal(await status({ thread, run: run.replace(/.$/, (c) => (c === 'x' ? 'y' : 'x')) }), 404)
  for (const id of ['x', '1', '1.', '.1', '1.-1', '-1.1', '1.1.1', '99999999999.1']) {
    const refused = await getEvents(server, { thread, run }, id)
    assert.equal(refused.status, 400, id)
    const { error } = (await refused.json()) as { error: { param: string } }
    assert.equal(error.param, 'Last-Event-ID')
  }
  const byQuery = await server.fetch(`/v1/threads/${thread}/runs/${run}/events?after=x`)
  assert.equal(byQuery.status, 400)
  assert.deepEqual(await allEvents(server, { thread, run }, '999999999.0'), [])
  assert.deepEqual(await allEvents(server, { thread, run }, seen.at(-1)?.id), [])
  await client.beta.threads.delete(thread)
  assert.equal(await status({ thread, run }), 404)
  await server.app.engine.sweep()
  await server.app.engine.sweep()
  assert.equal((await server.db.sql('select from run_events where thread_id = $1', [thread])).length, 0)
})

test('a deleted thread ends the streams of its run', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Half', gate().opened))
  const stream = new OpenStream(
    await postStream(server, `/v1/threads/${thread}/runs`, { assistant_id: assistant }),
  )
  await stream.until('Half')
  await client.beta.threads.delete(thread)
  assert.equal((await stream.toEnd()).at(-1)?.event, 'thread.run.cancelled')
  assert.ok(eventsIn(stream.text).every(({ id }) => id !== ''))
})

test('a stream whose log could not be read is not told that this was all', async () => {
  const { seen, ...path } = await twoTurns()
  const { pool } = server.app.store
  const query = pool.query.bind(pool) as (...args: unknown[]) => unknown
  let failures = 0
  pool.query = ((...args: unknown[]) => {
    // Twice: what could not be read is read once more.
    const fails = (args[0] as { name?: string }).name === 'read_events' && failures < 2
    if (!fails) return query(...args)
    failures += 1
    return Promise.reject(new Error('as if it could not be read'))
  }) as typeof pool.query
  try {
    assert.deepEqual(await allEvents(server, path), seen)
    assert.equal(failures, 2)
  } finally {
    pool.query = query as typeof pool.query
  }
})
