import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { check, shows, type Check } from './check.ts'
import { textOf, tool, unique, type Refusal, type Target } from './target.ts'

const create = '§4 Messages POST .../messages'
const one = '§4 Messages GET / POST {message_id}'
const object = '§4 message object'

/** A PNG of one pixel. */
const pixel = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
)

const refusals: [string, string, object, Refusal][] = [
  ['no-role', '§9 missing field', { role: undefined }, { code: 'missing_required_parameter', param: 'role' }],
  [
    'no-content',
    '§9 missing field',
    { content: undefined },
    { code: 'missing_required_parameter', param: 'content' },
  ],
  ['another-role', '§9 enum', { role: 'system' }, { code: 'invalid_value', param: 'role' }],
  ['empty-text', create, { content: '' }, { param: 'content' }],
  ['empty-list', create, { content: [] }, { param: 'content' }],
  ['empty-part', create, { content: [{ type: 'text', text: '' }] }, {}],
  ['output-text-part', create, { content: [{ type: 'text', text: { value: 'x', annotations: [] } }] }, {}],
  ['unknown-part', '§9 enum', { content: [{ type: 'sound' }] }, {}],
  ['image-without-url', create, { content: [{ type: 'image_url', image_url: {} }] }, {}],
  ['number-as-content', '§9 wrong type', { content: 7 }, { code: 'invalid_type', param: 'content' }],
  ['256001-characters', create, { content: 'x'.repeat(256_001) }, { code: 'string_above_max_length' }],
  [
    'attachment-without-file',
    create,
    { attachments: [{ tools: [{ type: 'file_search' }] }] },
    { param: 'attachments[0].file_id' },
  ],
  ['attachment-for-a-function', create, { attachments: [{ file_id: 'file-x', tools: [tool('f')] }] }, {}],
  ['unknown-key', '§9 unknown field', { name: 'x' }, { code: 'unknown_parameter', param: 'name' }],
]

/** The message that a run left behind. */
async function left(
  t: Target,
  run: OpenAI.Beta.Threads.Run,
): Promise<OpenAI.Beta.Threads.Message | undefined> {
  return (await t.messages(run.thread_id)).find(({ run_id }) => run_id === run.id)
}

export const messageChecks: Check[] = [
  check('messages.create.text', [create, object], async (t) => {
    const { id } = await t.thread()
    const message = await t.client.beta.threads.messages.create(id, { role: 'user', content: 'Hi.' })
    shows(message, {
      object: 'thread.message',
      thread_id: id,
      role: 'user',
      content: [{ type: 'text', text: { value: 'Hi.', annotations: [] } }],
      metadata: {},
    })
  }),
  check('messages.create.user-message-is-complete', object, async (t) => {
    const { id } = await t.thread()
    const message = await t.client.beta.threads.messages.create(id, { role: 'user', content: 'Hi.' })
    shows(message, {
      status: 'completed',
      completed_at: message.created_at,
      incomplete_at: null,
      incomplete_details: null,
      assistant_id: null,
      run_id: null,
      attachments: [],
    })
  }),
  check('messages.create.parts', create, async (t) => {
    const { id } = await t.thread()
    const url = 'https://example.com/mill.png'
    const message = await t.client.beta.threads.messages.create(id, {
      role: 'user',
      content: [
        { type: 'text', text: 'One.' },
        { type: 'image_url', image_url: { url, detail: 'low' } },
        { type: 'text', text: 'Two.' },
      ],
    })
    assert.deepEqual(message.content, [
      { type: 'text', text: { value: 'One.', annotations: [] } },
      { type: 'image_url', image_url: { url, detail: 'low' } },
      { type: 'text', text: { value: 'Two.', annotations: [] } },
    ])
  }),
  check('messages.create.image-url-reaches-the-model', create, async (t) => {
    const mark = unique()
    const url = 'https://example.com/mill.png'
    const { id: thread } = await t.client.beta.threads.create({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: mark },
            { type: 'image_url', image_url: { url } },
          ],
        },
      ],
    })
    await t.client.beta.threads.runs.createAndPoll(thread, { assistant_id: (await t.assistant()).id })
    assert.ok(JSON.stringify(t.model.askedWith(mark)).includes(url))
  }),
  check('messages.create.image-file-reaches-the-model', create, async (t) => {
    const mark = unique()
    const file = new File([pixel], 'pixel.png', { type: 'image/png' })
    const { id: file_id } = await t.client.files.create({ file, purpose: 'vision' })
    const { id: thread } = await t.thread()
    const message = await t.client.beta.threads.messages.create(thread, {
      role: 'user',
      content: [
        { type: 'text', text: mark },
        { type: 'image_file', image_file: { file_id } },
      ],
    })
    assert.equal(message.content[1]?.type, 'image_file')
    const [part] = message.content.slice(1) as OpenAI.Beta.Threads.ImageFileContentBlock[]
    assert.equal(part?.image_file.file_id, file_id)
    await t.client.beta.threads.runs.createAndPoll(thread, { assistant_id: (await t.assistant()).id })
    const data = `data:image/png;base64,${pixel.toString('base64')}`
    assert.ok(JSON.stringify(t.model.askedWith(mark)).includes(data), 'the model gets the image as data')
  }),
  check('messages.create.attachments', create, async (t) => {
    const [{ id }, file] = await Promise.all([t.thread(), t.file()])
    const attachments: OpenAI.Beta.Threads.MessageCreateParams.Attachment[] = [
      { file_id: file.id, tools: [{ type: 'code_interpreter' }, { type: 'file_search' }] },
    ]
    const message = await t.client.beta.threads.messages.create(id, {
      role: 'user',
      content: 'See.',
      attachments,
    })
    assert.deepEqual(message.attachments, attachments)
    assert.deepEqual((await t.messages(id))[0]?.attachments, attachments)
  }),
  check('messages.create.assistant-role', create, async (t) => {
    const { id } = await t.thread()
    const message = await t.client.beta.threads.messages.create(id, { role: 'assistant', content: 'I did.' })
    shows(message, { role: 'assistant', status: 'completed' })
  }),
  check('messages.create.largest-text', create, async (t) => {
    const { id } = await t.thread('x'.repeat(256_000))
    assert.equal(textOf((await t.messages(id))[0]).length, 256_000)
  }),
  check('messages.create.unicode-survives', create, async (t) => {
    const text = 'ﬁ ünïcödé 🌾\u2028\t"\\\r\n'
    assert.equal(textOf((await t.messages((await t.thread(text)).id))[0]), text)
  }),
  ...refusals.map(([what, row, body, expected]) =>
    check(`messages.create.refuses-${what}`, [create, row], async (t) => {
      const { id } = await t.thread()
      await t.refused(
        'POST',
        `/v1/threads/${id}/messages`,
        { role: 'user', content: 'Hi.', ...body },
        expected,
      )
      assert.deepEqual(await t.messages(id), [])
    }),
  ),
  check('messages.retrieve', one, async (t) => {
    const { id: thread_id } = await t.thread('Hi.')
    const [message] = await t.messages(thread_id)
    assert.deepEqual(await t.client.beta.threads.messages.retrieve(message?.id ?? '', { thread_id }), message)
  }),
  check('messages.modify.metadata-only', one, async (t) => {
    const { id: thread_id } = await t.thread('Hi.')
    const [message] = await t.messages(thread_id)
    const id = message?.id ?? ''
    const changed = await t.client.beta.threads.messages.update(id, { thread_id, metadata: { a: 'b' } })
    assert.deepEqual(changed, { ...message, metadata: { a: 'b' } })
    const path = `/v1/threads/${thread_id}/messages/${id}`
    await t.refused('POST', path, { content: 'No.' }, { code: 'unknown_parameter', param: 'content' })
    assert.deepEqual(await t.messages(thread_id), [changed])
  }),
  check('messages.delete', '§4 Messages DELETE {message_id}', async (t) => {
    const { id: thread } = await t.thread('One.', 'Two.')
    const [first, second] = await t.messages(thread)
    const path = `/v1/threads/${thread}/messages/${first?.id}`
    const gone = await t.raw('DELETE', path)
    assert.equal(gone.status, 200)
    assert.deepEqual(gone.json, { id: first?.id, object: 'thread.message.deleted', deleted: true })
    assert.deepEqual(await t.messages(thread), [second])
    await t.refused('GET', path, undefined, { status: 404, text: `No message found with id '${first?.id}'.` })
    await t.refused('DELETE', path, undefined, { status: 404 })
  }),
  check('messages.delete.the-model-does-not-see-it', '§4 Messages DELETE {message_id}', async (t) => {
    const [mark, secret] = [unique(), unique()]
    const { id: thread_id } = await t.thread(secret, mark)
    const [first] = await t.messages(thread_id)
    await t.client.beta.threads.messages.delete(first?.id ?? '', { thread_id })
    await t.client.beta.threads.runs.createAndPoll(thread_id, { assistant_id: (await t.assistant()).id })
    assert.equal(t.model.askedWith(mark).length, 1)
    assert.deepEqual(t.model.askedWith(secret), [])
  }),
  check('messages.list.by-run', ['§4 Messages GET .../messages', '§3 Extra filters'], async (t) => {
    const run = await t.ran('Hi.')
    const { data } = await t.client.beta.threads.messages.list(run.thread_id, { run_id: run.id })
    assert.deepEqual(
      data.map((message) => [message.role, message.run_id]),
      [['assistant', run.id]],
    )
  }),
  check('messages.of-a-run', object, async (t) => {
    const run = await t.ran('Hi.')
    const message = await left(t, run)
    assert.ok(message)
    shows(message, {
      role: 'assistant',
      status: 'completed',
      assistant_id: run.assistant_id,
      run_id: run.id,
      incomplete_at: null,
      incomplete_details: null,
      attachments: [],
      content: [{ type: 'text', text: { value: 'Heard: Hi.', annotations: [] } }],
    })
    assert.ok((message.completed_at ?? 0) >= message.created_at)
  }),
  ...(
    [
      ['max_tokens', '#length', 'incomplete'],
      ['content_filter', '#filter', null],
      ['run_failed', '#cut', 'failed'],
      ['run_cancelled', '#hang', 'cancelled'],
    ] as const
  ).map(([reason, text, status]) =>
    check(`messages.incomplete.${reason}`, object, async (t) => {
      const run = text === '#hang' ? await t.cancelled(await heard(t)) : await t.ran(text)
      if (status !== null) assert.equal(run.status, status)
      const message = await left(t, run)
      assert.ok(message, 'what was said so far stays')
      shows(message, { status: 'incomplete', incomplete_details: { reason }, completed_at: null })
      assert.ok(message.incomplete_at)
      assert.equal(textOf(message), 'Part')
    }),
  ),
]

/** A run whose model has said something. */
async function heard(t: Target): Promise<OpenAI.Beta.Threads.Run> {
  const { assistant, thread } = await t.ready('#hang')
  const stream = await t.client.beta.threads.runs.create(thread, { assistant_id: assistant, stream: true })
  for await (const { event, data } of stream) {
    if (event === 'thread.message.delta') break
    if (event === 'thread.run.failed') assert.fail(data.last_error?.message)
  }
  const [run] = (await t.client.beta.threads.runs.list(thread)).data
  assert.ok(run)
  return run
}
