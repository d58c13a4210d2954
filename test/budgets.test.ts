import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { chunks, delta, text, toolCalls, type Answer } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// max_prompt_tokens and max_completion_tokens hold over all turns of a run (wire.md §5), and usage adds up. The
// instructions cost 7 tokens by estimate, a message of `long` 104, and the tool `f` 32.

const server = await startServer()
const { client, mock } = server
const { runs } = client.beta.threads

type Run = OpenAI.Beta.Threads.Run

/** A text of 100 tokens that tells which it is. */
const long = (n: number) => `message ${String.fromCharCode(65 + n)} `.padEnd(400, 'x')
const longs = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => long(from + i))
const contents = () => (mock.requests.at(-1)?.body.messages ?? []).map(({ content }) => content)
const used = (prompt: number, completion: number) => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
})
const call = (n: number, usage: object | null): Answer =>
  toolCalls([{ id: `call_${n}`, name: 'f', arguments: '{}' }], { usage })

async function threadOf(messages: string[], tools: OpenAI.Beta.AssistantTool[] = []) {
  const { assistant } = await readyToRun(server, { tools })
  const thread = await client.beta.threads.create({
    messages: messages.map((content) => ({ role: 'user', content })),
  })
  mock.reset()
  return { assistant_id: assistant, thread: thread.id }
}

const outputsFor = (run: Run, output = 'x') => ({
  thread_id: run.thread_id,
  tool_outputs: (run.required_action?.submit_tool_outputs.tool_calls ?? []).map(({ id }) => ({
    tool_call_id: id,
    output,
  })),
})
const submit = (run: Run) => runs.submitToolOutputsAndPoll(run.id, outputsFor(run))

/** Fails unless the run's usage is the sum of its steps'. Answers the steps in order. */
async function stepsOf(run: Run): Promise<OpenAI.Beta.Threads.Runs.RunStep[]> {
  const { data } = await runs.steps.list(run.id, { thread_id: run.thread_id, order: 'asc' })
  const sum = used(0, 0)
  for (const { usage } of data) {
    assert.ok(usage)
    sum.prompt_tokens += usage.prompt_tokens
    sum.completion_tokens += usage.completion_tokens
    sum.total_tokens += usage.total_tokens
  }
  assert.deepEqual(run.usage, sum)
  return data
}

test('max_prompt_tokens cuts the thread to what fits, the newest messages first', async () => {
  const { assistant_id, thread } = await threadOf(longs(0, 10))
  const run = await runs.createAndPoll(thread, { assistant_id, max_prompt_tokens: 320 })
  assert.equal(run.status, 'completed')
  // 320 - 7 takes three.
  assert.deepEqual(contents(), ['Be brief.', ...longs(7, 10)])
  await runs.createAndPoll(thread, {
    assistant_id,
    max_prompt_tokens: 320,
    truncation_strategy: { type: 'last_messages', last_messages: 2 },
  })
  assert.deepEqual(contents(), ['Be brief.', long(9), 'Hello from the mock.'], 'both limits hold')
})

test('what earlier turns have read is taken off max_prompt_tokens, and old messages make room', async () => {
  const { assistant_id, thread } = await threadOf(longs(0, 10), [tool('f')])
  mock.next(call(1, used(450, 10)), call(2, used(200, 10)), text('Done.', { usage: used(170, 10) }))
  const first = await runs.createAndPoll(thread, { assistant_id, max_prompt_tokens: 900 })
  assert.equal(contents().length, 1 + 8, '900 - 39')
  const second = await submit(first)
  assert.deepEqual(contents().slice(0, -2), ['Be brief.', ...longs(7, 10)], '450 - 54')
  const done = await submit(second)
  assert.equal(done.status, 'completed')
  assert.deepEqual(contents().slice(0, -4), ['Be brief.', long(9)], '250 - 69')
  assert.deepEqual(done.usage, used(820, 30))
  await stepsOf(done)
})

test('a turn whose prompt cannot be cut to max_prompt_tokens does not begin: the run is incomplete', async () => {
  const { assistant_id, thread } = await threadOf(longs(0, 10), [tool('f')])
  mock.next(call(1, used(300, 10)))
  const first = await runs.createAndPoll(thread, { assistant_id, max_prompt_tokens: 400 })
  assert.equal(first.status, 'requires_action')
  const run = await submit(first)
  assert.equal(run.status, 'incomplete')
  assert.deepEqual(run.incomplete_details, { reason: 'max_prompt_tokens' })
  assert.equal(run.last_error, null)
  assert.equal(mock.requests.length, 1, 'the model was not called again')
  assert.deepEqual(run.usage, used(300, 10))
  const steps = await stepsOf(run)
  assert.deepEqual(
    steps.map(({ type, status }) => [type, status]),
    [['tool_calls', 'completed']],
  )
  assert.deepEqual((await client.beta.threads.messages.list(thread, { run_id: run.id })).data, [])
  // The thread is free.
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'Again.' })
})

test('a first turn over max_prompt_tokens ends the run before the model is called', async () => {
  const { assistant_id, thread } = await threadOf(['short', 'y'.repeat(1_200)])
  const frames = await server.events(`/v1/threads/${thread}/runs`, { assistant_id, max_prompt_tokens: 300 })
  assert.deepEqual(
    frames.map(({ event }) => event),
    ['created', 'queued', 'in_progress', 'incomplete'].map((name) => `thread.run.${name}`).concat('done'),
  )
  const run = JSON.parse(frames.at(-2)?.data ?? '') as Run
  assert.deepEqual(run.incomplete_details, { reason: 'max_prompt_tokens' })
  assert.deepEqual(run.usage, used(0, 0))
  assert.equal(mock.requests.length, 0)
  const exact = await runs.createAndPoll(thread, { assistant_id, max_prompt_tokens: 311 })
  assert.equal(exact.status, 'completed', 'the last token may be spent')
})

test('an answer that took more than max_prompt_tokens is not taken back', async () => {
  const { assistant_id, thread } = await threadOf(['short'])
  mock.next(text('Dear.', { usage: used(5_000, 10) }))
  const run = await runs.createAndPoll(thread, { assistant_id, max_prompt_tokens: 256 })
  assert.equal(run.status, 'completed')
  assert.deepEqual(run.usage, used(5_000, 10))
})

test('the model is told what is left of max_completion_tokens, turn by turn', async () => {
  const { assistant_id, thread } = await threadOf(['short'], [tool('f')])
  mock.next(call(1, used(10, 100)), call(2, used(10, 199)), text('Yes', { usage: used(10, 1) }))
  const first = await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 300 })
  const done = await submit(await submit(first))
  assert.deepEqual(
    mock.requests.map(({ body }) => body.max_completion_tokens),
    [300, 200, 1],
  )
  assert.equal(done.status, 'completed', 'the last token may be spent')
  assert.deepEqual(done.usage, used(30, 300))
})

for (const [title, spent] of [
  ['exactly spent', 256],
  ['overspent', 300],
] as const) {
  test(`a run whose max_completion_tokens are ${title} ends incomplete before its next turn`, async () => {
    const { assistant_id, thread } = await threadOf(['short'], [tool('f')])
    mock.next(call(1, used(10, spent)))
    const asked = await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 256 })
    assert.equal(asked.status, 'requires_action', 'calls that were made are asked for')
    const path = `/v1/threads/${thread}/runs/${asked.id}/submit_tool_outputs`
    const frames = await server.events(path, { tool_outputs: outputsFor(asked).tool_outputs })
    assert.deepEqual(
      frames.map(({ event }) => event),
      ['step.completed', 'queued', 'in_progress', 'incomplete']
        .map((name) => `thread.run.${name}`)
        .concat('done'),
    )
    const run = await runs.retrieve(asked.id, { thread_id: thread })
    assert.equal(run.status, 'incomplete')
    assert.deepEqual(run.incomplete_details, { reason: 'max_completion_tokens' })
    assert.equal(mock.requests.length, 1)
    await stepsOf(run)
  })
}

test('an answer cut by its length in a later turn ends the run, its message and its step as told', async () => {
  const { assistant_id, thread } = await threadOf(['short'], [tool('f')])
  mock.next(call(1, used(10, 100)), text('As long as', { finish: 'length', usage: used(20, 200) }))
  const first = await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 300 })
  const run = await submit(first)
  assert.equal(run.status, 'incomplete')
  assert.deepEqual(run.incomplete_details, { reason: 'max_completion_tokens' })
  const [message] = (await client.beta.threads.messages.list(thread, { run_id: run.id })).data
  assert.equal(message?.status, 'incomplete')
  assert.deepEqual(message.incomplete_details, { reason: 'max_tokens' })
  assert.equal(textOf(message), 'As long as')
  const steps = await stepsOf(run)
  assert.deepEqual(
    steps.map(({ status, usage }) => [status, usage]),
    [
      ['completed', used(10, 100)],
      ['completed', used(20, 200)],
    ],
  )
})

test('an answer cut by the length of the model itself is incomplete for max_completion_tokens too', async () => {
  const { assistant_id, thread } = await threadOf(['short'])
  mock.next(text('As long as', { finish: 'length' }))
  const run = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(run.status, 'incomplete')
  assert.equal(run.max_completion_tokens, null)
  assert.deepEqual(run.incomplete_details, { reason: 'max_completion_tokens' })
  assert.ok(!('max_completion_tokens' in (mock.requests[0]?.body ?? {})))
})

test('an answer cut before it said anything has an empty message, whose step tells what it cost', async () => {
  const { assistant_id, thread } = await threadOf(['short'])
  // What models do that think first.
  mock.next(chunks([delta({ reasoning_content: 'Hm.' }), delta({}, 'length')], { usage: used(10, 256) }))
  const frames = await server.events(`/v1/threads/${thread}/runs`, {
    assistant_id,
    max_completion_tokens: 256,
  })
  assert.deepEqual(frames.map(({ event }) => event).slice(3), [
    'thread.run.step.created',
    'thread.run.step.in_progress',
    'thread.message.created',
    'thread.message.in_progress',
    'thread.message.incomplete',
    'thread.run.step.completed',
    'thread.run.incomplete',
    'done',
  ])
  const run = JSON.parse(frames.at(-2)?.data ?? '') as Run
  assert.deepEqual(run.usage, used(10, 256))
  assert.equal((await stepsOf(run)).length, 1)
})

test('calls that were cut by length are not asked for', async () => {
  const { assistant_id, thread } = await threadOf(['short'], [tool('f')])
  mock.next(toolCalls([{ id: 'call_1', name: 'f', arguments: '{"city":"Ro' }], { finish: 'length' }))
  const run = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(run.status, 'incomplete')
  assert.equal(run.required_action, null)
  const [step] = await stepsOf(run)
  assert.equal(step?.status, 'completed')
  assert.deepEqual(step.step_details, {
    type: 'tool_calls',
    tool_calls: [
      { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"city":"Ro', output: null } },
    ],
  })
})

test('usage that a backend does not report is estimated, summed up and held against the budgets', async () => {
  const { assistant_id, thread } = await threadOf([long(0)], [tool('f')])
  const args = JSON.stringify({ text: 'y'.repeat(800) })
  const calls = [1, 2].map((n) => ({ id: `call_${n}`, name: 'f', arguments: args }))
  mock.next(toolCalls(calls, { text: 'Let me look.', usage: null }))
  const asked = await runs.createAndPoll(thread, { assistant_id, max_completion_tokens: 400 })
  const run = await submit(asked)
  assert.equal(run.status, 'incomplete')
  const { prompt_tokens, completion_tokens } = run.usage ?? used(0, 0)
  assert.equal(prompt_tokens, 7 + 104 + 32)
  assert.ok(completion_tokens >= 400 && completion_tokens < 450, `${completion_tokens}`)
  assert.equal((await stepsOf(run)).length, 2)
})

test('a run with text, parallel calls and several rounds tells its usage once a turn', async () => {
  const { assistant_id, thread } = await threadOf(['short'], [tool('f')])
  const calls = (n: number) => [1, 2].map((m) => ({ id: `call_${n}${m}`, name: 'f', arguments: '{}' }))
  mock.next(
    toolCalls(calls(1), { text: 'First.', usage: used(11, 2) }),
    toolCalls(calls(2), { usage: used(31, 3) }),
    text('Done.', { usage: used(71, 5) }),
  )
  const first = await runs.createAndPoll(thread, { assistant_id })
  assert.equal(first.usage, null, 'until the run has ended')
  const done = await submit(await submit(first))
  assert.deepEqual(done.usage, used(113, 10))
  const steps = await stepsOf(done)
  assert.deepEqual(
    steps.map(({ type, usage }) => [type, usage?.total_tokens]),
    [
      ['message_creation', 0],
      ['tool_calls', 13],
      ['tool_calls', 34],
      ['message_creation', 76],
    ],
  )
})
