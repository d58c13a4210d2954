import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import OpenAI from 'openai'
import { describedBy } from './support/described.ts'
import { text, toolCalls } from './support/mock-model.ts'
import { inProgress, startServer, tool } from './support/server.ts'

// /openapi.json is true: clients of all kinds work, and each of their requests and each answer is as it says. A file
// of its own, so that at its end no operation is left that was described and never seen.

const server = await startServer()
const { mock } = server
const described = await describedBy(server.app.url)
const settings = { apiKey: 'unused', maxRetries: 0, fetch: described.fetch }
const client = new OpenAI({ baseURL: `${server.app.url}/v1`, ...settings })
const { assistants, threads } = client.beta
const { messages, runs } = threads

/** A request by hand; the answer has to have this status. */
async function ask<T = unknown>(
  path: string,
  { method = 'GET', body, status = 200, headers = {} }: Asked = {},
): Promise<T> {
  const response = await described.fetch(server.app.url + path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    body: typeof body === 'object' ? JSON.stringify(body) : body,
  })
  const answer = await response.text()
  assert.equal(response.status, status, `${method} ${path}: ${answer}`)
  return (answer.startsWith('{') || answer.startsWith('[') ? JSON.parse(answer) : answer) as T
}

interface Asked {
  method?: string
  body?: object | string
  status?: number
  headers?: Record<string, string>
}

interface Named {
  id: string
}

const fn = {
  type: 'function' as const,
  function: { name: 'grind', description: 'Grinds.', parameters: { type: 'object' }, strict: true },
}
let file = ''
before(async () => {
  const content = new File(['Corn, stone.'], 'mill.txt')
  file = (await client.files.create({ file: content, purpose: 'assistants' })).id
})

test('the SDK works with assistants as /openapi.json says', async () => {
  const made = await assistants.create({
    model: 'mock-model',
    name: 'Miller',
    description: 'Knows mills.',
    instructions: 'Be brief.',
    tools: [fn, { type: 'code_interpreter' }, { type: 'file_search', file_search: { max_num_results: 5 } }],
    tool_resources: { code_interpreter: { file_ids: [file] }, file_search: { vector_stores: [{}] } },
    metadata: { topic: 'mills' },
    temperature: 0.5,
    top_p: 0.9,
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'object' } } },
    reasoning_effort: 'low',
  })
  await assistants.retrieve(made.id)
  await assistants.update(made.id, { name: null, metadata: { topic: '' }, response_format: 'auto' })
  await assistants.list({ limit: 1, order: 'asc', after: made.id })
  await assistants.delete(made.id)
  await assert.rejects(assistants.retrieve(made.id), OpenAI.NotFoundError)
  await assert.rejects(assistants.list({ limit: 101 }), OpenAI.BadRequestError)
})

test('the SDK works with threads and messages as /openapi.json says', async () => {
  const thread = await threads.create({
    messages: [{ role: 'user', content: 'Good morning?', metadata: { a: 'b' } }],
    tool_resources: { code_interpreter: { file_ids: [file] } },
    metadata: { a: 'b' },
  })
  await threads.retrieve(thread.id)
  await threads.update(thread.id, { metadata: { c: 'd' }, tool_resources: null })
  const message = await messages.create(thread.id, {
    role: 'user',
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'https://example.com/mill.png', detail: 'low' } },
      { type: 'image_file', image_file: { file_id: file } },
    ],
    attachments: [{ file_id: file, tools: [{ type: 'code_interpreter' }] }],
  })
  const at = { thread_id: thread.id }
  await messages.retrieve(message.id, at)
  await messages.update(message.id, { ...at, metadata: { e: 'f' } })
  await messages.list(thread.id, { order: 'asc', limit: 2, before: message.id })
  await messages.delete(message.id, at)
  await ask('/v1/threads', { headers: { 'openai-beta': 'assistants=v2' } })
  await threads.delete(thread.id)
})

test('runs, their steps and their streams are as /openapi.json says', async () => {
  const assistant = await assistants.create({ model: 'mock-model', tools: [tool('grind')] })
  const thread = await threads.create({ messages: [{ role: 'user', content: 'Grind.' }] })
  const at = { thread_id: thread.id }
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'grind', arguments: '{}' }]), text('Fl', 'our.'))
  const asked = await runs.createAndPoll(thread.id, {
    assistant_id: assistant.id,
    additional_instructions: 'Gently.',
    additional_messages: [{ role: 'user', content: 'Please.' }],
    max_prompt_tokens: 10_000,
    truncation_strategy: { type: 'last_messages', last_messages: 5 },
    tool_choice: { type: 'function', function: { name: 'grind' } },
    parallel_tool_calls: false,
    metadata: { a: 'b' },
    stream: false,
  })
  assert.equal(asked.status, 'requires_action')
  await assert.rejects(messages.create(thread.id, { role: 'user', content: 'And?' }), OpenAI.BadRequestError)
  const tool_outputs = [{ tool_call_id: 'call_a', output: 'done' }]
  const stream = runs.submitToolOutputsStream(asked.id, { ...at, tool_outputs })
  assert.equal((await stream.finalRun()).status, 'completed')
  const include = ['step_details.tool_calls[*].file_search.results[*].content' as const]
  const { data } = await runs.steps.list(asked.id, { ...at, limit: 1, include })
  await runs.steps.retrieve(data[0]?.id ?? '', { ...at, run_id: asked.id, include })
  await runs.update(asked.id, { ...at, metadata: { seen: 'yes' } })
  await runs.list(thread.id, { limit: 5 })
  const beta = { headers: { 'openai-beta': 'assistants=v2' } }
  await ask(`/v1/threads/${thread.id}/runs/${asked.id}/events`, beta)
  await messages.list(thread.id, { run_id: asked.id })
  await assert.rejects(runs.cancel(asked.id, at), OpenAI.BadRequestError)
})

test('a thread with a run, streamed, cancelled or failed, is as /openapi.json says', async () => {
  const assistant = await assistants.create({ model: 'mock-model', tools: [{ type: 'file_search' }] })
  mock.reset()
  mock.next(text('Good ', 'morning.'))
  const thread = { messages: [{ role: 'user' as const, content: 'Good morning?' }] }
  const stream = threads.createAndRunStream({ assistant_id: assistant.id, thread })
  assert.equal((await stream.finalRun()).status, 'completed')
  const never = Promise.withResolvers<void>()
  mock.next(text('Good ', never.promise))
  const run = await threads.createAndRun({ assistant_id: assistant.id, thread })
  await inProgress(server, run.thread_id, run.id)
  const cancelled = await runs.cancel(run.id, { thread_id: run.thread_id })
  assert.match(cancelled.status, /^cancell(ing|ed)$/)
  never.resolve()
  mock.next((exchange) => exchange.cut())
  const events = threads.createAndRunStream({ assistant_id: assistant.id, thread })
  await events.done().catch(() => {})
  assert.ok(events.currentRun()?.status === 'failed')
})

test('files, models and the pages of the service are as /openapi.json says', async () => {
  const content = new File(['More corn.'], 'corn.txt')
  const expires_after = { anchor: 'created_at' as const, seconds: 3_600 }
  const made = await client.files.create({ file: content, purpose: 'user_data', expires_after })
  await client.files.retrieve(made.id)
  await client.files.list({ purpose: 'user_data', limit: 3 })
  assert.equal(await (await client.files.content(made.id)).text(), 'More corn.')
  await client.files.delete(made.id)
  await assert.rejects(client.files.retrieve(made.id), OpenAI.NotFoundError)
  const { data } = await client.models.list()
  await client.models.retrieve(data[0]?.id ?? '')
  for (const path of ['/', '/healthz', '/readyz', '/metrics', '/openapi.json', '/docs']) await ask(path)
})

test('the files of version 1 are as /openapi.json says', async () => {
  const headers = { 'openai-beta': 'assistants=v1' }
  const { id } = await assistants.create({ model: 'mock-model' })
  const files = `/v1/assistants/${id}/files`
  await ask(files, { method: 'POST', body: { file_id: file }, headers })
  await ask(`${files}?limit=1`, { headers })
  await ask(`${files}/${file}`, { headers })
  await ask(`${files}/${file}`, { method: 'DELETE', headers })
  await ask(`${files}/${file}`, { headers, status: 404 })
  const attachments = [{ file_id: file, tools: [{ type: 'code_interpreter' as const }] }]
  const thread = await threads.create({ messages: [{ role: 'user', content: 'See.', attachments }] })
  const { data } = await messages.list(thread.id)
  const ofMessage = `/v1/threads/${thread.id}/messages/${data[0]?.id}/files`
  await ask(ofMessage, { headers })
  await ask(`${ofMessage}/${file}`, { headers })
})

test('assistants, threads and messages of the memgpt dialect are as /openapi.json says', async () => {
  const post = (path: string, body: object, status = 200) =>
    ask<Named>(`/memgpt/v1${path}`, { method: 'POST', body, status })
  const fields = { model: 'mock-model', name: 'Miller', instructions: 'Be brief.' }
  const { id } = await post('/assistants', { ...fields, tools: ['grind'], metadata: { a: 'b' } })
  await post(`/assistants/${id}`, { ...fields, name: 'The miller' })
  await ask(`/memgpt/v1/assistants/${id}`)
  await ask('/memgpt/v1/assistants?limit=2&order=desc')
  await ask('/memgpt/v1/assistants?limit=-1', { status: 422 })
  await post(`/assistants/${id}/files`, { file_id: file })
  await ask(`/memgpt/v1/assistants/${id}/files`)
  await ask(`/memgpt/v1/assistants/${id}/files/${file}`)
  await ask(`/memgpt/v1/assistants/${id}/files/${file}`, { method: 'DELETE' })
  await ask(`/memgpt/v1/assistants/${id}`, { method: 'DELETE' })
  await ask(`/memgpt/v1/assistants/${id}`, { status: 404 })

  const thread = await post('/threads', { messages: ['Good morning?'], metadata: { a: 'b' } })
  const path = `/threads/${thread.id}`
  await ask(`/memgpt/v1${path}`)
  await post(path, { metadata: { c: 'd' } })
  const message = await post(`${path}/messages`, { role: 'user', content: 'And?', file_ids: [file] })
  await ask(`/memgpt/v1${path}/messages?limit=1`)
  await ask(`/memgpt/v1${path}/messages/${message.id}`)
  await post(`${path}/messages/${message.id}`, { metadata: { e: 'f' } })
  await ask(`/memgpt/v1${path}/messages/${message.id}/files/${file}`)
  await post(`${path}/messages`, { role: 'user' }, 422)
  await ask(`/memgpt/v1${path}`, { method: 'DELETE' })
})

test('runs of the memgpt dialect are as /openapi.json says', async () => {
  const assistant = await assistants.create({ model: 'mock-model', tools: [tool('grind')] })
  const thread = await threads.create({ messages: [{ role: 'user', content: 'Grind.' }] })
  const made = { assistant_id: assistant.id, instructions: '' }
  const path = `/v1/threads/${thread.id}/runs`
  mock.reset()
  mock.next(toolCalls([{ id: 'call_b', name: 'grind', arguments: '{}' }]), text('Flour.'))
  const { id } = await ask<Named>(path, { method: 'POST', body: made })
  await ask(path, { method: 'POST', body: made, status: 400 })
  await runs.poll(id, { thread_id: thread.id })
  await ask(`${path}/${id}`)
  await ask(`${path}/${id}`, { method: 'POST', body: { metadata: { a: 'b' } } })
  const tools_outputs = [{ tool_call_id: 'call_b', output: 'done' }]
  await ask(`${path}/${id}/submit_tool_outputs`, { method: 'POST', body: { tools_outputs } })
  await runs.poll(id, { thread_id: thread.id })
  const steps = await ask<Named[]>(`${path}/${id}/steps`)
  await ask(`${path}/${id}/steps/${steps[0]?.id}`)
  await ask(`${path}?limit=5`)
  const never = Promise.withResolvers<void>()
  mock.next(text('Good ', never.promise))
  const thread_run = { ...made, model: '', thread: { id: thread.id, created_at: 1 } }
  const next = await ask<Named>('/v1/threads/runs', { method: 'POST', body: thread_run })
  await ask(`${path}/${next.id}/cancel`, { method: 'POST' })
  never.resolve()
  await ask(`${path}/${next.id}x`, { status: 404 })
})

test('what is no JSON, no body or too large is refused as /openapi.json says', async () => {
  const headers = { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' }
  await ask('/v1/threads', { method: 'POST', body: '{', headers, status: 400 })
  await ask('/v1/threads', {
    method: 'POST',
    body: '{}',
    headers: { ...headers, 'content-type': 'a/b' },
    status: 415,
  })
  await ask('/v1/threads', { method: 'POST', body: ' '.repeat(33 * 1024 * 1024), headers, status: 413 })
  await ask('/memgpt/v1/threads', { method: 'POST', body: '{', headers, status: 422 })
  await ask('/v1/threads', { headers: { 'x-assistants-dialect': 'v2' }, status: 400 })
})

test('every operation of /openapi.json was seen to answer as it says', () => {
  const unseen = described.placed
    .map(({ operation }) => operation.operationId)
    .filter((id) => !described.seen.has(id))
  assert.deepEqual(unseen, [])
  assert.deepEqual([...described.errors].toSorted(), ['400', '404', '413', '415', '422'])
})
