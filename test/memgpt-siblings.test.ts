import assert from 'node:assert/strict'
import { request } from 'node:http'
import { beforeEach, test } from 'node:test'
import {
  asMemgpt,
  runsOf,
  speakMemgpt,
  type AssistantFile,
  type MessageFile,
  type OpenAIAssistant,
  type OpenAIMessage,
  type OpenAIRun,
  type OpenAIThread,
} from './support/memgpt.ts'
import { hang, text } from './support/mock-model.ts'
import { readyToRun, startServer, tool, uploaded } from './support/server.ts'

// What the seed's client has beside the nine: assistants, threads and messages (memgpt-dialect.md §5).

const server = await startServer()
const { client, mock } = server
const { ask, refused, fault, reached } = speakMemgpt(server)

beforeEach(() => mock.reset())

const ada = { model: 'mock-model', name: 'Ada', instructions: 'Be brief.' }

test('an assistant is made, read, changed and deleted, and v2 sees the same one', async () => {
  const body = { ...ada, description: 'Helps.', metadata: { a: '1' }, embedding_model: 'e' }
  const made = await ask<OpenAIAssistant>('POST', '/v1/assistants', body)
  const { embedding_model: _, ...kept } = body
  assert.deepEqual(made, {
    ...kept,
    id: made.id,
    object: 'assistant',
    created_at: made.created_at,
    tools: [],
    file_ids: [],
  })
  const path = `/v1/assistants/${made.id}`
  assert.deepEqual(await ask('GET', path), made)
  const v2 = await client.beta.assistants.retrieve(made.id)
  assert.deepEqual([v2.name, v2.instructions, v2.description], ['Ada', 'Be brief.', 'Helps.'])
  assert.ok((await ask<OpenAIAssistant[]>('GET', '/v1/assistants')).some(({ id }) => id === made.id))

  const changed = await ask<OpenAIAssistant>('POST', path, { ...ada, name: 'Bea', metadata: { b: '2' } })
  assert.deepEqual(changed, { ...made, name: 'Bea', metadata: { a: '1', b: '2' } })
  const gone = { id: made.id, object: 'assistant.deleted', deleted: true }
  assert.deepEqual(await ask('DELETE', path), gone)
  assert.equal((await refused('GET', path))[0], 404)
})

test('an empty name and empty instructions are none, in either direction', async () => {
  const { id } = await client.beta.assistants.create({ model: 'mock-model' })
  const shown = await ask<OpenAIAssistant>('GET', `/v1/assistants/${id}`)
  assert.deepEqual([shown.name, shown.instructions, shown.description], ['', '', null])
  await ask('POST', `/v1/assistants/${id}`, shown)
  const v2 = await client.beta.assistants.retrieve(id)
  assert.deepEqual([v2.name, v2.instructions, v2.description], [null, null, null])
})

test('tools of an assistant are names, of hosted tools or of functions, or tools as a run may have them', async () => {
  const given = { function: { name: 'called', arguments: '{"type":"object"}' } }
  const tools = ['retrieval', 'code_interpreter', 'f', given, tool('defined')]
  const made = await ask<OpenAIAssistant>('POST', '/v1/assistants', { ...ada, tools })
  assert.deepEqual(made.tools, ['file_search', 'code_interpreter', 'f', 'called', 'defined'])
  assert.deepEqual((await client.beta.assistants.retrieve(made.id)).tools, [
    { type: 'file_search' },
    { type: 'code_interpreter' },
    { type: 'function', function: { name: 'f' } },
    { type: 'function', function: { name: 'called', parameters: { type: 'object' } } },
    tool('defined'),
  ])
})

test('a change of an assistant loses nothing that the dialect cannot show', async () => {
  const made = await client.beta.assistants.create({
    model: 'mock-model',
    name: 'Ada',
    description: 'Helps.',
    tools: [tool('look_up'), { type: 'code_interpreter' }],
    tool_resources: { code_interpreter: { file_ids: [await uploaded(server)] } },
    temperature: 0.5,
    metadata: { a: '1' },
  })
  const path = `/v1/assistants/${made.id}`
  await ask('POST', path, { ...ada, name: 'Bea' })
  const renamed = { ...made, name: 'Bea', instructions: 'Be brief.' }
  assert.deepEqual(await client.beta.assistants.retrieve(made.id), renamed)

  // What was read may be sent back: a name stands for the tool that it names.
  const shown = await ask<OpenAIAssistant>('GET', path)
  await ask('POST', path, shown)
  assert.deepEqual(await client.beta.assistants.retrieve(made.id), renamed)

  await ask('POST', path, { ...shown, tools: ['look_up', 'other'], file_ids: [], description: '' })
  const after = await client.beta.assistants.retrieve(made.id)
  assert.deepEqual(after.tools, [tool('look_up'), { type: 'function', function: { name: 'other' } }])
  assert.deepEqual(after.tool_resources, { code_interpreter: { file_ids: [] } })
  assert.equal(after.description, null)
})

test('an assistant has files, up to twenty, each by its id', async () => {
  const file = await uploaded(server)
  const made = await ask<OpenAIAssistant>('POST', '/v1/assistants', { ...ada, file_ids: [file] })
  assert.deepEqual(made.file_ids, [file])
  const path = `/v1/assistants/${made.id}/files`
  const other = await uploaded(server)
  const given = await ask<AssistantFile>('POST', path, { file_id: other })
  assert.deepEqual([given.id, given.assistant_id], [other, made.id])
  await ask('POST', path, { file_id: other })
  assert.deepEqual(
    (await ask<AssistantFile[]>('GET', path)).map(({ id }) => id),
    [file, other],
  )
  assert.deepEqual(await ask('GET', `${path}/${other}`), given)
  assert.deepEqual(await ask('DELETE', `${path}/${other}`), {
    id: other,
    object: 'assistant.file.deleted',
    deleted: true,
  })
  assert.equal((await refused('GET', `${path}/${other}`))[0], 404)
  assert.equal((await client.files.retrieve(other)).id, other, 'the file itself stays')

  await client.files.delete(file)
  assert.deepEqual(await ask('GET', path), [], 'a file that was deleted is not shown')

  const many = await Promise.all(Array.from({ length: 20 }, () => uploaded(server)))
  await ask('POST', `/v1/assistants/${made.id}`, { ...ada, file_ids: many })
  const full = await fault('POST', path, { file_id: other })
  assert.deepEqual([full?.type, full?.loc], ['too_long', ['body', 'file_ids']])
})

test('a thread begins with texts of the user, and is read, changed and deleted', async () => {
  const body = { messages: ['one', 'two'], metadata: { a: '1' }, assistant_name: 'Ada' }
  const made = await ask<OpenAIThread>('POST', '/v1/threads', body)
  const path = `/v1/threads/${made.id}`
  assert.deepEqual(await ask('GET', path), made)
  const { data } = await client.beta.threads.messages.list(made.id, { order: 'asc' })
  assert.deepEqual(
    data.map(({ role, content: [part] }) => [role, part?.type === 'text' && part.text.value]),
    [
      ['user', 'one'],
      ['user', 'two'],
    ],
  )
  const changed = await ask<OpenAIThread>('POST', path, { metadata: { b: '2' } })
  assert.deepEqual(changed, { ...made, metadata: { a: '1', b: '2' } })
  assert.deepEqual(await ask('DELETE', path), { id: made.id, object: 'thread.deleted', deleted: true })
  assert.equal((await refused('GET', path))[0], 404)
})

test('GET of a thread changes nothing, whatever its body says', async () => {
  const made = await ask<OpenAIThread>('POST', '/v1/threads', { metadata: { a: '1' } })
  const body = JSON.stringify({ metadata: { a: '2' } })
  const headers = { ...asMemgpt, 'content-type': 'application/json', 'content-length': body.length }
  const status = await new Promise((resolve, reject) => {
    const url = `${server.app.url}/v1/threads/${made.id}`
    const sent = request(url, { method: 'GET', headers }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode))
    })
    sent.on('error', reject).end(body)
  })
  assert.equal(status, 200)
  assert.deepEqual(await ask('GET', `/v1/threads/${made.id}`), made)
})

test('a thread that is deleted ends its run, as in v2', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(hang())
  const run = await ask<OpenAIRun>('POST', runsOf(thread), { assistant_id: assistant, instructions: '' })
  await reached(run, 'in_progress')
  await ask('DELETE', `/v1/threads/${thread}`)
  const { ended } = await mock.received(0)
  assert.equal(await ended, 'aborted')
})

test('messages have text, files and metadata, and the list of them is wrapped', async () => {
  const file = await uploaded(server)
  const { id: thread } = await ask<OpenAIThread>('POST', '/v1/threads', {})
  const path = `/v1/threads/${thread}/messages`
  const body = { role: 'user', content: 'three', file_ids: [file], metadata: { a: '1' } }
  const added = await ask<OpenAIMessage>('POST', path, body)
  assert.deepEqual(added, {
    ...body,
    id: added.id,
    object: 'thread.message',
    created_at: added.created_at,
    thread_id: thread,
    content: [{ object: 'text', text: 'three' }],
    assistant_id: '',
    run_id: null,
  })
  assert.deepEqual(await ask('GET', path), { messages: [added] })
  const one = `${path}/${added.id}`
  assert.deepEqual(await ask('GET', one), added)
  const shown = await ask<MessageFile>('GET', `${one}/files/${file}`)
  assert.deepEqual([shown.id, shown.message_id], [file, added.id])
  assert.equal((await refused('GET', `${one}/files/${await uploaded(server)}`))[0], 404)
  const noted = await ask<OpenAIMessage>('POST', one, { metadata: { b: '2' } })
  assert.deepEqual(noted, { ...added, metadata: { a: '1', b: '2' } })
})

test('the answer of a run names its assistant and its run; images are shown by file or as their address', async () => {
  const image = await uploaded(server)
  const assistant = await client.beta.assistants.create({ model: 'mock-model' })
  const thread = await client.beta.threads.create()
  const path = `/v1/threads/${thread.id}/messages`
  mock.next(text('Good', ' morning.'))
  const body = { assistant_id: assistant.id, instructions: '' }
  const run = await ask<OpenAIRun>('POST', runsOf(thread.id), body)
  await reached(run, 'completed')
  await client.beta.threads.messages.create(thread.id, {
    role: 'user',
    content: [
      { type: 'image_file', image_file: { file_id: image } },
      { type: 'image_url', image_url: { url: 'https://a.example/b.png' } },
    ],
  })
  const { messages } = await ask<{ messages: OpenAIMessage[] }>('GET', path)
  const [answer, images] = messages
  assert.deepEqual([answer?.assistant_id, answer?.run_id, answer?.role], [assistant.id, run.id, 'assistant'])
  assert.deepEqual(answer?.content, [{ object: 'text', text: 'Good morning.' }])
  assert.deepEqual(images?.content, [
    { type: 'image_file', file_id: image },
    { object: 'text', text: 'https://a.example/b.png' },
  ])
})

test('the header of the first version has no say in what the dialect shows', async () => {
  const { assistant, thread } = await readyToRun(server)
  const headers = { ...asMemgpt, 'openai-beta': 'assistants=v1' }
  const speak = <T>(method: string, path: string, body?: object) => ask<T>(method, path, body, headers)
  const shown = await speak<OpenAIAssistant>('GET', `/v1/assistants/${assistant}`)
  assert.deepEqual(shown, await ask('GET', `/v1/assistants/${assistant}`))
  const message = { role: 'user', content: 'x', file_ids: [await uploaded(server)] }
  const added = await speak<OpenAIMessage>('POST', `/v1/threads/${thread}/messages`, message)
  assert.deepEqual(added.file_ids, message.file_ids)
})
