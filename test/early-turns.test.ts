import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type OpenAI from 'openai'
import { allEvents } from './support/run-events.ts'
import { startServer, readyToRun, textOf, tool } from './support/server.ts'
import { gate, status, text, toolCalls, type Answer } from './support/mock-model.ts'
import { hold } from './support/nodes.ts'
import { until } from './support/npm-start.ts'

// A run whose model answers at once is created and ended in one commit (docs/decisions/0030). By this server's clock no time passes:
// every model is quick.

const hour = 3_600_000
const server = await startServer({
  tuning: { monotonic: () => 0, createWaitMs: hour, startAfterMs: hour, beatMs: hour, sweepMs: hour },
})
const { client, mock, db, app } = server
const { threads } = client.beta

/** The whole answer in one write, and so in one piece. */
function atOnce(...pieces: string[]): Answer {
  return async (exchange) => {
    const written: string[] = []
    const { response } = exchange
    const chunk = (choice: object) =>
      written.push(`data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`)
    for (const content of pieces) chunk({ delta: { content }, finish_reason: null })
    chunk({ delta: {}, finish_reason: 'stop' })
    response.setHeader('content-type', 'text/event-stream')
    response.end(`${written.join('')}data: [DONE]\n\n`)
  }
}

/** An assistant whose model has answered before, and a thread with a message. */
async function quick(tools: ReturnType<typeof tool>[] = []) {
  const ready = await readyToRun(server, { tools })
  mock.reset()
  mock.next(atOnce('Known.'))
  const first = await threads.create({ messages: [{ role: 'user', content: 'Who are you?' }] })
  await threads.runs.createAndPoll(first.id, { assistant_id: ready.assistant })
  mock.reset()
  return ready
}

/** In how many transactions the rows of a run were written. */
async function transactionsOf(run: string): Promise<number> {
  const rows = await db.sql<{ xmin: string }>(
    `select distinct xmin::text from (
       select xmin from runs where id = $1 union all select xmin from messages where run_id = $1
       union all select xmin from run_steps where run_id = $1
       union all select xmin from run_events where run_id = $1
     ) each`,
    [run],
  )
  return rows.length
}

async function logOf(run: string): Promise<object[]> {
  return db.sql('select term from run_events where run_id = $1', [run])
}

/** Its numbers in the thread, and whether something still holds it. */
async function placeOf(thread: string, run: string) {
  const [row] = await db.sql<{ run: number; said: number[]; next: number; active: string | null }>(
    `select seq::int as run, (select array_agg(seq::int order by seq) from messages where thread_id = $1) as said,
       (select next_seq::int from threads where id = $1) as next,
       (select active_run_id from threads where id = $1) as active
     from runs where id = $2`,
    [thread, run],
  )
  return row
}

test('a run whose model answers at once is created and ended in one commit, and told as any other', async () => {
  const { assistant, thread } = await quick()
  mock.next(atOnce('All ', 'at once.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant, metadata: { a: 'b' } })
  assert.equal(run.status, 'queued')
  const ended = await threads.runs.retrieve(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.deepEqual(ended.metadata, { a: 'b' })
  assert.ok((ended.usage?.total_tokens ?? 0) > 0 && ended.started_at !== null && ended.completed_at !== null)
  assert.equal(await transactionsOf(run.id), 1)
  assert.deepEqual(await placeOf(thread, run.id), { run: 2, said: [1, 3], next: 3, active: null })
  const { data } = await threads.messages.list(thread)
  assert.deepEqual(data.map(textOf), ['All at once.', 'Good morning?'])
  assert.equal(mock.requests.length, 1, 'it is executed once')
  // The thread goes on behind it.
  await threads.messages.create(thread, { role: 'user', content: 'And now?' })
  mock.next(text('Later.'))
  const second = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(second.status, 'completed')
  assert.deepEqual(
    mock.requests
      .at(-1)
      ?.body.messages.map(({ content }) => content)
      .slice(-3),
    ['Good morning?', 'All at once.', 'And now?'],
  )
})

test('the events of a run that was over with its creation are told by what is stored of it, and can be gone on with', async () => {
  const { assistant, thread } = await quick()
  mock.next(atOnce('All ', 'at once.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  const path = { thread, run: run.id }
  assert.equal((await logOf(run.id)).length, 0)
  const seen = await allEvents(server, path)
  assert.deepEqual(
    seen.map(({ event }) => event),
    [
      'thread.run.created',
      'thread.run.queued',
      'thread.run.in_progress',
      'thread.run.step.created',
      'thread.run.step.in_progress',
      'thread.message.created',
      'thread.message.in_progress',
      'thread.message.delta',
      'thread.message.completed',
      'thread.run.step.completed',
      'thread.run.completed',
    ],
  )
  const dataOf = (name: string) => seen.find(({ event }) => event === name)?.data
  const created = dataOf('thread.run.created') as OpenAI.Beta.Threads.Run
  assert.deepEqual({ ...created, expires_at: run.expires_at }, run, 'as its creation was answered')
  assert.deepEqual(dataOf('thread.run.completed'), await threads.runs.retrieve(run.id, { thread_id: thread }))
  const [message] = (await threads.messages.list(thread)).data
  assert.deepEqual(dataOf('thread.message.completed'), message)
  assert.deepEqual(await allEvents(server, path, seen[4]?.id), seen.slice(5))
})

test('a run that asks for tools before anybody knows of it has a log: it goes on', async () => {
  const { assistant, thread } = await quick([tool('f')])
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  assert.equal((await logOf(run.id)).length, 2)
})

test('what ends a turn otherwise goes with the creation too: tools that are asked for, and an error', async () => {
  const { assistant, thread } = await quick([tool('f')])
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  const asks = await threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(asks.status, 'requires_action')
  assert.equal((await placeOf(thread, run.id))?.active, run.id)
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }), /already has an active run/)
  assert.equal(mock.requests.length, 1, 'what is refused costs no call')
  mock.next(text('Used it.'))
  const tool_outputs = [{ tool_call_id: 'call_a', output: '1' }]
  const ended = await threads.runs.submitToolOutputsAndPoll(run.id, { thread_id: thread, tool_outputs })
  assert.equal(ended.status, 'completed')

  mock.next(status(400, { error: { message: 'No such thing.' } }))
  const failing = await threads.runs.create(thread, { assistant_id: assistant })
  const failed = await threads.runs.retrieve(failing.id, { thread_id: thread })
  assert.equal(failed.status, 'failed')
  assert.equal(await transactionsOf(failing.id), 1)
  assert.equal((await placeOf(thread, failing.id))?.active, null)
})

test('a run that cannot be created takes what its turn did with it', async () => {
  const { assistant, thread } = await quick()
  await deleteBehindItsBack(server, thread)
  mock.next(atOnce('Said.'))
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }), /No thread found/)
  await until(() => app.engine.running === 0, 'the turn has left')
  const rows = await db.sql(
    `select id from runs where thread_id = $1 union all select run_id from messages where thread_id = $1 and run_id is not null
     union all select run_id from run_events where thread_id = $1`,
    [thread],
  )
  assert.deepEqual(rows, [])
})

test('the turn of a run that cannot be created is broken off', async (t) => {
  const { other, assistant, thread } = await impatient(t)
  await deleteBehindItsBack(other, thread)
  const answers = gate()
  other.mock.next(text(answers.opened, 'Said.'))
  const creating = other.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await assert.rejects(creating, /No thread found/)
  assert.equal(await (await other.mock.received(0)).ended, 'aborted')
  await until(() => other.app.engine.running === 0, 'the turn has left')
  answers.open()
})

/** What a server that believes itself alone does not know of. */
async function deleteBehindItsBack({ db }: typeof server, thread: string): Promise<void> {
  await db.sql('update threads set deleted_at = 1 where id = $1', [thread])
}

/** A server that waits 5 ms for a turn, whose model has answered before. */
async function impatient(t: TestContext) {
  const other = await startServer({ tuning: { monotonic: () => 0, createWaitMs: 5, startAfterMs: hour } })
  t.after(() => other.app.stop())
  const { assistant, thread } = await readyToRun(other)
  await other.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  other.mock.reset()
  return { other, assistant, thread }
}

test('a message that is on its way when a run is created is shown to the model', async () => {
  const { assistant, thread } = await quick()
  mock.next(text('Seen.'))
  const free = await hold(db.url, 'select from threads where id = $1 for update', [thread])
  const sent = threads.messages.create(thread, { role: 'user', content: 'One more thing.' })
  // It is with the server by then: a request sent after it has been answered.
  await server.fetch('/healthz')
  const created = threads.runs.create(thread, { assistant_id: assistant })
  await server.fetch('/healthz')
  await free()
  await sent
  const run = await threads.runs.poll((await created).id, { thread_id: thread })
  assert.equal(run.status, 'completed')
  const said = mock.requests[0]?.body.messages.map(({ content }) => content)
  assert.deepEqual(said?.slice(-2), ['Good morning?', 'One more thing.'])
})

test('what comes to the thread while its run is being created comes behind the run', async () => {
  const { assistant, thread } = await quick()
  const answers = gate()
  mock.next(async (exchange) => {
    await answers.opened
    await atOnce('First.')(exchange)
  })
  const created = threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const sent = threads.messages.create(thread, { role: 'user', content: 'Second.' })
  await server.fetch('/healthz')
  answers.open()
  const run = await created
  await sent
  assert.equal(await transactionsOf(run.id), 1)
  const { data } = await threads.messages.list(thread, { order: 'asc' })
  assert.deepEqual(data.map(textOf), ['Good morning?', 'First.', 'Second.'])
})

test('the creation of a run waits for a model that was quick no longer than it may, and not for its next runs', async (t) => {
  const { other, assistant, thread } = await impatient(t)
  const { runs } = other.client.beta.threads
  const answers = gate()
  other.mock.next(text(answers.opened, 'Slowly.'))
  const run = await runs.create(thread, { assistant_id: assistant })
  const rows = await other.db.sql<{ status: string }>('select status from runs where id = $1', [run.id])
  assert.deepEqual(rows, [{ status: 'queued' }])
  assert.equal(other.app.store.endings.isQuick('mock-model', hour), false)
  answers.open()
  assert.equal((await runs.poll(run.id, { thread_id: thread })).status, 'completed')
  assert.equal(other.mock.requests.length, 1)
})
