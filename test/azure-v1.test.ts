import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AssistantsClient, OpenAIKeyCredential } from '@azure/openai-assistants'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { startServer, uploaded } from './support/server.ts'

// Clients of the first version of the API: every method of @azure/openai-assistants 1.0.0-beta.6, and what its bodies
// may hold besides, by hand.

const server = await startServer()
const { mock } = server

const insecure = { allowInsecureConnection: true }
const v1 = (): AssistantsClient => new AssistantsClient(server.app.url, { key: 'azure-key' }, insecure)
const bytes = (content: string) => new TextEncoder().encode(content)

test('@azure/openai-assistants: assistants are created, read, listed, changed and deleted', async () => {
  const client = v1()
  const file = await uploaded(server)
  const retrieval = [{ type: 'retrieval' as const }, { type: 'code_interpreter' as const }]
  const created = await client.createAssistant({
    model: 'mock-model',
    name: 'Miller',
    description: 'Grinds.',
    instructions: 'Grind.',
    tools: [
      ...retrieval,
      { type: 'function', function: { name: 'f', description: 'Does it.', parameters: {} } },
    ],
    fileIds: [file],
    metadata: { team: 'stone' },
  })
  assert.deepEqual(created.fileIds, [file])
  assert.deepEqual(created.tools.slice(0, 2), retrieval)
  assert.ok(created.createdAt.getTime() > Date.now() - 60_000)
  assert.deepEqual(await client.getAssistant(created.id), created)
  const listed = await client.listAssistants({ limit: 1 })
  assert.deepEqual(listed.data, [created])
  assert.deepEqual([listed.firstId, listed.lastId], [created.id, created.id])
  const changed = await client.updateAssistant(created.id, { name: 'Baker', tools: [{ type: 'retrieval' }] })
  assert.deepEqual(changed, { ...created, name: 'Baker', tools: [{ type: 'retrieval' }] })
  assert.deepEqual((await client.updateAssistant(created.id, { fileIds: [] })).fileIds, [])
  // The same assistant as the second version shows it.
  const second = await server.client.beta.assistants.retrieve(created.id)
  assert.deepEqual(second.tools, [{ type: 'file_search' }])
  assert.equal('file_ids' in second, false)
  assert.deepEqual(await client.deleteAssistant(created.id), { id: created.id, deleted: true })
})

test('@azure/openai-assistants: files are uploaded, listed, read and deleted', async () => {
  const client = v1()
  const file = await client.uploadFile(bytes('corn'), 'assistants', { filename: 'corn.txt' })
  assert.deepEqual([file.filename, file.bytes, file.purpose], ['corn.txt', 4, 'assistants'])
  assert.deepEqual(await client.getFile(file.id), file)
  assert.deepEqual((await client.listFiles({ purpose: 'assistants' })).data[0], file)
  assert.deepEqual(await client.deleteFile(file.id), { id: file.id, deleted: true })
})

test('@azure/openai-assistants: files are given to assistants and taken from them', async () => {
  const client = v1()
  const { id } = await client.createAssistant({ model: 'mock-model' })
  const files = [await uploaded(server), await uploaded(server), await uploaded(server)]
  for (const file of files) {
    const given = await client.createAssistantFile(id, file)
    assert.deepEqual([given.id, given.assistantId], [file, id])
  }
  const ids = async (page: object) => (await client.listAssistantFiles(id, page)).data.map((file) => file.id)
  const [a = '', b = '', c = ''] = files
  assert.deepEqual(await ids({}), [c, b, a])
  assert.deepEqual(await ids({ order: 'asc', limit: 2 }), [a, b])
  assert.deepEqual(await ids({ order: 'asc', after: a, limit: 1 }), [b])
  assert.deepEqual(await ids({ order: 'asc', before: c, limit: 1 }), [b])
  assert.equal((await client.listAssistantFiles(id, { limit: 2 })).hasMore, true)
  assert.equal((await client.getAssistantFile(id, a)).id, a)
  assert.deepEqual((await client.getAssistant(id)).fileIds, files)
  assert.deepEqual(await client.deleteAssistantFile(id, b), { id: b, deleted: true })
  assert.deepEqual(await ids({ order: 'asc' }), [a, c])
  await assert.rejects(client.getAssistantFile(id, b), {
    statusCode: 404,
    message: `No such File object: ${b}`,
  })
  await assert.rejects(client.deleteAssistantFile(id, b), { statusCode: 404 })
  await assert.rejects(client.createAssistantFile(id, 'file-none'), { statusCode: 404 })
  await assert.rejects(ids({ after: b }), { statusCode: 400 })
})

test('@azure/openai-assistants: an assistant has 20 files at most', async () => {
  const client = v1()
  const fileIds = await Promise.all(Array.from({ length: 20 }, () => uploaded(server)))
  const { id } = await client.createAssistant({ model: 'mock-model', fileIds })
  const more = await uploaded(server)
  const text =
    'array too long. Expected an array with maximum length 20, but got an array with length 21 instead.'
  const message = `Invalid 'file_ids': ${text}`
  await assert.rejects(client.createAssistantFile(id, more), { statusCode: 400, message })
  await assert.rejects(client.updateAssistant(id, { fileIds: [...fileIds, more] }), {
    statusCode: 400,
    message,
  })
})

test('@azure/openai-assistants: threads are created with messages, read, changed and deleted', async () => {
  const client = v1()
  const bare = await client.createThread()
  assert.deepEqual(await client.getThread(bare.id), bare)
  const { id } = await client.createThread({
    messages: [{ role: 'user', content: 'Hi.' }],
    metadata: { a: '1' },
  })
  const changed = await client.updateThread(id, { metadata: { b: '2' } })
  assert.deepEqual(changed.metadata, { a: '1', b: '2' })
  assert.equal((await client.listMessages(id)).data.length, 1)
  assert.deepEqual(await client.deleteThread(id), { id, deleted: true })
  await assert.rejects(client.getThread(id), {
    statusCode: 404,
    message: `No thread found with id '${id}'.`,
  })
})

test('@azure/openai-assistants: messages with files are created, listed, read and changed', async () => {
  const client = v1()
  const { id: thread } = await client.createThread()
  const file = await uploaded(server)
  const created = await client.createMessage(thread, 'user', 'Read this.', {
    fileIds: [file],
    metadata: { a: '1' },
  })
  assert.deepEqual(created.fileIds, [file])
  assert.deepEqual(created.content, [
    { type: 'text', text: { value: 'Read this.', annotations: [] }, imageFile: {} },
  ])
  const { fileIds: _, ...rest } = created
  const id = created.id ?? ''
  // This client leaves the files out of what it reads later.
  assert.deepEqual(await client.getMessage(thread, id), rest)
  assert.deepEqual((await client.listMessages(thread)).data, [rest])
  const changed = await client.updateMessage(thread, id, { metadata: { b: '2' } })
  assert.deepEqual(changed.metadata, { a: '1', b: '2' })
  assert.deepEqual(
    (await client.listMessageFiles(thread, id)).data.map((given) => [given.id, given.messageId]),
    [[file, id]],
  )
  assert.equal((await client.getMessageFile(thread, id, file)).id, file)
  await assert.rejects(client.getMessageFile(thread, id, 'file-none'), { statusCode: 404 })
  const second = await server.client.beta.threads.messages.retrieve(id, { thread_id: thread })
  const tools = [{ type: 'file_search' }, { type: 'code_interpreter' }]
  assert.deepEqual(second.attachments, [{ file_id: file, tools }])
  await assert.rejects(client.createMessage(thread, 'user', 'x', { fileIds: ['file-none'] }), {
    statusCode: 404,
  })
})

test('@azure/openai-assistants: a run calls functions, takes their outputs, and shows its steps', async () => {
  const client = v1()
  const assistant = await client.createAssistant({
    model: 'mock-model',
    tools: [
      { type: 'function', function: { name: 'f', description: 'Does it.', parameters: {} } },
      { type: 'retrieval' },
    ],
  })
  const { id: thread } = await client.createThread({ messages: [{ role: 'user', content: 'Go.' }] })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{"x":1}' }]))
  const created = await client.createRun(thread, {
    assistantId: assistant.id,
    additionalInstructions: 'Now.',
  })
  assert.equal(created.status, 'queued')
  assert.deepEqual([created.completedAt, created.fileIds], [null, []])
  assert.deepEqual(created.tools, assistant.tools)
  const asking = await ended(client, thread, created.id)
  assert.equal(asking.status, 'requires_action')
  const calls = [{ id: 'call_a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } }]
  assert.deepEqual(asking.requiredAction, {
    type: 'submit_tool_outputs',
    submitToolOutputs: { toolCalls: calls },
  })
  mock.next(text('Gone.'))
  const outputs = [{ toolCallId: 'call_a', output: 'ok' }]
  assert.equal((await client.submitToolOutputsToRun(thread, created.id, outputs)).status, 'queued')
  assert.equal((await ended(client, thread, created.id)).status, 'completed')
  const steps = (await client.listRunSteps(thread, created.id, { order: 'asc' })).data
  assert.deepEqual(
    steps.map(({ type }) => type),
    ['tool_calls', 'message_creation'],
  )
  assert.deepEqual(await client.getRunStep(thread, created.id, steps[0]?.id ?? ''), steps[0])
  assert.deepEqual((await client.updateRun(thread, created.id, { metadata: { a: 'b' } })).metadata, {
    a: 'b',
  })
  assert.deepEqual(
    (await client.listRuns(thread)).data.map(({ id }) => id),
    [created.id],
  )
})

test('@azure/openai-assistants: a thread is created with its run, which is cancelled', async () => {
  const client = v1()
  const assistant = await client.createAssistant({ model: 'mock-model' })
  const held = gate()
  mock.next(text('Never', held.opened))
  const run = await client.createThreadAndRun({
    assistantId: assistant.id,
    thread: { messages: [{ role: 'user', content: 'Go.' }], metadata: { a: 'b' } },
    instructions: 'Slowly.',
  })
  assert.deepEqual([run.status, run.instructions], ['queued', 'Slowly.'])
  assert.match((await client.cancelRun(run.threadId, run.id)).status, /^cancell/)
  assert.equal((await ended(client, run.threadId, run.id)).status, 'cancelled')
  held.open()
  const message = "Cannot cancel run with status 'cancelled'."
  await assert.rejects(client.cancelRun(run.threadId, run.id), { statusCode: 400, message })
})

/** The run when it waits for the client or has ended. */
async function ended(client: AssistantsClient, thread: string, id: string) {
  for (;;) {
    const run = await client.getRun(thread, id)
    if (!['queued', 'in_progress', 'cancelling'].includes(run.status)) return run
    await new Promise(setImmediate)
  }
}

test('@azure/openai-assistants pointed at /v1 by its OpenAI form speaks version 1 by its beta header', async () => {
  const client = new AssistantsClient(
    new OpenAIKeyCredential('sk-x') as never,
    { ...insecure, baseUrl: `${server.app.url}/v1` } as never,
  )
  const file = await uploaded(server)
  const assistant = await client.createAssistant({
    model: 'mock-model',
    tools: [{ type: 'retrieval' }],
    fileIds: [file],
  })
  assert.deepEqual([assistant.tools, assistant.fileIds], [[{ type: 'retrieval' }], [file]])
  const { id } = await client.createThread()
  assert.equal((await client.createMessage(id, 'user', 'Hi.')).threadId, id)
})

/** A request by hand, as an app of the first version sends it. */
async function ask(path: string, body?: object, headers = {}): Promise<[number, Record<string, unknown>]> {
  const answer = await fetch(server.app.url + path, {
    method: body ? 'POST' : 'GET',
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    body: body ? JSON.stringify(body) : null,
  })
  return [answer.status, (await answer.json()) as Record<string, unknown>]
}

const older = 'api-version=2024-02-15-preview'

test('files of messages within other bodies of version 1 become attachments', async () => {
  const [file, { id: assistant }] = await Promise.all([
    uploaded(server),
    v1().createAssistant({ model: 'mock-model' }),
  ])
  const messages = [{ role: 'user', content: 'Read.', file_ids: [file] }]
  const [, thread] = await ask(`/openai/threads?${older}`, { messages })
  const [, run] = await ask(`/openai/threads/runs?${older}`, {
    assistant_id: assistant,
    thread: { messages },
  })
  const later = `/openai/threads/${String(thread['id'])}/runs?${older}`
  const [status] = await ask(later, { assistant_id: assistant, additional_messages: messages, tools: [] })
  assert.equal(status, 200)
  for (const id of [thread['id'], run['thread_id']]) {
    const [, list] = await ask(`/openai/threads/${String(id)}/messages?order=asc&limit=1&${older}`)
    const [message] = list['data'] as { file_ids: string[]; attachments: object[] }[]
    assert.deepEqual(message?.file_ids, [file])
    assert.equal(message.attachments.length, 1)
  }
  const [, list] = await ask(`/openai/threads/${String(thread['id'])}/messages?order=asc&${older}`)
  const files = (list['data'] as { file_ids: string[] }[]).slice(0, 2).map(({ file_ids }) => file_ids)
  assert.deepEqual(files, [[file], [file]])
})

test('file_ids that are no list of texts are refused by their own name', async () => {
  const [status, { error }] = await ask(`/openai/assistants?${older}`, { model: 'm', file_ids: [7] })
  const message = "Invalid type for 'file_ids[0]': expected a string, but got an integer instead."
  assert.deepEqual(
    [status, error],
    [400, { message, type: 'invalid_request_error', param: 'file_ids[0]', code: 'invalid_type' }],
  )
})

test('a request is of version 1 by its beta header, or without one by an Azure version before 2024-05-01', async () => {
  const body = { model: 'mock-model', file_ids: [] }
  const first: [string, object][] = [
    [`/openai/assistants?${older}`, {}],
    ['/openai/assistants?api-version=2024-04-30', {}],
    ['/v1/assistants', { 'openai-beta': 'assistants=v1' }],
    ['/openai/assistants?api-version=2025-04-01-preview', { 'openai-beta': 'assistants=v1' }],
  ]
  for (const [path, headers] of first) assert.equal((await ask(path, body, headers))[0], 200, path)
  const second: [string, object][] = [
    ['/openai/assistants?api-version=2024-05-01-preview', {}],
    ['/openai/assistants?api-version=preview', {}],
    ['/openai/v1/assistants', {}],
    [`/openai/assistants?${older}`, { 'openai-beta': 'assistants=v2' }],
    ['/v1/assistants', { 'openai-beta': 'assistants=v2' }],
  ]
  for (const [path, headers] of second) {
    const [status, { error }] = await ask(path, body, headers)
    assert.deepEqual([status, (error as { param: string }).param], [400, 'file_ids'], path)
  }
})

test('the routes of version 1 are not there for clients of version 2', async () => {
  const { id } = await server.client.beta.assistants.create({ model: 'mock-model' })
  for (const path of [`/assistants/${id}/files`, `/assistants/${id}/files/file-a`]) {
    const [status, { error }] = await ask(`/v1${path}`, undefined, { 'openai-beta': 'assistants=v2' })
    const message = `Unknown request URL: GET /v1${path}.`
    assert.deepEqual(
      [status, error],
      [404, { message, type: 'invalid_request_error', param: null, code: 'unknown_url' }],
    )
  }
})
