import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

const server = await startServer()
const { client, client6, mock } = server

function callsOf(run: OpenAI.Beta.Threads.Run): OpenAI.Beta.Threads.RequiredActionFunctionToolCall[] {
  return run.required_action?.submit_tool_outputs.tool_calls ?? []
}

const twoCalls = toolCalls([
  { id: 'call_one', name: 'lookup', arguments: '{"id":"A-1"}' },
  { id: 'call_two', name: 'lookup', arguments: '{"id":"B-2"}' },
])

for (const [version, sdk] of [
  ['7', client],
  ['6', client6 as unknown as OpenAI],
] as const) {
  test(`two parallel calls are answered by submitToolOutputsAndPoll (SDK ${version})`, async () => {
    const { assistant, thread } = await readyToRun(server, { tools: [tool('lookup')] })
    mock.reset()
    mock.next(twoCalls, text('Both found.'))
    const asked = await sdk.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
    assert.equal(asked.status, 'requires_action')
    assert.deepEqual(
      callsOf(asked).map((call) => [call.id, call.function]),
      [
        ['call_one', { name: 'lookup', arguments: '{"id":"A-1"}' }],
        ['call_two', { name: 'lookup', arguments: '{"id":"B-2"}' }],
      ],
    )
    const done = await sdk.beta.threads.runs.submitToolOutputsAndPoll(asked.id, {
      thread_id: thread,
      tool_outputs: [
        { tool_call_id: 'call_two', output: 'lost' },
        { tool_call_id: 'call_one', output: 'shipped' },
      ],
    })
    assert.equal(done.status, 'completed')
    assert.equal(done.id, asked.id)
    assert.equal(done.required_action, null)
    assert.deepEqual(done.usage, { prompt_tokens: 40, completion_tokens: 8, total_tokens: 48 })
    // What the model was shown: its own calls and each output under its id.
    assert.deepEqual(mock.requests[1]?.body.messages?.slice(-3), [
      {
        role: 'assistant',
        content: null,
        tool_calls: [
          { id: 'call_one', type: 'function', function: { name: 'lookup', arguments: '{"id":"A-1"}' } },
          { id: 'call_two', type: 'function', function: { name: 'lookup', arguments: '{"id":"B-2"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'call_one', content: 'shipped' },
      { role: 'tool', tool_call_id: 'call_two', content: 'lost' },
    ])
    const steps = await sdk.beta.threads.runs.steps.list(done.id, { thread_id: thread, order: 'asc' })
    const [called, said] = steps.data
    assert.equal(said?.type, 'message_creation')
    assert.equal(called?.status, 'completed')
    assert.equal(called?.step_details.type, 'tool_calls')
    const outputs = called?.step_details.type === 'tool_calls' ? called.step_details.tool_calls : []
    assert.deepEqual(
      outputs.map((call) => (call.type === 'function' ? call.function.output : '')),
      ['shipped', 'lost'],
    )
    const stored = await sdk.beta.threads.runs.steps.retrieve(called?.id ?? '', {
      thread_id: thread,
      run_id: done.id,
    })
    assert.deepEqual(stored, called)
  })

  test(`submitToolOutputsStream emits the helper events to the end (SDK ${version})`, async () => {
    const { assistant, thread } = await readyToRun(server, { tools: [tool('lookup')] })
    mock.reset()
    mock.next(twoCalls, text('Both', ' found.'))
    const seen: string[] = []
    const first = sdk.beta.threads.runs.stream(thread, { assistant_id: assistant })
    first.on('toolCallCreated', (call) => seen.push(`created ${call.id}`))
    first.on('toolCallDone', (call) => {
      if (call.type === 'function') seen.push(`done ${call.id} ${call.function.arguments}`)
    })
    const asked = await first.finalRun()
    assert.equal(asked.status, 'requires_action')
    const second = sdk.beta.threads.runs.submitToolOutputsStream(asked.id, {
      thread_id: thread,
      tool_outputs: callsOf(asked).map((call) => ({ tool_call_id: call.id, output: 'x' })),
    })
    second.on('textCreated', () => seen.push('text created'))
    second.on('textDelta', (delta) => seen.push(`delta ${delta.value}`))
    second.on('textDone', (content) => seen.push(`text done ${content.value}`))
    assert.equal((await second.finalRun()).status, 'completed')
    assert.equal(textOf((await second.finalMessages())[0]), 'Both found.')
    assert.deepEqual(seen, [
      'created call_one',
      'done call_one {"id":"A-1"}',
      'created call_two',
      'done call_two {"id":"B-2"}',
      'text created',
      'delta Both',
      'delta  found.',
      'text done Both found.',
    ])
  })
}

test('several rounds of calls make one run, and its usage is the sum of its steps', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('next')] })
  mock.reset()
  const rounds = 4
  for (let i = 0; i < rounds; i++)
    mock.next(toolCalls([{ id: `call_${i}`, name: 'next', arguments: '{}' }], { text: `Round ${i}.` }))
  mock.next(text('Done.'))
  let run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  for (let i = 0; i < rounds; i++) {
    assert.equal(run.status, 'requires_action')
    run = await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
      thread_id: thread,
      tool_outputs: callsOf(run).map((call) => ({ tool_call_id: call.id, output: `output ${i}` })),
    })
  }
  assert.equal(run.status, 'completed')
  const steps = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread, order: 'asc' })).data
  assert.equal(steps.length, rounds * 2 + 1)
  const total = steps.reduce((sum, step) => sum + (step.usage?.total_tokens ?? 0), 0)
  assert.equal(run.usage?.total_tokens, total)
  const messages = await client.beta.threads.messages.list(thread, { run_id: run.id, order: 'asc' })
  assert.deepEqual(messages.data.map(textOf), ['Round 0.', 'Round 1.', 'Round 2.', 'Round 3.', 'Done.'])
  // The last request holds each round once: the sentence with its call, then the output.
  const last = mock.requests.at(-1)?.body.messages ?? []
  assert.deepEqual(
    last.map((message) => message.role),
    ['system', 'user', ...Array.from({ length: rounds }, () => ['assistant', 'tool']).flat()],
  )
})

test('a forced tool_choice holds for the first turn only', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('lookup')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'lookup', arguments: '{}' }]), text('Done.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    tool_choice: { type: 'function', function: { name: 'lookup' } },
  })
  await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '1' }],
  })
  assert.deepEqual(mock.requests[0]?.body.tool_choice, { type: 'function', function: { name: 'lookup' } })
  assert.equal(mock.requests[1]?.body.tool_choice, undefined)
})

test('only the parameters that were set are sent to the model', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    parallel_tool_calls: false,
    tool_choice: 'auto',
  })
  assert.deepEqual(Object.keys(mock.requests[0]?.body ?? {}).toSorted(), [
    'messages',
    'model',
    'stream',
    'stream_options',
  ])
  const set = { temperature: 0.2, top_p: 0.9, response_format: { type: 'json_object' as const } }
  await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant, ...set })
  const body = mock.requests[1]?.body
  assert.deepEqual(
    { temperature: body?.temperature, top_p: body?.top_p, response_format: body?.response_format },
    set,
  )
})

test('a run that waits for outputs holds no request, no task and no connection', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('lookup')] })
  mock.reset()
  mock.next(twoCalls)
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'requires_action')
  await mock.requests[0]?.ended
  assert.equal(server.app.engine.running, 0)
  const [row] = await server.db.sql<{ owner_node: string | null }>(
    'select owner_node from runs where id = $1',
    [run.id],
  )
  assert.equal(row?.owner_node, null)
})

test('of different outputs that are submitted at the same moment one is taken', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('lookup')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'lookup', arguments: '{}' }]), text('Once.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const both = await Promise.allSettled(
    ['1', '2'].map((output) => {
      const tool_outputs = [{ tool_call_id: 'call_a', output }]
      return client.beta.threads.runs.submitToolOutputs(run.id, { thread_id: thread, tool_outputs })
    }),
  )
  assert.deepEqual(both.map((result) => result.status).toSorted(), ['fulfilled', 'rejected'])
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal(mock.requests.length, 2)
})
