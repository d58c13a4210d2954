import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { readyToRun, startServer } from './support/server.ts'

// Images of messages on their way to the model: by URL, and from uploaded files as data.

const server = await startServer()
const { client, mock } = server
const { runs, messages } = client.beta.threads

type Part = OpenAI.Beta.Threads.MessageContentPartParam

const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16, 0x4a, 0x46, 0x49, 0x46, 0, 1])
const mebibyte = 1024 * 1024

async function upload(bytes: Buffer, name = 'picture.txt'): Promise<string> {
  const file = new File([new Uint8Array(bytes)], name)
  return (await client.files.create({ file, purpose: 'vision' })).id
}

const dataUrl = (bytes: Buffer, type: string) => `data:image/${type};base64,${bytes.toString('base64')}`
const imageFile = (file_id: string, detail?: 'low' | 'high'): Part => ({
  type: 'image_file',
  image_file: detail ? { file_id, detail } : { file_id },
})
const imageUrl = (url: string): Part => ({ type: 'image_url', image_url: { url } })
const words = (value: string): Part => ({ type: 'text', text: value })

/** Runs a thread of these messages and answers what the model was shown of them. */
async function shown(
  parts: { role?: 'user' | 'assistant'; content: Part[] }[],
  settings: Partial<OpenAI.Beta.Threads.RunCreateParamsNonStreaming> = {},
): Promise<unknown[]> {
  const { assistant } = await readyToRun(server, { instructions: '' })
  const thread = await client.beta.threads.create({
    messages: parts.map(({ role = 'user', content }) => ({ role, content })),
  })
  mock.reset()
  const run = await runs.createAndPoll(thread.id, { assistant_id: assistant, ...settings })
  assert.equal(run.status, 'completed', run.last_error?.message)
  return mock.requests[0]?.body.messages.map(({ content }) => content) ?? []
}

test('an image URL reaches the model as it is, with its detail', async () => {
  const remote: Part = {
    type: 'image_url',
    image_url: { url: 'https://example.com/cat.png?size=1', detail: 'low' },
  }
  const inline = imageUrl(dataUrl(png, 'png'))
  const [content] = await shown([{ content: [words('What are these?'), remote, inline] }])
  assert.deepEqual(content, [words('What are these?'), remote, inline])
})

test('an uploaded image reaches the model as data, its type told by its bytes and not by its name', async () => {
  const [one, two] = [await upload(png), await upload(jpeg, 'picture.png')]
  const [content] = await shown([{ content: [imageFile(one, 'high'), words('And?'), imageFile(two)] }])
  assert.deepEqual(content, [
    { type: 'image_url', image_url: { url: dataUrl(png, 'png'), detail: 'high' } },
    words('And?'),
    { type: 'image_url', image_url: { url: dataUrl(jpeg, 'jpeg') } },
  ])
})

test('an image of several pieces arrives whole', async () => {
  const bytes = Buffer.concat([png, Buffer.alloc(mebibyte, 'abcdefg')])
  const [content] = await shown([{ content: [imageFile(await upload(bytes))] }])
  assert.deepEqual(content, [imageUrl(dataUrl(bytes, 'png'))])
})

test('the message keeps its image_file, and every later run shows it again', async () => {
  const { assistant, thread } = await readyToRun(server)
  const part = imageFile(await upload(png))
  const { id } = await messages.create(thread, { role: 'user', content: [part] })
  mock.reset()
  await runs.createAndPoll(thread, { assistant_id: assistant })
  await runs.createAndPoll(thread, { assistant_id: assistant })
  for (const { body } of mock.requests)
    assert.deepEqual(body.messages[2]?.content, [imageUrl(dataUrl(png, 'png'))])
  assert.equal(mock.requests.length, 2)
  assert.deepEqual((await messages.retrieve(id, { thread_id: thread })).content, [part])
})

test('an image that cannot be shown becomes a line of text, and the run goes on', async () => {
  const { assistant, thread } = await readyToRun(server, { instructions: '' })
  const [gone, text, large] = [
    await upload(png),
    await upload(Buffer.from('no image')),
    await upload(Buffer.concat([png, Buffer.alloc(20 * mebibyte)])),
  ]
  await messages.create(thread, {
    role: 'user',
    content: [imageFile(gone), imageFile(text), imageFile(large), words('What do you see?')],
  })
  await client.files.delete(gone)
  mock.reset()
  const run = await runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.deepEqual(mock.requests[0]?.body.messages[1]?.content, [
    words(`[image ${gone}: the file is not there any more]`),
    words(`[image ${text}: the file is not a PNG, JPEG, GIF or WebP image]`),
    words(`[image ${large}: too large to be shown]`),
    words('What do you see?'),
  ])
})

test('of images that are too large together the newest are shown, however often one is named', async () => {
  const bytes = Buffer.concat([png, Buffer.alloc(19 * mebibyte)])
  const id = await upload(bytes)
  const inline = imageUrl(dataUrl(png, 'png'))
  const contents = await shown([
    { content: [inline] },
    { content: [imageFile(id)] },
    { content: [inline] },
    { content: [imageFile(id)] },
  ])
  assert.deepEqual(contents.slice(0, 3), [
    [inline],
    [words(`[image ${id}: too large to be shown]`)],
    [inline],
  ])
  assert.ok(JSON.stringify(contents[3]) === JSON.stringify([imageUrl(dataUrl(bytes, 'png'))]))
})

test("images of an assistant's message are told in words, since the protocol has no place for them", async () => {
  const id = await upload(png)
  const contents = await shown([
    {
      role: 'assistant',
      content: [
        words('Look:'),
        imageFile(id),
        imageUrl('https://example.com/cat.png'),
        imageUrl(dataUrl(png, 'png')),
      ],
    },
    { content: [words('Nice.')] },
  ])
  assert.deepEqual(contents, [`Look:\n[image ${id}]\n[image https://example.com/cat.png]\n[image]`, 'Nice.'])
})

test('images of messages that the model is not shown are not read', async () => {
  const id = await upload(png)
  const locking = await server.app.store.pool.connect()
  try {
    await locking.query('begin')
    const parts = [{ content: [imageFile(id)] }, { content: [words('Good evening.')] }]
    const { assistant } = await readyToRun(server, { instructions: '' })
    const thread = await client.beta.threads.create({
      messages: parts.map(({ content }) => ({ role: 'user', content })),
    })
    // Whoever reads a file now waits for the end of this test.
    await locking.query('lock table files, file_chunks in access exclusive mode')
    mock.reset()
    const run = await runs.createAndPoll(thread.id, {
      assistant_id: assistant,
      truncation_strategy: { type: 'last_messages', last_messages: 1 },
    })
    assert.equal(run.status, 'completed')
    assert.deepEqual(
      mock.requests[0]?.body.messages.map(({ content }) => content),
      ['Good evening.'],
    )
  } finally {
    await locking.query('rollback')
    locking.release()
  }
})
