import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Compile } from 'typebox/compile'
import { Type, type TSchema } from 'typebox'
import {
  AssistantFile,
  MessageFile,
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
} from '../src/contract/memgpt-objects.ts'
import { HTTPValidationError, MemgptError } from '../src/contract/memgpt-errors.ts'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// The memgpt dialect: the nine operations of the seed, and the siblings that its client has beside them.

const server = await startServer()
const { client, mock } = server
const memgpt = { 'x-assistants-dialect': 'memgpt' }

interface Answer<T> {
  status: number
  body: T
}

/** A request of the dialect; its answer must fit `schema` and have its keys and no others. */
async function ask<T>(
  method: string,
  path: string,
  schema: TSchema,
  body?: object,
  headers: Record<string, string> = memgpt,
): Promise<Answer<T>> {
  const response = await fetch(server.app.url + path, {
    method,
    headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const answer: unknown = await response.json()
  assert.equal(response.headers.get('x-assistants-dialect'), 'memgpt')
  assert.ok(Compile(schema).Check(answer), `${method} ${path}: ${JSON.stringify(answer)}`)
  if (schema === OpenAIRun || schema === OpenAIRunStep) {
    const keys = Object.keys((schema as typeof OpenAIRun).properties)
    assert.deepEqual(Object.keys(answer as object).toSorted(), keys.toSorted())
  }
  return { status: response.status, body: answer as T }
}

type Run = {
  id: string
  thread_id: string
  status: string
  tools: { id: string }[] | null
  required_action: { submit_tool_outputs: { id: string; function: { name: string } }[] } | null
  expires_at: number
  created_at: number
  instructions: string
  metadata: Record<string, string>
  usage: { total_tokens: number } | null
}
type Failure = { detail: string }
type Faults = { detail: { type: string; loc: (string | number)[]; msg: string; input?: unknown }[] }

const runs = (thread: string) => `/v1/threads/${thread}/runs`

/** The run when it has reached this status. */
async function reached(thread: string, run: string, status: string): Promise<Run> {
  for (;;) {
    const { body } = await ask<Run>('GET', `${runs(thread)}/${run}`, OpenAIRun)
    if (body.status === status) return body
    await new Promise(setImmediate)
  }
}

test('the nine operations of the seed work, unmarked by any header, from creation to tool outputs', async () => {
  const plain = {}
  const { assistant, thread } = await readyToRun(server, { tools: [tool('look_up')] })
  mock.next(toolCalls([{ id: 'call_one', name: 'look_up', arguments: '{"a":1}' }]), text('Found.'))
  const created = await ask<Run>(
    'POST',
    runs(thread),
    OpenAIRun,
    { assistant_id: assistant, instructions: '' },
    plain,
  )
  const id = created.body.id
  assert.equal(created.body.status, 'queued')
  assert.equal(created.body.instructions, 'Be brief.')
  const call = { id: 'call_one', type: 'function', function: { name: 'look_up', arguments: '{"a":1}' } }
  const waiting = await reached(thread, id, 'requires_action')
  assert.deepEqual(waiting.required_action, { type: 'submit_tool_outputs', submit_tool_outputs: [call] })
  assert.deepEqual(waiting.tools, [call])
  assert.equal(waiting.usage, null)

  const listed = await ask<Run[]>('GET', runs(thread), Type.Array(OpenAIRun), undefined, plain)
  assert.deepEqual(listed.body, [waiting])
  const steps = `${runs(thread)}/${id}/steps`
  type Step = { id: string; step_defaults: object }
  const list = await ask<Step[]>('GET', steps, Type.Array(OpenAIRunStep), undefined, plain)
  assert.deepEqual(list.body[0]?.step_defaults, { type: 'tool_calls', tool_calls: [call] })
  const step = await ask<Step>('GET', `${steps}/${list.body[0]?.id}`, OpenAIRunStep, undefined, plain)
  assert.deepEqual(step.body, list.body[0])
  const modified = await ask<Run>('POST', `${runs(thread)}/${id}`, OpenAIRun, { metadata: { a: 'b' } }, plain)
  assert.deepEqual(modified.body.metadata, { a: 'b' })

  const outputs = { tools_outputs: [{ tool_call_id: 'call_one', output: 'yes' }] }
  const submit = `${runs(thread)}/${id}/submit_tool_outputs`
  assert.equal((await ask<Run>('POST', submit, OpenAIRun, outputs, plain)).body.status, 'queued')
  const ended = await reached(thread, id, 'completed')
  assert.deepEqual(ended.tools, [call])
  assert.ok((ended.usage?.total_tokens ?? 0) > 0)
  assert.ok(ended.expires_at >= ended.created_at + 600, 'expires_at stays after the end')

  mock.next(hang())
  const body = { assistant_id: assistant, instructions: 'Wait.', model: 'mock-model' }
  const fresh = { id: 'thread_that_is_not_there', object: 'thread', created_at: 0, metadata: { k: 'v' } }
  const other = await ask<Run>('POST', '/v1/threads/runs', OpenAIRun, { ...body, thread: fresh }, plain)
  assert.equal(other.body.instructions, 'Wait.')
  await reached(other.body.thread_id, other.body.id, 'in_progress')
  const cancel = `${runs(other.body.thread_id)}/${other.body.id}/cancel`
  const cancelled = await ask<Run>('POST', cancel, OpenAIRun, undefined, plain)
  assert.match(cancelled.body.status, /^cancell(ing|ed)$/)
  assert.deepEqual((await client.beta.threads.retrieve(other.body.thread_id)).metadata, { k: 'v' })
})

test('a run made in one dialect reads rightly in the other, and either may answer its calls', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.next(toolCalls([{ id: 'call_x', name: 'f', arguments: '{}' }]), text('Done.'))
  const made = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const seen = await ask<Run>('GET', `${runs(thread)}/${made.id}`, OpenAIRun)
  assert.equal(seen.body.status, 'requires_action')
  const submit = `${runs(thread)}/${made.id}/submit_tool_outputs`
  await ask('POST', submit, OpenAIRun, { tool_outputs: [{ tool_call_id: 'call_x', output: '1' }] })
  const run = await client.beta.threads.runs.poll(made.id, { thread_id: thread })
  assert.equal(run.status, 'completed')
  const [newest] = (await client.beta.threads.messages.list(thread)).data
  assert.equal(textOf(newest), 'Done.')

  mock.next(toolCalls([{ id: 'call_y', name: 'f', arguments: '{}' }]), text('Again.'))
  const body = { assistant_id: assistant, instructions: '' }
  const back = await ask<Run>('POST', runs(thread), OpenAIRun, body)
  const asking = await client.beta.threads.runs.poll(back.body.id, { thread_id: thread })
  assert.equal(asking.required_action?.submit_tool_outputs.tool_calls[0]?.id, 'call_y')
  const ended = await client.beta.threads.runs.submitToolOutputsAndPoll(back.body.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_y', output: '2' }],
  })
  assert.equal(ended.status, 'completed')
  assert.equal((await ask<Run>('GET', `${runs(thread)}/${back.body.id}`, OpenAIRun)).body.status, 'completed')
})

test('lists are bare arrays in ascending order; the order may stand in quotes and the limit has other edges', async () => {
  const { assistant, thread } = await readyToRun(server)
  const ids: string[] = []
  for (let i = 0; i < 4; i++) {
    ids.push((await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })).id)
  }
  const list = async (query: string) =>
    (await ask<Run[]>('GET', `${runs(thread)}${query}`, Type.Array(OpenAIRun))).body.map(({ id }) => id)
  assert.deepEqual(await list(''), ids)
  for (const order of ['desc', "'desc'", '%22desc%22']) {
    assert.deepEqual(await list(`?order=${order}`), ids.toReversed(), order)
  }
  assert.deepEqual(await list("?order='asc'&limit=2"), ids.slice(0, 2))
  assert.deepEqual(await list('?limit=0'), [])
  assert.deepEqual(await list('?limit=1000000'), ids)
  assert.deepEqual(await list(`?after=${ids[0]}&before=${ids[3]}`), ids.slice(1, 3))
})

test('what does not fit the schema is 422 with its place, what is not there 404, what cannot be now 400', async () => {
  const { assistant, thread } = await readyToRun(server)
  const faults = async (method: string, path: string, body?: object) => {
    const { status, body: answer } = await ask<Faults>(method, path, HTTPValidationError, body)
    assert.equal(status, 422)
    return answer.detail[0]
  }
  assert.deepEqual(await faults('POST', runs(thread), { instructions: 'x' }), {
    type: 'missing',
    loc: ['body', 'assistant_id'],
    msg: 'Field required',
    input: { instructions: 'x' },
  })
  const twice = { tools_outputs: [], tool_outputs: [] }
  const bodies: [object, (string | number)[]][] = [
    [{ assistant_id: 7, instructions: '' }, ['body', 'assistant_id']],
    [{ assistant_id: assistant }, ['body', 'instructions']],
    [{ assistant_id: assistant, instructions: '', stream: true }, ['body', 'stream']],
    [{ assistant_id: assistant, instructions: '', tools: [{}] }, ['body', 'tools', 0, 'type']],
  ]
  for (const [body, loc] of bodies) assert.deepEqual((await faults('POST', runs(thread), body))?.loc, loc)
  for (const query of ['limit=-1', 'limit=x', 'limit=1.5', 'order=up']) {
    assert.equal((await faults('GET', `${runs(thread)}?${query}`))?.loc[0], 'query')
  }

  const failed = async (expected: number, method: string, path: string, body?: object) => {
    const { status, body: answer } = await ask<Failure>(method, path, MemgptError, body)
    assert.equal(status, expected, answer.detail)
    return answer.detail
  }
  assert.equal(await failed(404, 'GET', `${runs(thread)}/run_unknown`), "No run found with id 'run_unknown'.")
  assert.equal(await failed(404, 'GET', '/v1/threads/x/runs'), "No thread found with id 'x'.")
  const unknown = { assistant_id: 'nobody', instructions: '' }
  assert.equal(await failed(404, 'POST', runs(thread), unknown), "No assistant found with id 'nobody'.")
  assert.match(await failed(404, 'GET', `${runs(thread)}?after=run_x`), /no item with id 'run_x'/)

  mock.next(hang())
  const run = (await ask<Run>('POST', runs(thread), OpenAIRun, { assistant_id: assistant, instructions: '' }))
    .body
  const again = await failed(400, 'POST', runs(thread), { assistant_id: assistant, instructions: '' })
  assert.equal(again, `Thread ${thread} already has an active run ${run.id}.`)
  assert.deepEqual((await faults('POST', `${runs(thread)}/${run.id}/submit_tool_outputs`, twice))?.loc, [
    'body',
    'tool_outputs',
  ])
  await ask('POST', `${runs(thread)}/${run.id}/cancel`, OpenAIRun)
  await reached(thread, run.id, 'cancelled')
  const late = await failed(400, 'POST', `${runs(thread)}/${run.id}/cancel`)
  assert.equal(late, "Cannot cancel run with status 'cancelled'.")
})

test('tools of a run may be calls whose arguments are the schema, or definitions; the model sees definitions', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const schema = { type: 'object', properties: { city: { type: 'string' } } }
  const tools = [
    { id: 'x', type: 'function', function: { name: 'weather', arguments: JSON.stringify(schema) } },
    { function: { name: 'no_schema', arguments: 'not JSON' } },
    { type: 'function', function: { name: 'defined', parameters: schema } },
  ]
  const body = { assistant_id: assistant, instructions: 'Replaced.', tools, model: 'other' }
  await ask('POST', runs(thread), OpenAIRun, body)
  const request = await mock.received(0)
  assert.deepEqual(request.body.tools, [
    { type: 'function', function: { name: 'weather', parameters: schema } },
    { type: 'function', function: { name: 'no_schema' } },
    { type: 'function', function: { name: 'defined', parameters: schema } },
  ])
  assert.equal(request.body.model, 'other')
  assert.deepEqual(request.body.messages[0], { role: 'system', content: 'Replaced.' })
})

test('createThreadAndRun runs on the thread with that id, and takes messages of v2 for a new one', async () => {
  const { assistant, thread } = await readyToRun(server)
  const body = { assistant_id: assistant, model: '', instructions: '' }
  const there = await ask<Run>('POST', '/v1/threads/runs', OpenAIRun, { ...body, thread: { id: thread } })
  assert.equal(there.body.thread_id, thread)
  await reached(thread, there.body.id, 'completed')
  const messages = [{ role: 'user', content: 'from v2' }]
  const fresh = await ask<Run>('POST', '/v1/threads/runs', OpenAIRun, { ...body, thread: { messages } })
  await reached(fresh.body.thread_id, fresh.body.id, 'completed')
  const texts = (await client.beta.threads.messages.list(fresh.body.thread_id, { order: 'asc' })).data
  assert.equal(textOf(texts[0]), 'from v2')
})

test('assistants in the dialect: names of tools, files, bare lists, deletion', async () => {
  const file = await client.files.create({ file: new File(['x'], 'x.txt'), purpose: 'assistants' })
  type Shown = { id: string; tools: string[]; file_ids: string[]; name: string }
  const create = { model: 'mock-model', name: 'Ada', instructions: '', tools: ['retrieval', 'f'] }
  const made = await ask<Shown>('POST', '/v1/assistants', OpenAIAssistant, create)
  assert.deepEqual(made.body.tools, ['file_search', 'f'])
  const path = `/v1/assistants/${made.body.id}`
  assert.deepEqual((await ask<Shown>('GET', path, OpenAIAssistant)).body, made.body)
  const listed = await ask<Shown[]>('GET', '/v1/assistants', Type.Array(OpenAIAssistant))
  assert.ok(listed.body.some(({ id }) => id === made.body.id))

  const files = `${path}/files`
  await ask('POST', files, AssistantFile, { file_id: file.id })
  const held = await ask<{ id: string }[]>('GET', files, Type.Array(AssistantFile))
  assert.deepEqual(
    held.body.map(({ id }) => id),
    [file.id],
  )
  await ask('GET', `${files}/${file.id}`, AssistantFile)
  assert.deepEqual((await ask<Shown>('GET', path, OpenAIAssistant)).body.file_ids, [file.id])
  const taken = await ask<object>('DELETE', `${files}/${file.id}`, Type.Object({}))
  assert.deepEqual(taken.body, { id: file.id, object: 'assistant.file.deleted', deleted: true })
  assert.equal((await ask('GET', `${files}/${file.id}`, MemgptError)).status, 404)
  assert.equal((await ask('POST', files, MemgptError, { file_id: 'file-nope' })).status, 404)

  const renamed = await ask<Shown>('POST', path, OpenAIAssistant, { ...create, name: 'Bea' })
  assert.equal(renamed.body.name, 'Bea')
  const gone = await ask<object>('DELETE', path, Type.Object({}))
  assert.deepEqual(gone.body, { id: made.body.id, object: 'assistant.deleted', deleted: true })
})

test('threads and messages in the dialect: texts as messages, a wrapped list, GET that changes nothing', async () => {
  const file = await client.files.create({ file: new File(['x'], 'x.txt'), purpose: 'assistants' })
  type Shown = { id: string; metadata: object }
  const body = { messages: ['one', 'two'], metadata: { a: '1' }, assistant_name: 'Ada' }
  const thread = (await ask<Shown>('POST', '/v1/threads', OpenAIThread, body)).body
  const path = `/v1/threads/${thread.id}`
  assert.deepEqual((await ask<Shown>('GET', path, OpenAIThread)).body, thread)
  const changed = await ask<Shown>('POST', path, OpenAIThread, { metadata: { b: '2' } })
  assert.deepEqual(changed.body.metadata, { a: '1', b: '2' })

  const message = { role: 'user', content: 'three', file_ids: [file.id] }
  type Message = { id: string; file_ids: string[]; content: { text: string }[] }
  const added = (await ask<Message>('POST', `${path}/messages`, OpenAIMessage, message)).body
  assert.deepEqual(added.file_ids, [file.id])
  await ask('GET', `${path}/messages/${added.id}/files/${file.id}`, MessageFile)
  const list = Type.Object({ messages: Type.Array(OpenAIMessage) })
  const { messages } = (await ask<{ messages: Message[] }>('GET', `${path}/messages`, list)).body
  assert.deepEqual(
    messages.map(({ content }) => content[0]?.text),
    ['one', 'two', 'three'],
  )
  const after = (
    await ask<{ messages: Message[] }>('GET', `${path}/messages?after=${messages[0]?.id}&limit=1`, list)
  ).body
  assert.deepEqual(after.messages, [messages[1]])
  assert.deepEqual((await ask<Message>('GET', `${path}/messages/${added.id}`, OpenAIMessage)).body, added)
  const noted = await ask<Message & Shown>('POST', `${path}/messages/${added.id}`, OpenAIMessage, {
    metadata: { seen: 'yes' },
  })
  assert.deepEqual(noted.body.metadata, { seen: 'yes' })
  assert.equal((await ask('GET', `${path}/messages/msg_nope`, MemgptError)).status, 404)
  const gone = await ask<object>('DELETE', path, Type.Object({}))
  assert.deepEqual(gone.body, { id: thread.id, object: 'thread.deleted', deleted: true })
})
