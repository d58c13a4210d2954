import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import OpenAI from 'openai'
import { asMemgpt, pathOf, runsOf, speakMemgpt, type OpenAIRun } from './support/memgpt.ts'
import { hang, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// Errors of the memgpt dialect (memgpt-dialect.md §2-§4, docs/errors.md "In the memgpt dialect").

const server = await startServer()
const { client, mock } = server
const { ask, refused, fault, reached } = speakMemgpt(server)

beforeEach(() => mock.reset())

const anAssistant = { model: 'mock-model', name: 'Ada', instructions: '' }

test('what does not fit the schema is 422 and names the place', async () => {
  const { assistant, thread } = await readyToRun(server)
  const body = { assistant_id: assistant, instructions: '' }
  assert.deepEqual(await fault('POST', runsOf(thread), { instructions: 'x' }), {
    type: 'missing',
    loc: ['body', 'assistant_id'],
    msg: 'Field required',
    input: { instructions: 'x' },
  })
  assert.deepEqual(await fault('POST', runsOf(thread), []), {
    type: 'type_error',
    loc: ['body'],
    msg: 'Invalid type for the request body: expected an object, but got an array instead.',
    input: [],
  })
  const bodies: [string, object, string, (string | number)[]][] = [
    [runsOf(thread), { ...body, assistant_id: 7 }, 'type_error', ['assistant_id']],
    [runsOf(thread), { assistant_id: assistant }, 'missing', ['instructions']],
    [runsOf(thread), { ...body, instructions: null }, 'type_error', ['instructions']],
    [runsOf(thread), { ...body, tools: [{}] }, 'missing', ['tools', 0, 'type']],
    [runsOf(thread), { ...body, tools: ['f'] }, 'type_error', ['tools', 0]],
    [
      runsOf(thread),
      { ...body, tools: [{ function: { name: 'a b', arguments: '{}' } }] },
      'value_error',
      ['tools', 0, 'function', 'name'],
    ],
    [
      runsOf(thread),
      { ...body, tools: [{ function: { name: 'f', arguments: '{"a":["\\u0000"]}' } }] },
      'value_error',
      ['tools', 0, 'function', 'arguments', 'a', 0],
    ],
    [
      runsOf(thread),
      { ...body, tools: [{ function: { name: 'f', arguments: `{"a":${'['.repeat(300)}` } }] },
      'json_invalid',
      ['tools', 0, 'function', 'arguments'],
    ],
    [runsOf(thread), { ...body, metadata: { a: 1 } }, 'type_error', ['metadata', 'a']],
    ['/v1/threads/runs', { ...body, model: '' }, 'missing', ['thread']],
    ['/v1/threads/runs', { ...body, thread: {} }, 'missing', ['model']],
    ['/v1/threads', { messages: [{ role: 'user', content: 'x' }] }, 'type_error', ['messages', 0]],
    [`/v1/threads/${thread}/messages`, { role: 'system', content: 'x' }, 'value_error', ['role']],
    [`/v1/threads/${thread}/messages`, { role: 'user' }, 'missing', ['content']],
    ['/v1/assistants', { ...anAssistant, tools: ['a b'] }, 'value_error', ['tools', 0]],
    ['/v1/assistants', { model: 'm', instructions: '' }, 'missing', ['name']],
  ]
  for (const [path, sent, type, loc] of bodies) {
    const found = await fault('POST', path, sent)
    assert.deepEqual([found?.type, found?.loc], [type, ['body', ...loc]])
  }
})

test('a body that is no JSON is 422, and one of another type 415', async () => {
  const { thread } = await readyToRun(server)
  const send = async (body: string, type: string) => {
    const headers = { ...asMemgpt, 'content-type': type }
    const response = await server.fetch(runsOf(thread), { method: 'POST', headers, body })
    return [response.status, await response.text()] as const
  }
  const [status, text] = await send('{', 'application/json')
  assert.equal(status, 422)
  assert.match(text, /^\{"detail":\[\{"type":"json_invalid","loc":\["body"\]/)
  assert.deepEqual((await send('', 'application/json'))[0], 422)
  const [other, reason] = await send('a=b', 'text/plain')
  assert.deepEqual([other, JSON.parse(reason)], [415, { detail: reasonOfType }])
})
const reasonOfType = "Unsupported content type 'text/plain': send the request body as 'application/json'."

test('keys that nobody knows are left alone; those that only v2 has are 422 and name the header for v2', async () => {
  const { assistant, thread } = await readyToRun(server)
  const body = { assistant_id: assistant, instructions: '' }
  const inOne = { ...body, model: '', thread: {} }
  const forV2: [string, object, string][] = [
    [runsOf(thread), { ...body, stream: true }, 'stream'],
    [runsOf(thread), { ...body, additional_messages: [] }, 'additional_messages'],
    [runsOf(thread), { ...body, tool_choice: 'none' }, 'tool_choice'],
    [runsOf(thread), { ...body, response_format: 'auto' }, 'response_format'],
    [runsOf(thread), { ...body, max_prompt_tokens: 300 }, 'max_prompt_tokens'],
    ['/v1/threads/runs', { ...inOne, stream: true }, 'stream'],
    ['/v1/threads/runs', { ...inOne, tool_resources: {} }, 'tool_resources'],
    ['/v1/threads/runs', { ...inOne, thread: { tool_resources: {} } }, 'thread.tool_resources'],
    [`${runsOf(thread)}/run_x/submit_tool_outputs`, { tools_outputs: [], stream: true }, 'stream'],
    ['/v1/assistants', { ...anAssistant, temperature: 1 }, 'temperature'],
    [`/v1/assistants/${assistant}`, { ...anAssistant, tool_resources: {} }, 'tool_resources'],
    ['/v1/threads', { tool_resources: {} }, 'tool_resources'],
    [`/v1/threads/${thread}`, { tool_resources: {} }, 'tool_resources'],
    [`/v1/threads/${thread}/messages`, { role: 'user', content: 'x', attachments: [] }, 'attachments'],
  ]
  for (const [path, sent, key] of forV2) {
    const found = await fault('POST', path, sent)
    assert.deepEqual([found?.type, found?.loc], ['extra_forbidden', ['body', ...key.split('.')]])
    assert.match(found?.msg ?? '', /OpenAI-Beta: assistants=v2/)
  }

  const others = { user: 'me', stream: null, thread_id: 'x' }
  const run = await ask<OpenAIRun>('POST', runsOf(thread), { ...body, ...others })
  await ask('POST', pathOf(run), { ...others, metadata: {} })
  await ask('POST', '/v1/threads/runs', { ...inOne, ...others, thread: { ...others } })
  await ask('POST', '/v1/assistants', { ...anAssistant, ...others, embedding_model: 'e' })
  await ask('POST', '/v1/threads', { ...others, assistant_name: 'Ada' })
  await reached(run, 'completed')
  await ask('POST', `/v1/threads/${thread}/messages`, { role: 'user', content: 'x', ...others })
})

test('outputs come under one of two names, and not under both', async () => {
  const { thread } = await readyToRun(server)
  const submit = `${runsOf(thread)}/run_x/submit_tool_outputs`
  const both = await fault('POST', submit, { tools_outputs: [], tool_outputs: [] })
  assert.deepEqual([both?.type, both?.loc], ['value_error', ['body', 'tool_outputs']])
  assert.deepEqual((await fault('POST', submit, {}))?.loc, ['body', 'tools_outputs'])
  const item = await fault('POST', submit, { tools_outputs: [{ tool_call_id: 'a' }] })
  assert.deepEqual(item?.loc, ['body', 'tools_outputs', 0, 'output'])
})

test('ids that are not there, or could not be, are 404 and named', async () => {
  const { assistant, thread } = await readyToRun(server)
  const run = await ask<OpenAIRun>('POST', runsOf(thread), { assistant_id: assistant, instructions: '' })
  await reached(run, 'completed')
  const on = (id: string) => `${runsOf(thread)}/${id}`
  const body = { assistant_id: assistant, instructions: '' }
  const noRun = "No run found with id 'runId_example'."
  const missing: [string, string, object | undefined, string][] = [
    ['GET', on('runId_example'), undefined, noRun],
    ['POST', on('runId_example'), {}, noRun],
    ['POST', `${on('runId_example')}/cancel`, undefined, noRun],
    ['POST', `${on('runId_example')}/submit_tool_outputs`, { tools_outputs: [] }, noRun],
    ['GET', `${on('runId_example')}/steps`, undefined, noRun],
    ['GET', `${on('runId_example')}/steps/x`, undefined, "No run step found with id 'x'."],
    ['GET', `${on(run.id)}/steps/stepId_example`, undefined, "No run step found with id 'stepId_example'."],
    ['GET', '/v1/threads/x/runs', undefined, "No thread found with id 'x'."],
    ['GET', `/v1/threads/thread_x/runs/${run.id}`, undefined, `No run found with id '${run.id}'.`],
    ['POST', '/v1/threads/x/runs', body, "No thread found with id 'x'."],
    ['POST', runsOf(thread), { ...body, assistant_id: 'nobody' }, "No assistant found with id 'nobody'."],
    [
      'POST',
      '/v1/threads/runs',
      { ...body, assistant_id: 'asst_gone', model: '', thread: {} },
      "No assistant found with id 'asst_gone'.",
    ],
    ['GET', '/v1/threads/t%2F1%20x', undefined, "No thread found with id 't/1 x'."],
    ['POST', '/v1/threads/x', {}, "No thread found with id 'x'."],
    ['DELETE', '/v1/threads/x', undefined, "No thread found with id 'x'."],
    ['POST', '/v1/threads/x/messages', { role: 'user', content: 'x' }, "No thread found with id 'x'."],
    ['GET', `/v1/threads/${thread}/messages/m`, undefined, "No message found with id 'm'."],
    ['POST', `/v1/threads/${thread}/messages/m`, {}, "No message found with id 'm'."],
    ['GET', `/v1/threads/${thread}/messages/m/files/f`, undefined, "No message found with id 'm'."],
    ['GET', '/v1/assistants/a', undefined, "No assistant found with id 'a'."],
    ['POST', '/v1/assistants/a', anAssistant, "No assistant found with id 'a'."],
    ['DELETE', '/v1/assistants/a', undefined, "No assistant found with id 'a'."],
    ['GET', `/v1/assistants/${assistant}/files/f`, undefined, 'No such File object: f'],
    ['DELETE', `/v1/assistants/${assistant}/files/f`, undefined, 'No such File object: f'],
    ['POST', `/v1/assistants/${assistant}/files`, { file_id: 'f' }, 'No such File object: f'],
    ['POST', '/v1/assistants', { ...anAssistant, file_ids: ['file-gone'] }, 'No such File object: file-gone'],
  ]
  for (const [method, path, sent, text] of missing) {
    assert.deepEqual(await refused(method, path, sent), [404, text], `${method} ${path}`)
  }
})

/** What v2 says to the same; the SDK puts the status before it. */
async function inV2(request: Promise<unknown>): Promise<string> {
  const error = await request.then(
    () => assert.fail('it was not refused'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof OpenAI.BadRequestError)
  return error.message.replace(/^400 /, '')
}

test('what cannot be now is 400 in the words of v2', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const { runs, messages } = client.beta.threads
  const place = { thread_id: thread }
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), hang())
  const body = { assistant_id: assistant, instructions: '' }
  const run = await ask<OpenAIRun>('POST', runsOf(thread), body)
  await reached(run, 'requires_action')

  const message = { role: 'user' as const, content: 'x' }
  const submit = `${pathOf(run)}/submit_tool_outputs`
  const wrong = [{ tool_call_id: 'call_b', output: '' }]
  const texts = {
    create: await inV2(runs.create(thread, { assistant_id: assistant })),
    add: await inV2(messages.create(thread, message)),
    submit: await inV2(runs.submitToolOutputs(run.id, { ...place, tool_outputs: wrong })),
  }
  assert.deepEqual(await refused('POST', runsOf(thread), body), [400, texts.create])
  assert.deepEqual(await refused('POST', `/v1/threads/${thread}/messages`, message), [400, texts.add])
  assert.deepEqual(await refused('POST', submit, { tools_outputs: wrong }), [400, texts.submit])
  assert.match(texts.submit, /call_a/)

  await ask('POST', submit, { tools_outputs: [{ tool_call_id: 'call_a', output: '' }] })
  await reached(run, 'in_progress')
  await ask('POST', `${pathOf(run)}/cancel`)
  await reached(run, 'cancelled')
  const late = {
    cancel: await inV2(runs.cancel(run.id, place)),
    submit: await inV2(runs.submitToolOutputs(run.id, { ...place, tool_outputs: wrong })),
  }
  assert.deepEqual(await refused('POST', `${pathOf(run)}/cancel`), [400, late.cancel])
  assert.deepEqual(await refused('POST', submit, { tools_outputs: wrong }), [400, late.submit])
  assert.equal(late.cancel, "Cannot cancel run with status 'cancelled'.")
})
