import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { makeFolder } from './support/embedded-postgres.ts'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { serve } from './support/npm-start.ts'
import { allEvents, namesOf } from './support/run-events.ts'
import { readyToRun, textOf, tool } from './support/server.ts'
import { queue, queueing, replace, say } from './support/thread-queue.ts'

// What waits for a thread, with several nodes: whoever accepts it, and whoever ends the run before it.

test(
  'of 50 runs and messages that two nodes accept for one thread, each run sees exactly what came before it',
  { timeout: 120_000 },
  async (t) => {
    const server = await oneNode(t)
    const other = await anotherNode(t, server)
    const { heldThread, ended, textsOf } = queueing(server)
    const { assistant, thread, letGo } = await heldThread()
    const nodes = [server.client, other.client]
    let asked = 0
    server.mock.when(
      () => true,
      (exchange) => text(`answer ${(asked += 1)}`)(exchange),
    )
    // Ten clients; what each sends has to stay in its order.
    const runs: string[] = []
    const clients = Array.from({ length: 10 }, async (_, n) => {
      for (let i = 0; i < 5; i++) {
        const { threads } = (nodes[(n + i) % 2] as OpenAI).beta
        const content = `${n}.${i}`
        if ((n + i) % 5 === 0) {
          const body = { assistant_id: assistant, additional_messages: i % 2 ? [say(content)] : [] }
          runs.push((await threads.runs.create(thread, body, queue)).id)
        } else await threads.messages.create(thread, say(content), queue)
      }
    })
    await Promise.all(clients)
    const accepted = await server.db.sql<{ run_id: string | null; texts: string[] }>(
      `select run_id, coalesce(array(
          select m -> 'content' -> 0 -> 'text' ->> 'value' from jsonb_array_elements(messages) m), '{}') as texts
        from thread_queue where thread_id = $1 order by place`,
      [thread],
    )
    assert.equal(accepted.length, 50)
    letGo()
    for (const id of runs) assert.equal((await ended(thread, { id })).status, 'completed')

    const expected = ['Good morning?', 'First.']
    const seen: string[][] = []
    for (const { run_id, texts } of accepted) {
      expected.push(...texts)
      if (run_id === null) continue
      seen.push([...expected])
      expected.push(`answer ${seen.length}`)
    }
    assert.deepEqual(await textsOf(thread), expected)
    const requests = server.mock.requests
      .slice(1)
      .map(({ body }) => body.messages.filter(({ role }) => role !== 'system').map(({ content }) => content))
    assert.deepEqual(requests, seen)
    for (let n = 0; n < 10; n++) {
      const own = expected.filter((each) => each.startsWith(`${n}.`))
      assert.deepEqual(own, own.toSorted())
    }
    const order = (await server.client.beta.threads.runs.list(thread, { order: 'asc' })).data
    assert.deepEqual(
      order.slice(1).map(({ id }) => id),
      accepted.flatMap(({ run_id }) => run_id ?? []),
    )
    assert.deepEqual(await server.db.sql('select from threads where waiting <> 0'), [])
  },
)

test(
  'posts that race with the ends of runs leave nothing behind and keep their order',
  { timeout: 120_000 },
  async (t) => {
    const server = await oneNode(t)
    const other = await anotherNode(t, server)
    const { assistant, thread } = await readyToRun(server)
    server.mock.reset()
    server.mock.when(() => true, text('x'))
    const clients = Array.from({ length: 6 }, async (_, n) => {
      const runs: string[] = []
      for (let i = 0; i < 8; i++) {
        const { threads } = (n % 2 ? other : server).client.beta
        await threads.messages.create(thread, say(`${n}.${i}`), queue)
        const options = i % 4 === 3 ? replace : queue
        runs.push((await threads.runs.create(thread, { assistant_id: assistant }, options)).id)
      }
      return runs
    })
    const runs = (await Promise.all(clients)).flat()
    for (const id of runs) {
      const { status } = await server.client.beta.threads.runs.poll(id, { thread_id: thread })
      assert.ok(status === 'completed' || status === 'cancelled', status)
    }
    const rows = await server.db.sql<{ seq: number; text: string }>(
      `select seq::int, content -> 0 -> 'text' ->> 'value' as text from messages where thread_id = $1 and role = 'user'
      order by seq`,
      [thread],
    )
    for (let n = 0; n < 6; n++) {
      const own = rows.map((row) => row.text).filter((each) => each.startsWith(`${n}.`))
      assert.deepEqual(
        own,
        Array.from({ length: 8 }, (_, i) => `${n}.${i}`),
      )
    }
    const [left] = await server.db.sql('select active_run_id, waiting from threads where id = $1', [thread])
    assert.deepEqual(left, { active_run_id: null, waiting: 0 })
    assert.deepEqual(await server.db.sql('select from thread_queue'), [])
    const numbers = await server.db.sql<{ seq: string }>(
      'select seq from messages where thread_id = $1 union all select seq from runs where thread_id = $1',
      [thread],
    )
    assert.equal(new Set(numbers.map(({ seq }) => seq)).size, numbers.length)
  },
)

test('a run that waits is followed, changed and cancelled on any node, and begun at once by whoever ends the one before', async (t) => {
  const server = await oneNode(t)
  const other = await anotherNode(t, server)
  const { assistant, thread, letGo } = await queueing(server).heldThread()
  const { runs } = other.client.beta.threads
  const body = { assistant_id: assistant }
  const cancelled = await runs.create(thread, body, queue)
  const stream = runs.stream(thread, body, queue)
  await stream.emitted('event')
  const polled = server.client.beta.threads.runs.poll(cancelled.id, { thread_id: thread })
  const run = stream.currentRun()?.id ?? ''
  const events = allEvents(server, { thread, run })
  await runs.cancel(cancelled.id, { thread_id: thread })
  assert.equal((await polled).status, 'cancelled')
  server.mock.next(text('Second.'))
  const since = performance.now()
  letGo()
  await server.mock.received(1)
  assert.ok(performance.now() - since < 900, 'it was not left to a sweep')
  assert.equal((await stream.finalRun()).status, 'completed')
  assert.deepEqual(namesOf(await events).at(-1), 'run.completed')
})

test(
  'a node without room leaves the run that gets the thread to another, which begins it at once',
  { timeout: 30_000 },
  async (t) => {
    // No sweeps: nothing is found by accident.
    const tuning = { sweepMs: 3_600_000, drainMs: 0 }
    const server = await oneNode(t, { tuning, env: { MAX_CONCURRENT_RUNS: '1' } })
    // Before the first notice, so that nobody takes himself to be alone.
    const other = await anotherNode(t, server, tuning)
    const { mock, client } = server
    const { runs } = client.beta.threads
    const asking = await readyToRun(server, { tools: [tool('f')] })
    mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), hang(), text('Second.'))
    const holder = await runs.createAndPoll(asking.thread, { assistant_id: asking.assistant })
    assert.equal(holder.status, 'requires_action')
    const busy = await readyToRun(server)
    await runs.create(busy.thread, { assistant_id: busy.assistant })
    await mock.received(1)
    const waiting = await runs.create(asking.thread, { assistant_id: asking.assistant }, queue)
    await runs.cancel(holder.id, { thread_id: asking.thread })
    assert.equal((await runs.poll(waiting.id, { thread_id: asking.thread })).status, 'completed')
    const [row] = await server.db.sql<{ epoch: number }>(
      'select lease_epoch as epoch from runs where id = $1',
      [waiting.id],
    )
    assert.equal(row?.epoch, 1)
    assert.equal(server.app.engine.running, 1)
    assert.equal(other.app.engine.running, 0)
  },
)

test(
  'runs that wait outlive the server that accepted them and holds their thread',
  { timeout: 60_000 },
  async (t) => {
    const server = await oneNode(t)
    const { db, mock } = server
    const { assistant, thread } = await readyToRun(server)
    const env = {
      DATABASE_URL: db.url,
      OPENAI_BASE_URL: mock.baseUrl,
      OPENAI_API_KEY: 'sk-test-of-the-backend',
    }
    const doomed = await serve(t, await makeFolder(t), { env })
    const client = new OpenAI({ baseURL: `${doomed.url}/v1`, apiKey: 'unused', maxRetries: 0 })
    const { threads } = client.beta
    mock.next(hang(), text('First.'), text('Second.'), text('Third.'))
    const first = await threads.runs.create(thread, { assistant_id: assistant })
    await mock.received(0)
    await threads.messages.create(thread, say('a'), queue)
    const second = await threads.runs.create(thread, { assistant_id: assistant }, queue)
    await threads.messages.create(thread, say('b'), queue)
    const third = await threads.runs.create(thread, { assistant_id: assistant }, queue)
    await threads.messages.create(thread, say('c'), queue)
    doomed.signalGroup('SIGKILL')
    for (const { id } of [first, second, third]) {
      const run = await server.client.beta.threads.runs.poll(id, { thread_id: thread })
      assert.equal(run.status, 'completed')
    }
    const messages = (await server.client.beta.threads.messages.list(thread, { order: 'asc' })).data
    assert.deepEqual(messages.map(textOf), ['Good morning?', 'First.', 'a', 'Second.', 'b', 'Third.', 'c'])
  },
)

test('a server that stops leaves its thread to the run that waits, on another node', async (t) => {
  const server = await oneNode(t, { tuning: { drainMs: 2_000 } })
  const other = await anotherNode(t, server)
  const { heldThread } = queueing(server)
  const { assistant, thread, letGo } = await heldThread()
  const waiting = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant }, queue)
  server.mock.next(text('Second.'))
  const stopped = server.app.stop()
  letGo()
  const run = await other.client.beta.threads.runs.poll(waiting.id, { thread_id: thread })
  assert.equal(run.status, 'completed')
  await stopped
})
