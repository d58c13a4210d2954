import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { gate, text } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, uploaded } from './support/server.ts'

const server = await startServer()
const { client, mock } = server
const { messages } = client.beta.threads

async function newThread(): Promise<string> {
  return (await client.beta.threads.create()).id
}

test('a user message is completed from the start and carries every key', async () => {
  const thread = await newThread()
  const message = await messages.create(thread, { role: 'user', content: 'Hello' })
  const { id, created_at, ...rest } = message
  assert.match(id, /^msg_[A-Za-z0-9]{24}$/)
  assert.deepEqual(rest, {
    object: 'thread.message',
    thread_id: thread,
    status: 'completed',
    incomplete_details: null,
    completed_at: created_at,
    incomplete_at: null,
    role: 'user',
    content: [{ type: 'text', text: { value: 'Hello', annotations: [] } }],
    assistant_id: null,
    run_id: null,
    attachments: [],
    metadata: {},
  })
  assert.deepEqual(await messages.retrieve(id, { thread_id: thread }), message)
})

test('a client may write a message of the assistant', async () => {
  const thread = await newThread()
  const message = await messages.create(thread, { role: 'assistant', content: 'I said so.' })
  assert.equal(message.role, 'assistant')
  assert.equal(message.assistant_id, null)
})

const image: OpenAI.Beta.Threads.ImageURLContentBlock = {
  type: 'image_url',
  image_url: { url: 'https://example.com/mill.png', detail: 'low' },
}
const file: OpenAI.Beta.Threads.ImageFileContentBlock = {
  type: 'image_file',
  image_file: { file_id: await uploaded(server), detail: 'high' },
}

test('text parts, image URLs and image files come back in their order, text in its output form', async () => {
  const thread = await newThread()
  const { id, content } = await messages.create(thread, {
    role: 'user',
    content: [{ type: 'text', text: 'Look:' }, image, { type: 'text', text: 'and' }, file],
  })
  assert.deepEqual(content, [
    { type: 'text', text: { value: 'Look:', annotations: [] } },
    image,
    { type: 'text', text: { value: 'and', annotations: [] } },
    file,
  ])
  assert.deepEqual((await messages.retrieve(id, { thread_id: thread })).content, content)
})

test('text comes back exactly: line ends, quotes, emoji and other scripts', async () => {
  const thread = await newThread()
  const odd = 'a\r\nb\tc "quoted" \\back \u2028 \u0001 🌾 日本 \u{10FFFF} e\u0301 \ud83c\udf3e'
  const { id } = await messages.create(thread, { role: 'user', content: odd })
  assert.equal(textOf(await messages.retrieve(id, { thread_id: thread })), odd)
})

test('a message of 256,000 characters is stored whole', async () => {
  const thread = await newThread()
  const long = '🌾'.repeat(256_000)
  const { id } = await messages.create(thread, { role: 'user', content: long })
  assert.ok(textOf(await messages.retrieve(id, { thread_id: thread })) === long)
})

test('attachments come back as they were sent', async () => {
  const thread = await newThread()
  const attachments: OpenAI.Beta.Threads.MessageCreateParams['attachments'] = [
    { file_id: await uploaded(server), tools: [{ type: 'file_search' }, { type: 'code_interpreter' }] },
  ]
  const message = await messages.create(thread, { role: 'user', content: 'x', attachments })
  assert.deepEqual(message.attachments, attachments)
  const bare = await messages.create(thread, {
    role: 'user',
    content: 'x',
    attachments: null,
    metadata: null,
  })
  assert.deepEqual([bare.attachments, bare.metadata], [[], {}])
})

test('a change of a message changes its metadata alone', async () => {
  const thread = await newThread()
  const message = await messages.create(thread, { role: 'user', content: 'x', metadata: { a: '1', b: '2' } })
  const ofThread = { thread_id: thread }
  const merged = await messages.update(message.id, { ...ofThread, metadata: { b: '', c: '3' } })
  assert.deepEqual(merged, { ...message, metadata: { a: '1', c: '3' } })
  assert.deepEqual(await messages.update(message.id, ofThread), merged)
  assert.deepEqual((await messages.update(message.id, { ...ofThread, metadata: null })).metadata, {})
  const content = { ...ofThread, content: 'y' } as OpenAI.Beta.Threads.MessageUpdateParams
  await assert.rejects(messages.update(message.id, content), { status: 400, code: 'unknown_parameter' })
})

test('a deleted message is gone, and the others keep their order', async () => {
  const thread = await newThread()
  const made = []
  for (const content of ['one', 'two', 'three'])
    made.push(await messages.create(thread, { role: 'user', content }))
  const id = made[1]?.id ?? ''
  const ofThread = { thread_id: thread }
  const deleted = await messages.delete(id, ofThread)
  assert.deepEqual(deleted, { id, object: 'thread.message.deleted', deleted: true })
  await assert.rejects(messages.retrieve(id, ofThread), { status: 404 })
  await assert.rejects(messages.delete(id, ofThread), { status: 404 })
  await messages.create(thread, { role: 'user', content: 'four' })
  const left = (await messages.list(thread, { order: 'asc' })).data
  assert.deepEqual(left.map(textOf), ['one', 'three', 'four'])
})

test('a message is found under its own thread only', async () => {
  const [mine, other] = [await newThread(), await newThread()]
  const { id } = await messages.create(mine, { role: 'user', content: 'x' })
  const wrong = { thread_id: other }
  await assert.rejects(messages.retrieve(id, wrong), { status: 404 })
  await assert.rejects(messages.update(id, { ...wrong, metadata: { a: 'b' } }), { status: 404 })
  await assert.rejects(messages.delete(id, wrong), { status: 404 })
  assert.deepEqual((await messages.retrieve(id, { thread_id: mine })).metadata, {})
})

test('while a run is active messages are neither added nor deleted, but their metadata may change', async () => {
  const { assistant, thread } = await readyToRun(server)
  const [first] = (await messages.list(thread)).data
  assert.ok(first)
  const held = gate()
  mock.reset()
  mock.next(text('Wait', held.opened, '.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const ofThread = { thread_id: thread }
  await assert.rejects(messages.create(thread, { role: 'user', content: 'x' }), { status: 400 })
  await assert.rejects(messages.delete(first.id, ofThread), { status: 400 })
  const changed = await messages.update(first.id, { ...ofThread, metadata: { a: '1' } })
  assert.deepEqual(changed.metadata, { a: '1' })
  held.open()
  await client.beta.threads.runs.poll(run.id, ofThread)
  const left = (await messages.list(thread, { order: 'asc' })).data
  assert.deepEqual(left.map(textOf), ['Good morning?', 'Wait.'])
  assert.deepEqual(left[0]?.metadata, { a: '1' })
  await messages.delete(first.id, ofThread)
})

test('messages created side by side are all there, once each', async () => {
  const thread = await newThread()
  const contents = Array.from({ length: 40 }, (_, i) => `m${i}`)
  const made = await Promise.all(
    contents.map((content) => messages.create(thread, { role: 'user', content })),
  )
  const listed = (await messages.list(thread, { limit: 100 })).data
  assert.deepEqual(listed.map(textOf).toSorted(), contents.toSorted())
  assert.equal(new Set(made.map((message) => message.id)).size, 40)
})
