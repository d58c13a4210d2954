import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { allEvents, namesOf } from './support/run-events.ts'
import { inProgress, readyToRun, startServer, textOf, tool } from './support/server.ts'
import { queue, queueing, replace, say } from './support/thread-queue.ts'

// Runs and messages that wait for a thread: how they are shown, and how the waiting ends.

const server = await startServer()
const { client, mock, db } = server
const { threads } = client.beta
const { heldThread, ended, statusOf, runIds, textsOf } = queueing(server)

test('a message is shown as it was sent, with attachments, metadata and parts', async () => {
  const { thread, holder, letGo } = await heldThread()
  const file = await client.files.create({ file: new File(['x'], 'x.txt'), purpose: 'assistants' })
  const sent = await threads.messages.create(
    thread,
    {
      role: 'assistant',
      content: [
        { type: 'text', text: 'Sieh, "häßlich" \\ 磨\n' },
        { type: 'image_url', image_url: { url: 'https://example.com/a.png', detail: 'low' } },
      ],
      attachments: [{ file_id: file.id, tools: [{ type: 'file_search' }] }],
      metadata: { a: 'b' },
    },
    queue,
  )
  letGo()
  await ended(thread, { id: holder })
  assert.deepEqual(await threads.messages.retrieve(sent.id, { thread_id: thread }), sent)
})

test('a streaming create under queue tells at once that the run is there, and goes on when it has the thread', async () => {
  const { assistant, thread, letGo } = await heldThread()
  mock.next(text('Second.'))
  const stream = threads.runs.stream(thread, { assistant_id: assistant }, queue)
  const names: string[] = []
  stream.on('event', ({ event }) => {
    names.push(event)
    if (event === 'thread.run.queued') letGo()
  })
  const run = await stream.finalRun()
  assert.equal(run.status, 'completed')
  assert.deepEqual(names.slice(0, 4), [
    'thread.run.created',
    'thread.run.queued',
    'thread.run.in_progress',
    'thread.run.step.created',
  ])
  const events = await allEvents(server, { thread, run: run.id })
  assert.deepEqual(
    events.map(({ event }) => event),
    names,
  )
  const [created] = events
  assert.equal((created?.data as { expires_at: unknown } | undefined)?.expires_at, null)
  const begun = events.find(({ event }) => event === 'thread.run.in_progress')
  assert.equal(typeof (begun?.data as { expires_at: unknown } | undefined)?.expires_at, 'number')
})

test('a run that waits can be followed, polled and changed like any other', async () => {
  const { assistant, thread, letGo } = await heldThread()
  mock.next(text('Second.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  const events = allEvents(server, { thread, run: run.id })
  const polled = ended(thread, run)
  const update = { thread_id: thread, metadata: { note: 'mine' } }
  assert.deepEqual((await threads.runs.update(run.id, update)).metadata, { note: 'mine' })
  assert.deepEqual((await threads.runs.steps.list(run.id, { thread_id: thread })).data, [])
  const outputs = { thread_id: thread, tool_outputs: [{ tool_call_id: 'x', output: 'y' }] }
  await assert.rejects(threads.runs.submitToolOutputs(run.id, outputs), { status: 400 })
  letGo()
  assert.deepEqual([(await polled).status, (await polled).metadata], ['completed', { note: 'mine' }])
  assert.equal(namesOf(await events).at(-1), 'run.completed')
})

test('the deadline of a run that waits begins when it gets its thread', async () => {
  const { assistant, thread, holder } = await heldThread()
  const [first, second] = [gate(), gate()]
  mock.next(text(first.opened, 'Second.'), text(second.opened, 'Third.'))
  const body = { assistant_id: assistant }
  const waiting = await threads.runs.create(thread, body, queue)
  const last = await threads.runs.create(thread, body, queue)
  await db.advanceClock(900)
  await server.app.engine.sweep()
  await server.app.engine.sweep()
  // The holder's time is over; that of those who wait has not begun.
  assert.equal((await ended(thread, { id: holder })).status, 'expired')
  await mock.received(1)
  const begun = await threads.runs.retrieve(waiting.id, { thread_id: thread })
  const left = (begun.expires_at ?? 0) - server.app.store.clock.now()
  assert.ok(left > 590 && left <= 600, `${left} s`)
  assert.equal((await threads.runs.retrieve(last.id, { thread_id: thread })).expires_at, null)
  first.open()
  assert.equal((await ended(thread, waiting)).status, 'completed')
  second.open()
  assert.equal((await ended(thread, last)).status, 'completed')
})

test('a run that is cancelled while it waits ends at once, and its messages keep their place', async () => {
  const { assistant, thread, holder, letGo } = await heldThread()
  mock.next(text('Fourth.'))
  await threads.messages.create(thread, say('a'), queue)
  const body = { assistant_id: assistant, additional_messages: [say('b')] }
  const second = await threads.runs.create(thread, body, queue)
  const third = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  await threads.messages.create(thread, say('c'), queue)
  const fourth = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  const events = allEvents(server, { thread, run: second.id })
  for (const { id } of [second, third]) {
    assert.equal((await threads.runs.cancel(id, { thread_id: thread })).status, 'cancelled')
    await assert.rejects(threads.runs.cancel(id, { thread_id: thread }), /status 'cancelled'/)
  }
  assert.deepEqual(namesOf(await events), ['run.created', 'run.queued', 'run.cancelled'])
  assert.equal(await statusOf(thread, holder), 'in_progress')
  // It waits no more: nothing but what is kept counts.
  const [row] = await db.sql<{ waiting: number }>('select waiting from threads where id = $1', [thread])
  assert.equal(row?.waiting, 4)
  letGo()
  assert.equal((await ended(thread, fourth)).status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'a', 'b', 'c', 'Fourth.'])
  assert.deepEqual(await runIds(thread), [fourth.id, third.id, second.id, holder])
})

test('every way in which a run ends lets the next one go on', async () => {
  const ends: [string, () => Promise<OpenAI.Beta.Threads.Run>, (run: string) => Promise<unknown>][] = []
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  const create = async () => {
    const run = await threads.runs.create(thread, { assistant_id: assistant }, queue)
    await mock.received(mock.requests.length === 0 ? 0 : mock.requests.length - 1)
    return run
  }
  const cancel = (run: string) => threads.runs.cancel(run, { thread_id: thread })
  ends.push(
    ['completed', async () => (mock.next(text('x')), create()), async () => {}],
    ['failed', async () => (mock.next((exchange) => exchange.cut()), create()), async () => {}],
    ['incomplete', async () => (mock.next(text('x', { finish: 'length' })), create()), async () => {}],
    ['cancelled', async () => (mock.next(hang()), create()), cancel],
    [
      'cancelled',
      async () => (mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }])), create()),
      async (run) => {
        while ((await statusOf(thread, run)) !== 'requires_action') await new Promise(setImmediate)
        await cancel(run)
      },
    ],
    [
      'expired',
      async () => (mock.next(hang()), create()),
      async (run) => {
        await inProgress(server, thread, run)
        await db.advanceClock(900)
        await server.app.engine.sweep()
        await server.app.engine.sweep()
      },
    ],
  )
  for (const [status, begin, end] of ends) {
    mock.reset()
    const run = await begin()
    const next = await threads.runs.create(thread, { assistant_id: assistant }, queue)
    await end(run.id)
    assert.equal((await ended(thread, run)).status, status)
    assert.equal((await ended(thread, next)).status, 'completed', `behind a run that is ${status}`)
  }
})

test('with an Idempotency-Key a run or a message waits once, however often it is sent', async () => {
  const { assistant, thread, letGo } = await heldThread()
  const keyed = (key: string) => ({ headers: { ...queue.headers, 'idempotency-key': `${thread} ${key}` } })
  const create = () => threads.runs.create(thread, { assistant_id: assistant }, keyed('run'))
  const post = () => threads.messages.create(thread, say('a'), keyed('message'))
  const [message, run] = [await post(), await create()]
  assert.equal(run.expires_at, null)
  assert.deepEqual([await post(), await create()], [message, run])
  letGo()
  assert.equal((await ended(thread, run)).status, 'completed')
  assert.deepEqual([await post(), await create()], [message, run])
  assert.equal((await textsOf(thread)).filter((each) => each === 'a').length, 1)
  assert.equal((await runIds(thread)).length, 2)
})

test('a run that waits for outputs keeps those behind it waiting', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('With 1.'), text('Second.'))
  const asking = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(asking.status, 'requires_action')
  const next = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  const outputs = [{ tool_call_id: 'call_a', output: '1' }]
  const done = await threads.runs.submitToolOutputsAndPoll(asking.id, {
    thread_id: thread,
    tool_outputs: outputs,
  })
  assert.equal(done.status, 'completed')
  assert.equal((await ended(thread, next)).status, 'completed')
  assert.deepEqual((await textsOf(thread)).slice(-2), ['With 1.', 'Second.'])
})

test('at most 100 wait for a thread, and the next is told so', async () => {
  const { assistant, thread, holder, letGo } = await heldThread()
  const runs = await Promise.all(
    Array.from({ length: 10 }, () => threads.runs.create(thread, { assistant_id: assistant }, queue)),
  )
  const sent = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) => threads.messages.create(thread, say(`m${i}`), queue)),
  )
  const full = { status: 429, code: 'thread_queue_full' }
  const refused = sent.flatMap((each) =>
    each.status === 'rejected' ? [each.reason as { status: number; code: string }] : [],
  )
  assert.equal(refused.length, 10)
  for (const { status, code } of refused) assert.deepEqual({ status, code }, full)
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }, queue), full)
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }, replace), full)
  assert.equal(await statusOf(thread, holder), 'in_progress')
  await threads.runs.cancel(runs[0]?.id ?? '', { thread_id: thread })
  await threads.messages.create(thread, say('room'), queue)
  letGo()
  for (const run of runs.slice(1)) assert.equal((await ended(thread, run)).status, 'completed')
  const texts = (await textsOf(thread)).concat(
    (await threads.messages.list(thread, { limit: 20 })).data.map(textOf),
  )
  assert.ok(texts.includes('room'))
})

test('a thread that is deleted takes with it what waits for it', async () => {
  const { assistant, thread, holder } = await heldThread()
  const waiting = await threads.runs.create(
    thread,
    { assistant_id: assistant, additional_messages: [say('x')] },
    queue,
  )
  await threads.messages.create(thread, say('y'), queue)
  const stream = threads.runs.stream(thread, { assistant_id: assistant }, queue)
  await stream.emitted('event')
  const events = allEvents(server, { thread, run: waiting.id })
  await threads.delete(thread)
  assert.equal((await stream.finalRun()).status, 'cancelled')
  assert.equal(namesOf(await events).at(-1), 'run.cancelled')
  assert.equal(await mock.requests[0]?.ended, 'aborted')
  const left = await db.sql('select from thread_queue where thread_id = $1', [thread])
  assert.equal(left.length, 0)
  const rows = await db.sql<{ status: string }>('select status from runs where thread_id = $1', [thread])
  assert.deepEqual(
    rows.map(({ status }) => status),
    ['cancelled', 'cancelled', 'cancelled'],
  )
  await assert.rejects(statusOf(thread, holder), { status: 404 })
  assert.equal(mock.requests.length, 1)
})

test('a thread that nobody holds although something waits is given on: by the sweep, or by who comes', async () => {
  // As a server of the version before leaves a thread: it knows of nothing that waits.
  const left = async (thread: string, holder: string) => {
    await db.sql(
      `with r as (update runs set status = 'cancelled', version = version + 1, owner_node = null, ended_at = 1 where id = $1)
       update threads set active_run_id = null where id = $2`,
      [holder, thread],
    )
  }
  const one = await heldThread()
  const swept = await threads.runs.create(one.thread, { assistant_id: one.assistant }, queue)
  await left(one.thread, one.holder)
  await server.app.engine.sweep()
  assert.equal((await ended(one.thread, swept)).status, 'completed')

  const two = await heldThread()
  await threads.messages.create(two.thread, say('a'), queue)
  await left(two.thread, two.holder)
  await threads.messages.create(two.thread, say('b'))
  assert.deepEqual(await textsOf(two.thread), ['Good morning?', 'a', 'b'])
})
