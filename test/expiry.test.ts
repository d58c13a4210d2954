import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// The database's clock is moved; nothing waits ten minutes.

const server = await startServer()
const { client, mock, db } = server

test('a run that waits for outputs expires after 600 s, its step with it, and the thread is free', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.expires_at, run.created_at + 600)
  await db.advanceClock(590)
  await server.app.engine.sweep()
  assert.equal(
    (await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })).status,
    'requires_action',
  )
  await db.advanceClock(11)
  await server.app.engine.sweep()
  const expired = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.equal(expired.status, 'expired')
  assert.equal(expired.expires_at, null)
  assert.equal(expired.required_action, null)
  assert.equal(expired.last_error, null)
  const [step] = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread })).data
  assert.equal(step?.status, 'expired')
  assert.ok(step?.expired_at)
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'Still there?' })
  await assert.rejects(
    client.beta.threads.runs.submitToolOutputs(run.id, { thread_id: thread, tool_outputs: [] }),
    /Runs in status "expired" do not accept tool outputs\./,
  )
})

test('submitted outputs restart the deadline', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(
    toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]),
    toolCalls([{ id: 'call_b', name: 'f', arguments: '{}' }]),
  )
  const first = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await db.advanceClock(400)
  await server.app.engine.sweep()
  const second = await client.beta.threads.runs.submitToolOutputsAndPoll(first.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '' }],
  })
  assert.ok((second.expires_at ?? 0) >= (first.expires_at ?? 0) + 400)
  await db.advanceClock(400)
  await server.app.engine.sweep()
  const waiting = await client.beta.threads.runs.retrieve(first.id, { thread_id: thread })
  assert.equal(waiting.status, 'requires_action')
  await client.beta.threads.runs.cancel(first.id, { thread_id: thread })
})

test('a run in progress expires with what it had said, and its backend request is closed', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('So far', gate().opened))
  const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
  await stream.emitted('textDelta')
  await db.advanceClock(601)
  await server.app.engine.sweep()
  const run = await stream.finalRun()
  assert.equal(run.status, 'expired')
  assert.equal(await mock.requests[0]?.ended, 'aborted')
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.equal(textOf(message), 'So far')
  assert.deepEqual(message?.incomplete_details, { reason: 'run_expired' })
})

test('a queued run that nobody takes expires too', async () => {
  const small = await startServer({ env: { MAX_CONCURRENT_RUNS: '1', RUN_EXPIRES_AFTER: '30' } })
  const [first, second] = [await readyToRun(small), await readyToRun(small)]
  small.mock.next(hang())
  await small.client.beta.threads.runs.create(first.thread, { assistant_id: first.assistant })
  await small.mock.received(0)
  const waiting = await small.client.beta.threads.runs.create(second.thread, {
    assistant_id: second.assistant,
  })
  assert.equal(waiting.expires_at, waiting.created_at + 30)
  await small.db.advanceClock(31)
  await small.app.engine.sweep()
  const expired = await small.client.beta.threads.runs.poll(waiting.id, { thread_id: second.thread })
  assert.equal(expired.status, 'expired')
  assert.equal(expired.started_at, null)
})

test('an answer that comes after the run has expired changes nothing', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  const held = gate()
  mock.next(text('Late', held.opened))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  await db.advanceClock(601)
  await server.app.engine.sweep()
  held.open()
  const expired = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(expired.status, 'expired')
  await server.app.engine.sweep()
  const again = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.deepEqual(again, expired)
})
