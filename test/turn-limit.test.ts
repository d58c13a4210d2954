import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// A model that asks for tools for ever.

const server = await startServer({ env: { MAX_RUN_TURNS: '3' } })
const { mock } = server
const { runs, messages } = server.client.beta.threads

test('a run that asks for tools again and again fails at MAX_RUN_TURNS, says so, and frees its thread', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  let made = 0
  mock.when(
    () => true,
    async (exchange) => toolCalls([{ id: `call_${++made}`, name: 'f', arguments: '{}' }])(exchange),
  )
  let run = await runs.createAndPoll(thread, { assistant_id: assistant })
  for (let rounds = 0; run.status === 'requires_action' && rounds < 10; rounds++) {
    const calls = run.required_action?.submit_tool_outputs.tool_calls ?? []
    const tool_outputs = calls.map(({ id }) => ({ tool_call_id: id, output: 'again' }))
    run = await runs.submitToolOutputsAndPoll(run.id, { thread_id: thread, tool_outputs })
  }
  assert.equal(run.status, 'failed')
  assert.equal(run.last_error?.code, 'rate_limit_exceeded')
  assert.match(run.last_error?.message ?? '', /3 times.*MAX_RUN_TURNS/)
  assert.equal(mock.requests.length, 3)
  // What all three cost.
  assert.equal(run.usage?.prompt_tokens, 3 * 20)
  const steps = (await runs.steps.list(run.id, { thread_id: thread, order: 'asc' })).data
  assert.deepEqual(
    steps.map(({ status }) => status),
    ['completed', 'completed', 'failed'],
  )
  mock.reset()
  await messages.create(thread, { role: 'user', content: 'And now?' })
  assert.equal((await runs.createAndPoll(thread, { assistant_id: assistant })).status, 'completed')
})

test('a run that answers in its last turn completes', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  for (const id of ['call_x', 'call_y']) mock.next(toolCalls([{ id, name: 'f', arguments: '{}' }]))
  let run = await runs.createAndPoll(thread, { assistant_id: assistant })
  for (const tool_call_id of ['call_x', 'call_y']) {
    const tool_outputs = [{ tool_call_id, output: 'done' }]
    run = await runs.submitToolOutputsAndPoll(run.id, { thread_id: thread, tool_outputs })
  }
  assert.equal(run.status, 'completed')
  assert.notEqual(textOf((await messages.list(thread)).data[0]), '')
})
