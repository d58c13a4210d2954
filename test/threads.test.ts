import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool, uploaded } from './support/server.ts'

// No sweep but the first: what a deletion hides must be hidden before the rows are purged.
const server = await startServer({ tuning: { sweepMs: 3_600_000 } })
const { client, mock } = server
const { threads } = client.beta

/** Deleted threads whose rows are still there. */
async function unpurged(id: string): Promise<number> {
  const rows = await server.db.sql('select from threads where id = $1 and deleted_at is not null', [id])
  return rows.length
}

test('a thread of nothing gets the defaults', async () => {
  const thread = await threads.create()
  const { id, created_at, ...rest } = thread
  assert.match(id, /^thread_[A-Za-z0-9]{24}$/)
  assert.ok(Number.isInteger(created_at))
  assert.deepEqual(rest, { object: 'thread', tool_resources: {}, metadata: {} })
  assert.deepEqual(await threads.retrieve(id), thread)
  assert.deepEqual((await threads.messages.list(id)).data, [])
})

const empty: [string, RequestInit][] = [
  ['no body at all', {}],
  ['an empty object', { headers: { 'content-type': 'application/json' }, body: '{}' }],
  ['a JSON content type and zero bytes', { headers: { 'content-type': 'application/json' }, body: '' }],
  ['null', { headers: { 'content-type': 'application/json' }, body: 'null' }],
]
for (const [title, init] of empty) {
  test(`a thread is created by ${title}`, async () => {
    const answer = await server.fetch('/v1/threads', { method: 'POST', ...init })
    assert.equal(answer.status, 200)
    const { id } = (await answer.json()) as OpenAI.Beta.Thread
    assert.equal((await threads.retrieve(id)).id, id)
  })
}

for (const [title, init] of empty) {
  test(`a run is cancelled by ${title}`, async () => {
    const { assistant, thread } = await readyToRun(server)
    mock.reset()
    mock.next(hang())
    const run = await threads.runs.create(thread, { assistant_id: assistant })
    const path = `/v1/threads/${thread}/runs/${run.id}/cancel`
    const answer = await server.fetch(path, { method: 'POST', ...init })
    assert.equal(answer.status, 200)
    assert.equal((await threads.runs.poll(run.id, { thread_id: thread })).status, 'cancelled')
  })
}

test('a thread is created with messages in the order of the array, metadata and resources', async () => {
  const thread = await threads.create({
    messages: [
      { role: 'user', content: 'one', metadata: { n: '1' } },
      { role: 'assistant', content: 'two' },
      { role: 'user', content: 'three' },
    ],
    metadata: { a: '1' },
    tool_resources: { file_search: { vector_store_ids: ['vs_abc'] } },
  })
  assert.deepEqual(thread.metadata, { a: '1' })
  assert.deepEqual(thread.tool_resources, { file_search: { vector_store_ids: ['vs_abc'] } })
  assert.deepEqual(await threads.retrieve(thread.id), thread)
  const messages = (await threads.messages.list(thread.id, { order: 'asc' })).data
  assert.deepEqual(messages.map(textOf), ['one', 'two', 'three'])
  assert.deepEqual(
    messages.map((message) => message.role),
    ['user', 'assistant', 'user'],
  )
  assert.deepEqual(messages[0]?.metadata, { n: '1' })
})

test('a change of a thread merges metadata, replaces resources, and leaves what it omits', async () => {
  const { id, ...rest } = await threads.create({
    metadata: { a: '1', b: '2' },
    tool_resources: { code_interpreter: { file_ids: [await uploaded(server)] } },
  })
  const merged = await threads.update(id, { metadata: { b: '', c: '3' } })
  assert.deepEqual(merged, { id, ...rest, metadata: { a: '1', c: '3' } })
  const replaced = await threads.update(id, {
    tool_resources: { file_search: { vector_store_ids: ['vs_b'] } },
  })
  assert.deepEqual(replaced, { ...merged, tool_resources: { file_search: { vector_store_ids: ['vs_b'] } } })
  assert.deepEqual(await threads.retrieve(id), replaced)
  const cleared = await threads.update(id, { metadata: null, tool_resources: null })
  assert.deepEqual(cleared, { ...merged, metadata: {}, tool_resources: {} })
  assert.deepEqual(await threads.retrieve(id), cleared)
})

test('a thread may be changed while a run is active', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  assert.deepEqual((await threads.update(thread, { metadata: { a: '1' } })).metadata, { a: '1' })
  const changed = await threads.runs.update(run.id, { thread_id: thread, metadata: { b: '2' } })
  assert.deepEqual(changed.metadata, { b: '2' })
  await threads.runs.cancel(run.id, { thread_id: thread })
  const ended = await threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'cancelled')
  assert.deepEqual(ended.metadata, { b: '2' }, 'the end of the run keeps metadata set meanwhile')
})

test('after its deletion a thread, its messages, runs and steps are all gone at once', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('Done.'))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const [message] = (await threads.messages.list(thread)).data
  const [step] = (await threads.runs.steps.list(run.id, { thread_id: thread })).data
  assert.ok(message && step)
  const deleted = await threads.delete(thread)
  assert.deepEqual(deleted, { id: thread, object: 'thread.deleted', deleted: true })
  assert.equal(
    await unpurged(thread),
    1,
    'the rows are still there, so that the answers below prove something',
  )

  const ofThread = { thread_id: thread }
  const gone: [string, () => Promise<unknown>][] = [
    ['the thread', () => threads.retrieve(thread)],
    ['its change', () => threads.update(thread, { metadata: {} })],
    ['its second deletion', () => threads.delete(thread)],
    ['its messages', () => threads.messages.list(thread)],
    ['its messages of the run', () => threads.messages.list(thread, { run_id: run.id })],
    ['its messages after a cursor', () => threads.messages.list(thread, { after: message.id })],
    ['a message', () => threads.messages.retrieve(message.id, ofThread)],
    ['a change of a message', () => threads.messages.update(message.id, { ...ofThread, metadata: {} })],
    ['the deletion of a message', () => threads.messages.delete(message.id, ofThread)],
    ['a new message', () => threads.messages.create(thread, { role: 'user', content: 'x' })],
    ['its runs', () => threads.runs.list(thread)],
    ['a run', () => threads.runs.retrieve(run.id, ofThread)],
    ['a poll', () => threads.runs.poll(run.id, ofThread)],
    ['a change of a run', () => threads.runs.update(run.id, { ...ofThread, metadata: {} })],
    ['a new run', () => threads.runs.create(thread, { assistant_id: assistant })],
    ['the cancel of a run', () => threads.runs.cancel(run.id, ofThread)],
    ['outputs', () => threads.runs.submitToolOutputs(run.id, { ...ofThread, tool_outputs: [] })],
    ['its steps', () => threads.runs.steps.list(run.id, ofThread)],
    ['a step', () => threads.runs.steps.retrieve(step.id, { ...ofThread, run_id: run.id })],
  ]
  for (const [what, ask] of gone) await assert.rejects(ask(), { status: 404 }, what)
})

test('deleting a thread with a run in progress ends the run and its items', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('Half', hangForever()))
  const stream = threads.runs.stream(thread, { assistant_id: assistant })
  await stream.emitted('textDelta')
  await threads.delete(thread)
  const run = await stream.finalRun()
  assert.equal(run.status, 'cancelled')
  const [row] = await server.db.sql<{ status: string; owner_node: string | null; active: string | null }>(
    `select status, owner_node, (select active_run_id from threads where id = $1) as active
      from runs where thread_id = $1`,
    [thread],
  )
  assert.deepEqual(row, { status: 'cancelled', owner_node: null, active: null })
  const open = await server.db.sql(
    `select from run_steps where thread_id = $1 and status = 'in_progress'
      union all select from messages where thread_id = $1 and status = 'in_progress'`,
    [thread],
  )
  assert.equal(open.length, 0)
})

test('deleting a thread whose run waits for outputs ends the run', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'requires_action')
  await threads.delete(thread)
  const states = await server.db.sql('select status, calls from runs where thread_id = $1', [thread])
  assert.deepEqual(states, [{ status: 'cancelled', calls: null }])
  const steps = await server.db.sql('select status from run_steps where thread_id = $1', [thread])
  assert.deepEqual(steps, [{ status: 'cancelled' }])
})

test('of many deletions of one thread exactly one succeeds', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  await threads.runs.create(thread, { assistant_id: assistant })
  const answers = await Promise.allSettled(Array.from({ length: 8 }, () => threads.delete(thread)))
  const deleted = answers.filter((answer) => answer.status === 'fulfilled')
  const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
  assert.equal(deleted.length, 1)
  assert.deepEqual(
    refused.map((error: { status: number }) => error.status),
    Array.from({ length: 7 }, () => 404),
  )
})

test('sweeps remove every row of a deleted thread and no other', async () => {
  const [kept, doomed] = [await readyToRun(server), await readyToRun(server)]
  mock.reset()
  for (const { assistant, thread } of [kept, doomed]) {
    const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
    assert.equal(run.status, 'completed')
  }
  await threads.delete(doomed.thread)
  // One for the rows of the thread, one for the thread itself.
  for (let i = 0; i < 2; i++) await server.app.engine.sweep()
  const count = async (thread: string) => {
    const rows = await server.db.sql<{ n: string }>(
      `select (select count(*) from threads where id = $1) + (select count(*) from messages where thread_id = $1)
        + (select count(*) from runs where thread_id = $1) + (select count(*) from run_steps where thread_id = $1) as n`,
      [thread],
    )
    return Number(rows[0]?.n)
  }
  assert.equal(await count(doomed.thread), 0)
  assert.equal(await count(kept.thread), 1 + 2 + 1 + 1)
})

/** A piece that never comes: the backend request ends when the run does. */
function hangForever(): Promise<never> {
  return new Promise(() => {})
}
