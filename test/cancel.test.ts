import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

const server = await startServer()
const { client, mock } = server

/** The thread takes messages again. */
async function assertUnlocked(thread: string): Promise<void> {
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'And now?' })
}

test('cancelling a run in progress closes the backend request and unlocks the thread', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const request = await mock.received(0)
  const answer = await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
  assert.equal(answer.status, 'cancelling')
  assert.equal(await request.ended, 'aborted')
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'cancelled')
  assert.ok(ended.cancelled_at)
  assert.equal(ended.expires_at, null)
  assert.equal(ended.last_error, null)
  await assertUnlocked(thread)
})

test('cancelling while text streams keeps what was said, as an incomplete message', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('One, two', gate().opened))
  const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
  await stream.emitted('textDelta')
  const run = stream.currentRun()
  await client.beta.threads.runs.cancel(run?.id ?? '', { thread_id: thread })
  assert.equal((await stream.finalRun()).status, 'cancelled')
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.equal(textOf(message), 'One, two')
  assert.equal(message?.status, 'incomplete')
  assert.deepEqual(message?.incomplete_details, { reason: 'run_cancelled' })
  const [step] = (await client.beta.threads.runs.steps.list(run?.id ?? '', { thread_id: thread })).data
  assert.equal(step?.status, 'cancelled')
  assert.ok(step?.cancelled_at)
})

test('cancelling a run that waits for outputs ends it at once', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'requires_action')
  const answer = await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
  assert.equal(answer.status, 'cancelled')
  assert.equal(answer.required_action, null)
  const [step] = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread })).data
  assert.equal(step?.status, 'cancelled')
  await assertUnlocked(thread)
})

test('cancelling a queued run that nobody owns ends it at once, and the model is never called', async () => {
  const small = await startServer({ env: { MAX_CONCURRENT_RUNS: '1' } })
  const [first, second] = [await readyToRun(small), await readyToRun(small)]
  small.mock.next(hang())
  const blocking = await small.client.beta.threads.runs.create(first.thread, {
    assistant_id: first.assistant,
  })
  await small.mock.received(0)
  const waiting = await small.client.beta.threads.runs.create(second.thread, {
    assistant_id: second.assistant,
  })
  assert.equal(waiting.status, 'queued')
  const answer = await small.client.beta.threads.runs.cancel(waiting.id, { thread_id: second.thread })
  assert.equal(answer.status, 'cancelled')
  await small.client.beta.threads.runs.cancel(blocking.id, { thread_id: first.thread })
  await small.client.beta.threads.runs.poll(blocking.id, { thread_id: first.thread })
  assert.equal(small.mock.requests.length, 1)
})

test('a run that nobody has room for is taken as soon as there is', async () => {
  const small = await startServer({ env: { MAX_CONCURRENT_RUNS: '1' } })
  const [first, second] = [await readyToRun(small), await readyToRun(small)]
  const held = gate()
  small.mock.next(text(held.opened, 'First.'), text('Second.'))
  const one = await small.client.beta.threads.runs.create(first.thread, { assistant_id: first.assistant })
  await small.mock.received(0)
  const two = await small.client.beta.threads.runs.create(second.thread, { assistant_id: second.assistant })
  held.open()
  const ended = await Promise.all([
    small.client.beta.threads.runs.poll(one.id, { thread_id: first.thread }),
    small.client.beta.threads.runs.poll(two.id, { thread_id: second.thread }),
  ])
  assert.deepEqual(
    ended.map((run) => run.status),
    ['completed', 'completed'],
  )
})

test('a cancel in the first moment of a run ends it cancelled, whatever the model says', async () => {
  for (let i = 0; i < 20; i++) {
    const { assistant, thread } = await readyToRun(server)
    mock.reset()
    const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
    const answer = await client.beta.threads.runs
      .cancel(run.id, { thread_id: thread })
      .catch((error: { message: string }) => error.message)
    const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
    // The run may have been faster than the cancel; then the cancel was refused, and nothing in between.
    if (typeof answer === 'string') {
      assert.match(answer, /Cannot cancel run with status 'completed'/)
      assert.equal(ended.status, 'completed')
    } else {
      assert.equal(ended.status, 'cancelled')
    }
    await assertUnlocked(thread)
  }
})

test('deleting a thread cancels its run and closes the backend request', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
  const request = await mock.received(0)
  await client.beta.threads.delete(thread)
  assert.equal(await request.ended, 'aborted')
  assert.equal((await stream.finalRun()).status, 'cancelled')
})
