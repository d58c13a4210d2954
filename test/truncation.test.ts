import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { status, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// How a thread is cut to what the model is shown (wire.md §5, truncation_strategy). The model called tiny takes 1,000
// tokens, of which a quarter is for the answer; the instructions cost 7, and a message of `long` costs 104.

const server = await startServer({ env: { MODEL_WINDOWS: 'tiny=1000' } })
const { client, mock } = server
const { runs } = client.beta.threads

/** A text of 100 tokens that tells which it is. */
const long = (n: number) => `message ${String.fromCharCode(65 + n)} `.padEnd(400, 'x')
const longs = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => long(from + i))

const contents = () => (mock.requests.at(-1)?.body.messages ?? []).map(({ content }) => content)

async function tiny(messages: string[], tools: OpenAI.Beta.AssistantTool[] = []) {
  const { assistant } = await readyToRun(server, { model: 'tiny', tools })
  const thread = await client.beta.threads.create({
    messages: messages.map((content, i) => ({ role: i % 2 ? 'assistant' : 'user', content })),
  })
  mock.reset()
  return { assistant_id: assistant, thread: thread.id }
}

const last = (n: number) => ({ type: 'last_messages' as const, last_messages: n })

test('last_messages shows exactly the newest n, after the instructions', async () => {
  const { assistant } = await readyToRun(server)
  const { thread } = await tiny(['a', 'b', 'c', 'd', 'e', 'f', 'g'])
  const run = { assistant_id: assistant, truncation_strategy: last(3) }
  await runs.createAndPoll(thread, run)
  assert.deepEqual(contents(), ['Be brief.', 'e', 'f', 'g'])
  await runs.createAndPoll(thread, { ...run, truncation_strategy: last(1) })
  assert.deepEqual(contents(), ['Be brief.', 'Hello from the mock.'])
  await runs.createAndPoll(thread, { ...run, truncation_strategy: last(100) })
  assert.equal(contents().length, 1 + 9, 'all that there are')
})

test('last_messages counts the additional messages of the run, and none that the run itself writes', async () => {
  const { assistant } = await readyToRun(server, { tools: [tool('f')] })
  const { thread } = await tiny(['a', 'b', 'c'])
  mock.next(toolCalls([{ id: 'call_1', name: 'f', arguments: '{}' }], { text: 'Wait.' }), text('Done.'))
  const run = await runs.createAndPoll(thread, {
    assistant_id: assistant,
    truncation_strategy: last(2),
    additional_messages: [{ role: 'user', content: 'd' }],
  })
  assert.deepEqual(contents(), ['Be brief.', 'c', 'd'])
  await runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_1', output: 'x' }],
  })
  assert.deepEqual(contents(), ['Be brief.', 'c', 'd', 'Wait.', 'x'])
})

test('auto shows the instructions and the newest messages that fit the window beside an answer', async () => {
  const { assistant_id, thread } = await tiny(longs(0, 30))
  const run = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(run.status, 'completed')
  // 750 - 7 takes seven.
  assert.deepEqual(contents(), ['Be brief.', ...longs(23, 30)])
})

test('auto leaves as much of the window as max_completion_tokens asks for, up to half', async () => {
  const { assistant_id, thread } = await tiny(longs(0, 30))
  await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 300 })
  assert.equal(contents().length, 1 + 6, '700 - 7')
  await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 5_000 })
  assert.equal(contents().length, 1 + 5, '500 - 7, the answer of before among them')
})

test('a thread in Chinese is cut before it overfills the window', async () => {
  const chinese = (n: number) => String(n).padEnd(105, '智能的实质并生产出一种')
  const { assistant_id, thread } = await tiny(Array.from({ length: 20 }, (_, n) => chinese(n)))
  await runs.createAndPoll(thread, { assistant_id })
  // 129 tokens each, where the older tokenizers count up to 160: five of them fit, and 25 letters would be one token.
  assert.deepEqual(contents(), ['Be brief.', ...[15, 16, 17, 18, 19].map(chinese)])
})

test('the order is kept where a smaller old message would still have fitted', async () => {
  const { assistant_id, thread } = await tiny(['old', 'y'.repeat(4_000), 'new'])
  await runs.createAndPoll(thread, { assistant_id })
  assert.deepEqual(contents(), ['Be brief.', 'new'])
})

test('last_messages shows its n beyond the room for an answer, and drops the oldest of them that the window cannot take', async () => {
  const { assistant_id, thread } = await tiny(longs(0, 9))
  await runs.createAndPoll(thread, { assistant_id, truncation_strategy: last(9) })
  assert.deepEqual(contents(), ['Be brief.', ...longs(0, 9)])
  const more = await tiny(longs(0, 20))
  await runs.createAndPoll(more.thread, { assistant_id, truncation_strategy: last(12) })
  assert.deepEqual(contents(), ['Be brief.', ...longs(11, 20)])
})

test('the turns of the run stay whole, each call with its output, and history gives way to them', async () => {
  const { assistant_id, thread } = await tiny(longs(0, 10), [tool('f')])
  const args = JSON.stringify({ text: 'y'.repeat(400) })
  mock.next(
    toolCalls([{ id: 'call_1', name: 'f', arguments: args }]),
    toolCalls([
      { id: 'call_2', name: 'f', arguments: args },
      { id: 'call_3', name: 'f', arguments: args },
    ]),
    text('Done.'),
  )
  let run = await runs.createAndPoll(thread, { assistant_id })
  const shownAtFirst = contents().length
  for (const calls of [['call_1'], ['call_2', 'call_3']]) {
    run = await runs.submitToolOutputsAndPoll(run.id, {
      thread_id: thread,
      tool_outputs: calls.map((id) => ({ tool_call_id: id, output: `${id} `.padEnd(400, 'z') })),
    })
  }
  assert.equal(run.status, 'completed')
  assert.equal(shownAtFirst, 1 + 6)
  const sent = mock.requests[2]?.body.messages ?? []
  assert.deepEqual(
    sent.map(({ role, content }) => (role === 'user' || role === 'assistant' ? content : role)),
    ['system', long(9), null, 'tool', null, 'tool', 'tool'],
  )
  assert.deepEqual(
    sent.flatMap((message) => (message.role === 'tool' ? [message.tool_call_id] : [])),
    ['call_1', 'call_2', 'call_3'],
  )
})

test('what is always shown is sent even if it overfills the window, and the backend decides', async () => {
  const huge = 'x'.repeat(10_000)
  const { assistant_id, thread } = await tiny(['old', huge])
  const taken = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(taken.status, 'completed')
  assert.deepEqual(contents(), ['Be brief.', huge])
  const error = { message: 'This model takes 1000 tokens at most.', code: 'context_length_exceeded' }
  const other = await tiny([huge])
  mock.next(status(400, { error }))
  const refused = await runs.createAndPoll(other.thread, { assistant_id })
  assert.equal(refused.status, 'failed')
  assert.equal(refused.last_error?.code, 'invalid_prompt')
  assert.match(refused.last_error.message, /takes 1000 tokens at most/)
})

test('an image takes the room of its detail, whatever its bytes', async () => {
  const url = `data:image/png;base64,${'A'.repeat(20_000)}`
  const image = (detail: 'low' | 'high') => ({ type: 'image_url' as const, image_url: { url, detail } })
  const { assistant } = await readyToRun(server, { model: 'tiny' })
  const thread = await client.beta.threads.create({
    messages: [
      { role: 'user', content: [image('high')] },
      { role: 'user', content: [image('low')] },
      { role: 'user', content: [image('low')] },
      { role: 'user', content: 'What are these?' },
    ],
  })
  mock.reset()
  await runs.createAndPoll(thread.id, { assistant_id: assistant })
  assert.deepEqual(contents(), ['Be brief.', [image('low')], [image('low')], 'What are these?'])
})

test('a thread without messages is run on its instructions alone', async () => {
  const { assistant_id, thread } = await tiny([])
  const run = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(run.status, 'completed')
  assert.deepEqual(mock.requests[0]?.body.messages, [{ role: 'system', content: 'Be brief.' }])
})
