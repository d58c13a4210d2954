import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// The settings of a run as the model gets them, over all turns of the run.

const server = await startServer({ tuning: { drainMs: 50 } })
const { client, mock } = server
const { runs } = client.beta.threads

const call = (n: number) => toolCalls([{ id: `call_${n}`, name: 'f', arguments: '{}' }])
const submit = (run: OpenAI.Beta.Threads.Run) => {
  const calls = run.required_action?.submit_tool_outputs.tool_calls ?? []
  const tool_outputs = calls.map(({ id }) => ({ tool_call_id: id, output: 'x' }))
  return runs.submitToolOutputsAndPoll(run.id, { thread_id: run.thread_id, tool_outputs })
}

const named = { type: 'function' as const, function: { name: 'f' } }
for (const [choice, sent] of [
  ['auto', ['auto', undefined, undefined]],
  ['required', ['required', undefined, undefined]],
  [named, [named, undefined, undefined]],
  [undefined, [undefined, undefined, undefined]],
] as const) {
  test(`tool_choice ${JSON.stringify(choice)} is sent with the first turn, and then it is the model's`, async () => {
    const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
    mock.reset()
    mock.next(call(1), call(2), text('Done.'))
    const run = await runs.createAndPoll(thread, { assistant_id: assistant, tool_choice: choice })
    const done = await submit(await submit(run))
    assert.equal(done.status, 'completed')
    assert.deepEqual(
      mock.requests.map(({ body }) => body.tool_choice),
      sent,
    )
  })
}

test('tool_choice none is sent with the tools, and a model that calls all the same calls nobody', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_1', name: 'f', arguments: '{}' }], { text: 'No need.' }))
  const run = await runs.createAndPoll(thread, { assistant_id: assistant, tool_choice: 'none' })
  assert.equal(run.status, 'completed')
  assert.equal(mock.requests[0]?.body.tool_choice, 'none')
  assert.deepEqual(mock.requests[0]?.body.tools, [tool('f')])
  const steps = await runs.steps.list(run.id, { thread_id: thread })
  assert.deepEqual(
    steps.data.map(({ type }) => type),
    ['message_creation'],
  )
})

test('with parallel_tool_calls false a step has one call, however many the model makes', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(
    toolCalls([1, 2, 3].map((n) => ({ id: `call_${n}`, name: 'f', arguments: `{"n":${n}}` }))),
    text('Done.'),
  )
  const begun: string[] = []
  const stream = runs.stream(thread, {
    assistant_id: assistant,
    parallel_tool_calls: false,
  })
  stream.on('toolCallCreated', (made) => begun.push(made.id ?? ''))
  const run = await stream.finalRun()
  assert.equal(run.parallel_tool_calls, false)
  assert.deepEqual(begun, ['call_1'])
  assert.deepEqual(run.required_action?.submit_tool_outputs.tool_calls, [
    { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"n":1}' } },
  ])
  const done = await runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_1', output: 'x' }],
  })
  assert.equal(done.status, 'completed')
  assert.deepEqual(
    mock.requests.map(({ body }) => body.parallel_tool_calls),
    [false, false],
  )
  assert.deepEqual(
    mock.requests[1]?.body.messages.slice(2).map(({ role }) => role),
    ['assistant', 'tool'],
  )
})

test('response_format and the sampling settings reach every turn exactly as they were set', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const set = {
    temperature: 0,
    top_p: 0,
    reasoning_effort: 'none' as const,
    response_format: {
      type: 'json_schema' as const,
      json_schema: {
        name: 'answer',
        description: 'An answer.',
        strict: true,
        schema: { type: 'object', properties: { a: { type: 'string', minLength: 0 } }, required: ['a'] },
      },
    },
  }
  mock.reset()
  mock.next(call(1), text('{"a":"b"}'))
  const run = await runs.createAndPoll(thread, { assistant_id: assistant, ...set })
  await runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_1', output: 'x' }],
  })
  for (const { body } of mock.requests) {
    const { temperature, top_p, reasoning_effort, response_format } = body
    assert.deepEqual({ temperature, top_p, reasoning_effort, response_format }, set)
  }
  assert.equal(mock.requests.length, 2)
})

test('settings of the assistant are sent, those of the run instead of them, and others not at all', async () => {
  const { assistant, thread } = await readyToRun(server, {
    temperature: 0.3,
    reasoning_effort: 'low',
    response_format: { type: 'text' },
  })
  mock.reset()
  await runs.createAndPoll(thread, { assistant_id: assistant })
  await runs.createAndPoll(thread, {
    assistant_id: assistant,
    temperature: 1,
    reasoning_effort: 'high',
    response_format: 'auto',
  })
  const [own, overridden] = mock.requests.map(
    ({ body: { messages, model, stream, stream_options, ...rest } }) => rest,
  )
  assert.deepEqual(own, { temperature: 0.3, reasoning_effort: 'low', response_format: { type: 'text' } })
  assert.deepEqual(overridden, { temperature: 1, reasoning_effort: 'high' })
})

// Last, for the clients of the server before are of no use behind it.
test('a first turn that is tried again is forced again', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  const held = gate()
  mock.next(text(held.opened), call(1))
  const { id } = await runs.create(thread, { assistant_id: assistant, tool_choice: named })
  await mock.received(0)
  // The server stops in the middle of the turn, and the next one takes the run over.
  await server.restart()
  held.open()
  const run = await server.client.beta.threads.runs.poll(id, { thread_id: thread })
  assert.equal(run.status, 'requires_action')
  assert.deepEqual(
    mock.requests.map(({ body }) => body.tool_choice),
    [named, named],
  )
})
