import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { text } from './support/mock-model.ts'
import { readyToRun, startServer, tool, uploaded } from './support/server.ts'

const server = await startServer()
const { client, mock } = server
const { assistants } = client.beta

const whole: OpenAI.Beta.AssistantCreateParams = {
  model: 'mock-model',
  name: 'Miller',
  description: 'Grinds corn.',
  instructions: 'Grind slowly.',
  tools: [tool('grind'), { type: 'code_interpreter' }, { type: 'file_search' }],
  tool_resources: { code_interpreter: { file_ids: [await uploaded(server)] } },
  metadata: { team: 'stone', shift: 'late' },
  temperature: 0.2,
  top_p: 0.5,
  response_format: { type: 'json_object' },
  reasoning_effort: 'low',
}

test('an assistant of a model alone gets the defaults', async () => {
  const before = await server.db.sql<{ now: string }>('select floor(threadmill_now())::bigint as now')
  const assistant = await assistants.create({ model: 'mock-model' })
  const { id, created_at, ...rest } = assistant
  assert.match(id, /^asst_[A-Za-z0-9]{24}$/)
  assert.ok(created_at >= Number(before[0]?.now) - 1, 'created_at is the database time in seconds')
  assert.ok(Number.isInteger(created_at))
  assert.deepEqual(rest, {
    object: 'assistant',
    name: null,
    description: null,
    model: 'mock-model',
    instructions: null,
    tools: [],
    tool_resources: {},
    metadata: {},
    temperature: 1,
    top_p: 1,
    response_format: 'auto',
    reasoning_effort: null,
  })
  assert.deepEqual(await assistants.retrieve(id), assistant)
})

test('every field of an assistant comes back as it was sent', async () => {
  const created = await assistants.create(whole)
  const found = await assistants.retrieve(created.id)
  assert.deepEqual(found, created)
  for (const [key, value] of Object.entries(whole)) {
    assert.deepEqual(found[key as keyof OpenAI.Beta.Assistant], value, key)
  }
})

test('null in a creation is the same as leaving the field out, but tools are a list or not there', async () => {
  const { id, created_at, ...plain } = await assistants.create({ model: 'mock-model' })
  const nulls = Object.fromEntries(
    Object.keys(whole)
      .filter((key) => key !== 'model' && key !== 'tools')
      .map((key) => [key, null]),
  )
  const answer = await server.fetch('/v1/assistants', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'mock-model', ...nulls }),
  })
  const other = (await answer.json()) as OpenAI.Beta.Assistant
  assert.notEqual(other.id, id)
  assert.deepEqual({ ...other, id, created_at }, { ...plain, id, created_at })
  const refused = assistants.create({ model: 'mock-model', tools: null as never })
  const message = "400 Invalid type for 'tools': expected an array, but got null instead."
  await assert.rejects(refused, { status: 400, message })
})

test('a change leaves what it omits as it was', async () => {
  const created = await assistants.create(whole)
  assert.deepEqual(await assistants.update(created.id, {}), created)
  const renamed = await assistants.update(created.id, { name: 'Baker' })
  assert.deepEqual(renamed, { ...created, name: 'Baker' })
  assert.deepEqual(await assistants.retrieve(created.id), renamed)
})

test('a change replaces each field that it names', async () => {
  const created = await assistants.create({ model: 'other-model' })
  const changed = await assistants.update(created.id, whole)
  assert.deepEqual(changed, { ...created, ...whole })
  assert.deepEqual(await assistants.retrieve(created.id), changed)
})

test('null in a change clears the field', async () => {
  const created = await assistants.create(whole)
  const cleared = await assistants.update(created.id, {
    name: null,
    description: null,
    instructions: null,
    tool_resources: null,
    metadata: null,
    temperature: null,
    top_p: null,
    response_format: null,
    reasoning_effort: null,
  })
  const expected = {
    ...created,
    name: null,
    description: null,
    instructions: null,
    tool_resources: {},
    metadata: {},
    temperature: 1,
    top_p: 1,
    response_format: 'auto',
    reasoning_effort: null,
  }
  assert.deepEqual(cleared, expected)
  assert.deepEqual(await assistants.retrieve(created.id), expected)
})

test('tools are replaced whole', async () => {
  const { id } = await assistants.create({ model: 'mock-model', tools: [tool('a'), tool('b')] })
  assert.deepEqual((await assistants.update(id, { tools: [tool('c')] })).tools, [tool('c')])
  assert.deepEqual((await assistants.update(id, { tools: [] })).tools, [])
})

test('temperature and top_p of zero are kept, not taken for unset', async () => {
  const { id } = await assistants.create({ model: 'mock-model', temperature: 0, top_p: 0 })
  const { temperature, top_p } = await assistants.retrieve(id)
  assert.deepEqual({ temperature, top_p }, { temperature: 0, top_p: 0 })
})

test('changes made side by side all arrive', async () => {
  const { id } = await assistants.create({ model: 'mock-model' })
  const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key) => assistants.update(id, { metadata: { [key]: key } })))
  assert.deepEqual(Object.keys((await assistants.retrieve(id)).metadata ?? {}).toSorted(), keys.toSorted())
})

test('metadata sent in a change is merged, and "" or null removes a key', async () => {
  const { id } = await assistants.create({ model: 'mock-model', metadata: { a: '1', b: '2', c: '3' } })
  const merged = await assistants.update(id, { metadata: { b: 'two', d: '4' } })
  assert.deepEqual(merged.metadata, { a: '1', b: 'two', c: '3', d: '4' })
  const removing = { metadata: { a: '', b: null } } as unknown as OpenAI.Beta.AssistantUpdateParams
  const removed = await assistants.update(id, removing)
  assert.deepEqual(removed.metadata, { c: '3', d: '4' })
  assert.deepEqual((await assistants.retrieve(id)).metadata, { c: '3', d: '4' })
  assert.deepEqual((await assistants.update(id, { metadata: {} })).metadata, { c: '3', d: '4' })
})

test('metadata may be as large as its limits, counted in code points', async () => {
  const metadata = Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [`${i}`.padStart(2, '0') + '🌾'.repeat(62), '🌾'.repeat(512)]),
  )
  const { id } = await assistants.create({ model: 'mock-model', metadata })
  assert.deepEqual((await assistants.retrieve(id)).metadata, metadata)
})

test('a change whose merged metadata has more than 16 pairs is refused and changes nothing', async () => {
  const metadata = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, 'v']))
  const { id } = await assistants.create({ model: 'mock-model', name: 'Full', metadata })
  await assert.rejects(assistants.update(id, { name: 'Fuller', metadata: { one: 'more' } }), {
    status: 400,
    code: 'object_above_max_properties',
    param: 'metadata',
  })
  const found = await assistants.retrieve(id)
  assert.equal(found.name, 'Full')
  assert.deepEqual(found.metadata, metadata)
  // Room made by the same change counts.
  const swap = { metadata: { k0: '', one: 'more' } }
  assert.equal(Object.keys((await assistants.update(id, swap)).metadata ?? {}).length, 16)
})

function sortedEntries(metadata: OpenAI.Metadata | null): [string, string][] {
  return Object.entries(metadata ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

test('names that JavaScript objects know are ordinary metadata keys', async () => {
  const body = '{"model":"mock-model","metadata":{"hasOwnProperty":"a","constructor":"b","toString":"c"}}'
  const headers = { 'content-type': 'application/json' }
  const answer = await server.fetch('/v1/assistants', { method: 'POST', headers, body })
  const { id, metadata } = (await answer.json()) as OpenAI.Beta.Assistant
  const expected = [
    ['constructor', 'b'],
    ['hasOwnProperty', 'a'],
    ['toString', 'c'],
  ]
  assert.deepEqual(sortedEntries(metadata), expected)
  const changed = await assistants.update(id, { metadata: { zero: '0' } })
  assert.deepEqual(sortedEntries(changed.metadata), [...expected, ['zero', '0']])
})

test('assistants are listed with the newest first', async () => {
  const first = await assistants.create({ model: 'mock-model', name: 'first' })
  const second = await assistants.create({ model: 'mock-model', name: 'second' })
  const page = await assistants.list({ limit: 2 })
  assert.deepEqual(page.data, [second, first])
})

test('a deleted assistant is gone, and its runs stay readable as they were', async () => {
  const { assistant, thread } = await readyToRun(server, { instructions: 'Stay.', tools: [tool('f')] })
  mock.next(text('Done.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const deleted = await assistants.delete(assistant)
  assert.deepEqual(deleted, { id: assistant, object: 'assistant.deleted', deleted: true })
  await assert.rejects(assistants.retrieve(assistant), { status: 404 })
  await assert.rejects(assistants.update(assistant, { name: 'x' }), { status: 404 })
  await assert.rejects(assistants.delete(assistant), { status: 404 })
  const listed = (await assistants.list({ limit: 100 })).data.map((one) => one.id)
  assert.ok(!listed.includes(assistant))
  assert.deepEqual(await client.beta.threads.runs.retrieve(run.id, { thread_id: thread }), run)
  assert.equal(run.instructions, 'Stay.')
  const answer = (await client.beta.threads.messages.list(thread)).data[0]
  assert.equal(answer?.assistant_id, assistant)
})

test('a run under way ends well although its assistant is deleted', async () => {
  const { assistant, thread } = await readyToRun(server)
  const { promise, resolve } = Promise.withResolvers<void>()
  mock.reset()
  mock.next(text('Still', promise, ' here.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  await assistants.delete(assistant)
  resolve()
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})

test('a change of the assistant does not reach its runs', async () => {
  const { assistant, thread } = await readyToRun(server, { instructions: 'Old.', temperature: 0.3 })
  mock.next(text('Done.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await assistants.update(assistant, { instructions: 'New.', temperature: 1.5, model: 'other-model' })
  const again = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.deepEqual(again, run)
  assert.equal(again.instructions, 'Old.')
})
