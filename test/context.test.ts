import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chunks, delta, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool, uploaded } from './support/server.ts'

// What the model is shown of a thread, and what it is asked. How a thread is cut to fit: truncation.test.ts.

const server = await startServer()
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

test('later changes of the assistant do not reach a run that exists', async () => {
  const { assistant, thread } = await readyToRun(server)
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await client.beta.assistants.update(assistant, { instructions: 'Be rude.', model: 'other' })
  const again = await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.deepEqual([again.instructions, again.model], ['Be brief.', 'mock-model'])
})

test('additional messages are shown last, and belong to the thread', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    additional_messages: [
      { role: 'assistant', content: 'It is.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Why?' },
          { type: 'text', text: 'And how?' },
        ],
      },
    ],
  })
  assert.deepEqual(mock.requests[0]?.body.messages, [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Good morning?' },
    { role: 'assistant', content: 'It is.' },
    { role: 'user', content: 'Why?\nAnd how?' },
  ])
})

test('a turn is shown to the next as one message, outputs behind it, wherever its text stood', async () => {
  const call = (id: string) => ({ index: 0, id, type: 'function', function: { name: 'f', arguments: '{}' } })
  const asked = (id: string, content: string | null) => ({
    role: 'assistant',
    content,
    tool_calls: [{ id, type: 'function', function: { name: 'f', arguments: '{}' } }],
  })
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(
    chunks([delta({ content: 'Before.' }), delta({ tool_calls: [call('call_1')] }, 'tool_calls')]),
    chunks([delta({ tool_calls: [call('call_2')] }), delta({ content: 'Behind.' }), delta({}, 'tool_calls')]),
    chunks([
      delta({ content: 'Before' }),
      delta({ tool_calls: [call('call_3')] }),
      delta({ content: ' and behind.' }),
      delta({}, 'tool_calls'),
    ]),
    toolCalls([{ id: 'call_4', name: 'f', arguments: '{}' }]),
    text('Done.'),
  )
  let run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  for (let n = 1; n <= 4; n++) {
    run = await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
      thread_id: thread,
      tool_outputs: [{ tool_call_id: `call_${n}`, output: `output ${n}` }],
    })
  }
  assert.equal(run.status, 'completed')
  const output = (n: number) => ({ role: 'tool', tool_call_id: `call_${n}`, content: `output ${n}` })
  assert.deepEqual(mock.requests[4]?.body.messages.slice(2), [
    asked('call_1', 'Before.'),
    output(1),
    asked('call_2', 'Behind.'),
    output(2),
    asked('call_3', 'Before and behind.'),
    output(3),
    asked('call_4', null),
    output(4),
  ])
})

test('an answer that said nothing is not shown to the next run', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text())
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'Well?' })
  await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.deepEqual(shown(), ['Be brief.', 'Good morning?', 'Well?'])
})

test('the model is told of attached files by their ids', async () => {
  const { assistant } = await readyToRun(server)
  const [one, two] = [await uploaded(server), await uploaded(server)]
  const attach = (id: string) => ({ file_id: id, tools: [{ type: 'file_search' as const }] })
  const url = 'https://example.com/cat.png'
  const thread = await client.beta.threads.create({
    messages: [
      { role: 'user', content: 'Read these.', attachments: [attach(one), attach(two)] },
      {
        role: 'user',
        content: [{ type: 'image_url', image_url: { url } }],
        attachments: [attach(one)],
      },
    ],
  })
  mock.reset()
  const run = await client.beta.threads.runs.createAndPoll(thread.id, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.deepEqual(shown().slice(1), [
    `Read these.\n[attached file: ${one}]\n[attached file: ${two}]`,
    [
      { type: 'image_url', image_url: { url } },
      { type: 'text', text: `[attached file: ${one}]` },
    ],
  ])
  const [stored] = (await client.beta.threads.messages.list(thread.id, { order: 'asc' })).data
  assert.equal(textOf(stored), 'Read these.', 'the message itself is as it was')
})

test('tools that this server does not run are not offered to the model', async () => {
  const { assistant, thread } = await readyToRun(server, {
    tools: [{ type: 'code_interpreter' }, tool('f'), { type: 'file_search' }],
  })
  mock.reset()
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.deepEqual(mock.requests[0]?.body.tools, [tool('f')])
  const none = await client.beta.threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    tools: [{ type: 'code_interpreter' }],
    parallel_tool_calls: false,
  })
  assert.equal(none.status, 'completed')
  const body = mock.requests[1]?.body ?? {}
  assert.ok(!('tools' in body) && !('tool_choice' in body) && !('parallel_tool_calls' in body))
})
