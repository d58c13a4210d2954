import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { inProgress, readyToRun, startServer, tool } from './support/server.ts'

// wire.md §8, for each kind of object that has metadata.

const server = await startServer()
const { client, mock } = server
const { assistants, threads } = client.beta

type Change = Record<string, string> | null
interface Kind {
  create: (metadata: Change) => Promise<Shown>
  change: (id: string, metadata: Change) => Promise<Shown>
}
interface Shown {
  id: string
  metadata: unknown
}

const { assistant, thread } = await readyToRun(server)
const kinds: Record<string, Kind> = {
  assistant: {
    create: (metadata) => assistants.create({ model: 'mock-model', metadata }),
    change: (id, metadata) => assistants.update(id, { metadata }),
  },
  thread: {
    create: (metadata) => threads.create({ metadata }),
    change: (id, metadata) => threads.update(id, { metadata }),
  },
  message: {
    create: (metadata) => threads.messages.create(thread, { role: 'user', content: 'x', metadata }),
    change: (id, metadata) => threads.messages.update(id, { thread_id: thread, metadata }),
  },
  run: {
    create: async (metadata) => {
      const run = await threads.runs.create(thread, { assistant_id: assistant, metadata })
      return threads.runs.poll(run.id, { thread_id: thread })
    },
    change: (id, metadata) => threads.runs.update(id, { thread_id: thread, metadata }),
  },
}

const pairs = (n: number, from = 0): Record<string, string> =>
  Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${from + i}`, 'v']))

for (const [name, { create, change }] of Object.entries(kinds)) {
  test(`metadata of a ${name}: null is {}, a change merges, "" and null remove, null alone clears`, async () => {
    assert.deepEqual((await create(null)).metadata, {})
    const { id, metadata } = await create({ a: '1', b: '2', c: '3' })
    assert.deepEqual(metadata, { a: '1', b: '2', c: '3' })
    assert.deepEqual((await change(id, { b: '', c: null as never, d: '4' })).metadata, { a: '1', d: '4' })
    assert.deepEqual((await change(id, {})).metadata, { a: '1', d: '4' })
    assert.deepEqual((await change(id, null)).metadata, {})
  })

  test(`metadata of a ${name}: limits count code points, and those of a change count what is there`, async () => {
    const key = '🌾'.repeat(64)
    const { id } = await create({ ...pairs(15), [key]: '🌾'.repeat(512) })
    const error = {
      message:
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
      type: 'invalid_request_error',
      param: 'metadata',
      code: 'object_above_max_properties',
    }
    await assert.rejects(change(id, { more: 'x' }), { status: 400, error })
    assert.equal(Object.keys((await change(id, { k0: '', more: 'x' })).metadata as object).length, 16)
    const long = {
      message:
        /'metadata.a': string too long\. Expected a string with maximum length 512, but got a string with length 513/,
    }
    await assert.rejects(change(id, { a: '🌾'.repeat(513) }), long)
    await assert.rejects(create({ [`${key}k`]: 'v' }), { code: 'property_name_above_max_length' })
    await assert.rejects(create({ a: 7 as never }), { code: 'invalid_type', param: 'metadata.a' })
    await assert.rejects(create({ a: null as never }), { code: 'invalid_type', param: 'metadata.a' })
  })
}

test('a change that is refused under way keeps its database connection', async () => {
  const { id } = await assistants.create({ model: 'mock-model', metadata: pairs(16) })
  const connections = () =>
    server.db.sql(`select pid, backend_start from pg_stat_activity
      where datname = current_database() and application_name like 'threadmill %' order by pid`)
  const before = await connections()
  for (let i = 0; i < 5; i++) await assert.rejects(assistants.update(id, { metadata: { more: 'x' } }))
  assert.deepEqual(await connections(), before)
  assert.deepEqual((await assistants.update(id, { metadata: { k0: '' } })).metadata, pairs(15, 1))
})

test('metadata that are changed while a run is under way are in all its later events and answers', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const held = gate()
  mock.when(
    (body) => body.messages.some(({ role }) => role === 'user'),
    async (exchange) => {
      await held.opened
      await toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }])(exchange)
    },
  )
  const metadata = { stage: 'one' }
  const stream = await threads.runs.create(thread, { assistant_id: assistant, metadata, stream: true })
  const seen: [string, unknown][] = []
  let changed: Promise<unknown> | null = null
  for await (const { event, data } of stream as AsyncIterable<OpenAI.Beta.AssistantStreamEvent>) {
    if (!('object' in data) || data.object !== 'thread.run') continue
    seen.push([event, data.metadata])
    if (event !== 'thread.run.in_progress') continue
    await inProgress(server, thread, data.id)
    changed = threads.runs.update(data.id, { thread_id: thread, metadata: { stage: 'two' } })
    await changed
    held.open()
  }
  mock.reset()
  assert.deepEqual(seen.at(-1), ['thread.run.requires_action', { stage: 'two' }])
  const [run] = (await threads.runs.list(thread)).data
  assert.deepEqual(run?.metadata, { stage: 'two' })
  mock.next(text('Done.'))
  const done = await threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: 'ok' }],
  })
  assert.deepEqual([done.status, done.metadata], ['completed', { stage: 'two' }])
})
