import assert from 'node:assert/strict'
import { check, type Check } from './check.ts'
import { ask, failed, faults, got } from './memgpt-client.ts'
import type { Target } from './target.ts'

// What the seed's client has beside runs: assistants, threads and messages of the memgpt dialect.

interface Assistant {
  id: string
  object: string
  tools: string[]
  file_ids: string[]
  name: string
}

interface Thread {
  id: string
  object: string
  metadata: Record<string, string>
}

interface Message {
  id: string
  object: string
  role: string
  assistant_id: string
  file_ids: string[]
  metadata: Record<string, string>
  content: { object?: string; type?: string; text?: string }[]
}

const assistants = 'memgpt AssistantsApi'
const threads = 'memgpt ThreadsApi'
const messages = 'memgpt MessagesApi'

const body = { model: 'm', name: 'Ada', instructions: 'Be brief.', tools: ['f'], metadata: { a: 'b' } }

const create = (t: Target): Promise<Assistant> => got(t, 'POST', '/v1/assistants', body)

async function threadOf(t: Target, ...texts: string[]): Promise<string> {
  return (await got<Thread>(t, 'POST', '/v1/threads', { messages: texts })).id
}

const listOf = async (t: Target, thread: string, query = ''): Promise<Message[]> =>
  (await got<{ messages: Message[] }>(t, 'GET', `/v1/threads/${thread}/messages${query}`)).messages

export const memgptSiblingChecks: Check[] = [
  check('memgpt.assistants.create', assistants, async (t) => {
    const assistant = await create(t)
    assert.deepEqual([assistant.name, assistant.tools, assistant.file_ids], ['Ada', ['f'], []])
    assert.deepEqual(await got(t, 'GET', `/v1/assistants/${assistant.id}`), assistant)
    const [fault] = await faults(t, 'POST', '/v1/assistants', { name: 'Ada', instructions: '' })
    assert.deepEqual(fault?.loc, ['body', 'model'])
  }),
  check('memgpt.assistants.list', [assistants, 'memgpt lists'], async (t) => {
    const first = await create(t)
    const second = await create(t)
    const ids = (await got<Assistant[]>(t, 'GET', `/v1/assistants?after=${first.id}`)).map(({ id }) => id)
    assert.ok(ids.includes(second.id) && !ids.includes(first.id), 'oldest first')
  }),
  check('memgpt.assistants.modify', assistants, async (t) => {
    const { id } = await create(t)
    const renamed = await got<Assistant>(t, 'POST', `/v1/assistants/${id}`, { ...body, name: 'Bea' })
    assert.deepEqual([renamed.id, renamed.name], [id, 'Bea'])
  }),
  check('memgpt.assistants.delete', assistants, async (t) => {
    const { id } = await create(t)
    const gone = await got<object>(t, 'DELETE', `/v1/assistants/${id}`)
    assert.deepEqual(gone, { id, object: 'assistant.deleted', deleted: true })
    const text = `No assistant found with id '${id}'.`
    await failed(t, { status: 404, text }, 'GET', `/v1/assistants/${id}`)
  }),
  check('memgpt.assistants.files', assistants, async (t) => {
    const [file, { id }] = await Promise.all([t.file(), create(t)])
    const path = `/v1/assistants/${id}/files`
    await got(t, 'POST', path, { file_id: file.id })
    const held = await got<{ id: string }[]>(t, 'GET', path)
    assert.deepEqual(
      held.map((one) => one.id),
      [file.id],
    )
    assert.equal((await got<{ id: string }>(t, 'GET', `${path}/${file.id}`)).id, file.id)
    const gone = await got<object>(t, 'DELETE', `${path}/${file.id}`)
    assert.deepEqual(gone, { id: file.id, object: 'assistant.file.deleted', deleted: true })
    assert.deepEqual(await got(t, 'GET', path), [])
  }),
  check('memgpt.threads.create', threads, async (t) => {
    const thread = await got<Thread>(t, 'POST', '/v1/threads', {
      messages: ['One.', 'Two.'],
      metadata: { a: 'b' },
      assistant_name: 'Ada',
    })
    assert.deepEqual([thread.object, thread.metadata], ['thread', { a: 'b' }])
    const texts = (await listOf(t, thread.id)).map(({ content }) => content[0]?.text)
    assert.deepEqual(texts, ['One.', 'Two.'])
  }),
  check('memgpt.threads.retrieve-changes-nothing', threads, async (t) => {
    const id = await threadOf(t)
    const thread = await got<Thread>(t, 'GET', `/v1/threads/${id}`)
    assert.deepEqual([thread.id, thread.metadata], [id, {}])
    const noted = await got<Thread>(t, 'POST', `/v1/threads/${id}`, { metadata: { a: 'b' } })
    assert.deepEqual(noted.metadata, { a: 'b' })
  }),
  check('memgpt.threads.delete', threads, async (t) => {
    const id = await threadOf(t)
    const gone = await got<object>(t, 'DELETE', `/v1/threads/${id}`)
    assert.deepEqual(gone, { id, object: 'thread.deleted', deleted: true })
    await failed(t, { status: 404, text: `No thread found with id '${id}'.` }, 'GET', `/v1/threads/${id}`)
  }),
  check('memgpt.messages.create', messages, async (t) => {
    const [file, id] = [await t.file(), await threadOf(t)]
    const path = `/v1/threads/${id}/messages`
    const sent = { role: 'user', content: 'Hi.', file_ids: [file.id], metadata: { a: 'b' } }
    const message = await got<Message>(t, 'POST', path, sent)
    assert.deepEqual([message.role, message.file_ids, message.metadata], ['user', [file.id], { a: 'b' }])
    assert.equal(message.content[0]?.text, 'Hi.')
    assert.equal(typeof message.assistant_id, 'string')
    const held = await got<{ id: string }>(t, 'GET', `${path}/${message.id}/files/${file.id}`)
    assert.equal(held.id, file.id)
  }),
  check('memgpt.messages.list', [messages, 'memgpt lists'], async (t) => {
    const id = await threadOf(t, 'One.', 'Two.', 'Three.')
    const all = await listOf(t, id)
    assert.deepEqual(
      all.map(({ content }) => content[0]?.text),
      ['One.', 'Two.', 'Three.'],
    )
    assert.deepEqual(await listOf(t, id, `?after=${all[0]?.id}&limit=1`), [all[1]])
    const { json } = await ask<object>(t, 'GET', `/v1/threads/${id}/messages`)
    assert.deepEqual(Object.keys(json), ['messages'])
  }),
  check('memgpt.messages.modify', messages, async (t) => {
    const id = await threadOf(t, 'One.')
    const [message] = await listOf(t, id)
    const noted = await got<Message>(t, 'POST', `/v1/threads/${id}/messages/${message?.id}`, {
      metadata: { a: 'b' },
    })
    assert.deepEqual(noted, { ...message, metadata: { a: 'b' } })
  }),
]
