import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// What the model is shown of a thread.

const server = await startServer({ env: { MODEL_WINDOWS: 'tiny=1000' } })
const { client, mock } = server

/** The contents of the messages that the last request carried. */
function shown(): unknown[] {
  return (mock.requests.at(-1)?.body.messages ?? []).map((message) => message.content)
}

async function threadOf(contents: string[]): Promise<string> {
  const thread = await client.beta.threads.create({
    messages: contents.map((content, i) => ({ role: i % 2 ? 'assistant' : 'user', content })),
  })
  return thread.id
}

test('last_messages shows exactly the newest n, after the instructions', async () => {
  const { assistant } = await readyToRun(server)
  const thread = await threadOf(Array.from({ length: 7 }, (_, i) => `message ${i}`))
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    truncation_strategy: { type: 'last_messages', last_messages: 3 },
  })
  assert.deepEqual(shown(), ['Be brief.', 'message 4', 'message 5', 'message 6'])
})

test('a thread that does not fit the window loses its oldest messages, never the newest or the instructions', async () => {
  const { assistant } = await readyToRun(server, { model: 'tiny' })
  // About 100 tokens each: the window of 1,000 keeps a quarter for the answer.
  const long = (i: number) => `message ${i} `.padEnd(400, '.')
  const thread = await threadOf(Array.from({ length: 30 }, (_, i) => long(i)))
  mock.reset()
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  const contents = shown()
  assert.equal(contents[0], 'Be brief.')
  assert.equal(contents.at(-1), long(29))
  assert.ok(contents.length >= 6 && contents.length <= 9, `${contents.length} messages were shown`)
  assert.deepEqual(
    contents.slice(1),
    Array.from({ length: contents.length - 1 }, (_, i) => long(30 - contents.length + 1 + i)),
  )
})

test('a single message larger than the window is still shown', async () => {
  const { assistant } = await readyToRun(server, { model: 'tiny' })
  const thread = await threadOf(['x'.repeat(10_000)])
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.deepEqual(shown(), ['Be brief.', 'x'.repeat(10_000)])
})

test('a thread of more than one page of history is shown whole when it fits', async () => {
  const { assistant } = await readyToRun(server)
  const contents = Array.from({ length: 250 }, (_, i) => `message ${i}`)
  const thread = await threadOf(contents)
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.deepEqual(shown(), ['Be brief.', ...contents])
})

test('instructions of the run replace the assistant\u2019s, additional instructions follow after a blank line', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const run = await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    instructions: 'Be long.',
    additional_instructions: 'And kind.',
  })
  assert.equal(run.instructions, 'Be long.\n\nAnd kind.')
  assert.equal(shown()[0], 'Be long.\n\nAnd kind.')
})

test('image URLs reach the model as parts', async () => {
  const { assistant } = await readyToRun(server)
  const part = {
    type: 'image_url' as const,
    image_url: { url: 'https://example.com/cat.png', detail: 'low' as const },
  }
  const thread = await client.beta.threads.create({
    messages: [{ role: 'user', content: [{ type: 'text', text: 'What is this?' }, part] }],
  })
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant })
  assert.deepEqual(shown()[1], [{ type: 'text', text: 'What is this?' }, part])
})

test('later changes of the assistant do not reach a run that exists', async () => {
  const { assistant, thread } = await readyToRun(server)
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await client.beta.assistants.update(assistant, { instructions: 'Be rude.', model: 'other' })
  const again = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.deepEqual([again.instructions, again.model], ['Be brief.', 'mock-model'])
})

test('a run whose completion budget is spent ends incomplete before its next turn', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(
    toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }], {
      usage: { prompt_tokens: 10, completion_tokens: 300, total_tokens: 310 },
    }),
  )
  const asked = await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    max_completion_tokens: 256,
  })
  assert.equal(mock.requests[0]?.body.max_completion_tokens, 256)
  const run = await client.beta.threads.runs.submitToolOutputsAndPoll(asked.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '1' }],
  })
  assert.equal(run.status, 'incomplete')
  assert.deepEqual(run.incomplete_details, { reason: 'max_completion_tokens' })
  assert.equal(mock.requests.length, 1)
})
