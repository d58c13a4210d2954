import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { parseFrame, type Frame } from './support/contract.ts'
import { chunks, cut as broken, delta, gate, text, toolCalls } from './support/mock-model.ts'
import { allEvents, namesOf, OpenStream, postStream } from './support/run-events.ts'
import { startServer, textOf, tool } from './support/server.ts'

// The reference transcripts of test/fixtures/sse, replayed live: event names, order and payloads are equal, ids
// and times aside.

const server = await startServer({ tuning: { drainMs: 50 } })
const { mock } = server

const lookup: OpenAI.Beta.FunctionTool = {
  type: 'function',
  function: {
    name: 'lookup_order',
    description: 'Find an order',
    parameters: { type: 'object', properties: { order_id: { type: 'string' } }, required: ['order_id'] },
    strict: false,
  },
}

function transcript(name: string): Frame[] {
  const file = readFileSync(new URL(`fixtures/sse/${name}.sse`, import.meta.url), 'utf8')
  return file.split('\n\n').flatMap(parseFrame)
}

/**
 * Events with ids numbered by their first appearance and times reduced to "a time". `loose` masks what depends
 * on how a broken turn is counted and worded.
 */
function normalised(frames: Frame[], loose = false): unknown[] {
  const ids = new Map<string, string>()
  const mask = (key: string, value: unknown): unknown => {
    if (typeof value === 'number' && key.endsWith('_at')) return 'a time'
    if (loose && key === 'usage' && value !== null) return 'a usage'
    if (loose && key === 'message' && typeof value === 'string') return 'words'
    if (typeof value !== 'string' || !/^(thread|msg|run|step|asst|call)_\w{24}$/.test(value)) return value
    const kind = value.split('_')[0] ?? ''
    const count = [...ids.values()].filter((id) => id.startsWith(kind)).length
    if (!ids.has(value)) ids.set(value, `${kind} ${count + 1}`)
    return ids.get(value)
  }
  return frames.map(({ event, data }) => ({
    event,
    data: data === '[DONE]' ? data : JSON.parse(data, mask),
  }))
}

async function begin(tools: OpenAI.Beta.AssistantTool[] = []) {
  const { client } = server
  const [assistant, thread] = await Promise.all([
    client.beta.assistants.create({ model: 'local-model', instructions: 'Be brief.', tools }),
    client.beta.threads.create({ messages: [{ role: 'user', content: 'Good morning?' }] }),
  ])
  return { assistant_id: assistant.id, thread: thread.id, path: `/v1/threads/${thread.id}/runs` }
}

const used = (prompt_tokens: number, completion_tokens: number) => ({
  prompt_tokens,
  completion_tokens,
  total_tokens: prompt_tokens + completion_tokens,
})

test('a plain answer streams as transcript i', async () => {
  const { assistant_id, path } = await begin()
  mock.next(text('Good', ' morning', '.', { usage: used(20, 4) }))
  const frames = await server.events(path, { assistant_id })
  assert.deepEqual(normalised(frames), normalised(transcript('i-plain-text')))
})

test('tool calls stream as transcript ii-a, and their outputs as ii-b', async () => {
  const { assistant_id, path } = await begin([lookup])
  mock.next(
    chunks(
      [
        delta({
          tool_calls: [
            {
              index: 0,
              id: 'call_111111111111111111111111',
              type: 'function',
              function: { name: 'lookup_order', arguments: '' },
            },
          ],
        }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '{"order_id":' } }] }),
        delta({ tool_calls: [{ index: 0, function: { arguments: '"A-1"}' } }] }),
        delta({
          tool_calls: [
            {
              index: 1,
              id: 'call_222222222222222222222222',
              type: 'function',
              function: { name: 'lookup_order', arguments: '' },
            },
          ],
        }),
        delta({ tool_calls: [{ index: 1, function: { arguments: '{"order_id":"B-2"}' } }] }),
      ],
      { finish: 'tool_calls', usage: used(40, 30) },
    ),
  )
  const asked = await server.events(path, { assistant_id })
  assert.deepEqual(normalised(asked), normalised(transcript('ii-a-tools-until-requires-action')))

  mock.next(text('A-1 shipped,', ' B-2 is lost.', { usage: used(90, 9) }))
  const run = JSON.parse(asked.at(-2)?.data ?? '') as { id: string }
  const answered = await server.events(`${path}/${run.id}/submit_tool_outputs`, {
    tool_outputs: [
      { tool_call_id: 'call_111111111111111111111111', output: 'shipped' },
      { tool_call_id: 'call_222222222222222222222222', output: 'lost' },
    ],
  })
  const reference = transcript('ii-b-submit-tool-outputs')
  assert.deepEqual(normalised(answered, true), normalised(reference, true))
})

test('a backend that breaks off streams as transcript iii', async () => {
  const { assistant_id, path } = await begin()
  mock.next(broken('Par'))
  const frames = await server.events(path, { assistant_id })
  assert.deepEqual(normalised(frames, true), normalised(transcript('iii-failed'), true))
})

test('a cancel while text streams ends as transcript iv', async () => {
  const { assistant_id, thread, path } = await begin()
  mock.next(text('One, two', new Promise(() => {})))
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id, stream: true }),
  })
  let seen = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const before = seen
    seen += chunk
    if (!before.includes('One, two') && seen.includes('One, two')) {
      const run = /run_\w{24}/.exec(seen)?.[0] ?? ''
      await server.client.beta.threads.runs.cancel(run, { thread_id: thread })
    }
  }
  const frames = seen.split('\n\n').flatMap(parseFrame)
  assert.deepEqual(normalised(frames, true), normalised(transcript('iv-cancelled'), true))
})

test('an answer cut by its length streams as transcript v', async () => {
  const { assistant_id, path } = await begin()
  mock.next(text('Long', { finish: 'length', usage: used(20, 256) }))
  const frames = await server.events(path, { assistant_id, max_completion_tokens: 256 })
  assert.deepEqual(normalised(frames), normalised(transcript('v-incomplete')))
})

test('create thread and run streams as transcript vii', async () => {
  const { assistant_id } = await begin()
  const reference = transcript('vii-thread-and-run')
  const said = reference.flatMap(({ event, data }) =>
    event === 'thread.message.delta'
      ? [
          (JSON.parse(data) as { delta: { content: [{ text: { value: string } }] } }).delta.content[0].text
            .value,
        ]
      : [],
  )
  mock.next(text(...said, { usage: used(20, 4) }))
  const thread = { messages: [{ role: 'user', content: 'Good morning?' }] }
  const frames = await server.events('/v1/threads/runs', { assistant_id, thread })
  assert.deepEqual(normalised(frames, true), normalised(reference, true))
})

test('a model that says a sentence and then calls a tool closes its message first', async () => {
  const { assistant_id, path, thread } = await begin([tool('f')])
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }], { text: 'Let me look.' }))
  const frames = await server.events(path, { assistant_id })
  const names = frames.map(({ event }) => event).filter((name) => !name.endsWith('.delta'))
  assert.deepEqual(names.slice(3), [
    'thread.run.step.created',
    'thread.run.step.in_progress',
    'thread.message.created',
    'thread.message.in_progress',
    'thread.message.completed',
    'thread.run.step.completed',
    'thread.run.step.created',
    'thread.run.step.in_progress',
    'thread.run.requires_action',
    'done',
  ])
  const steps = await server.client.beta.threads.runs.steps.list(
    /run_\w{24}/.exec(frames[0]?.data ?? '')?.[0] ?? '',
    { thread_id: thread, order: 'asc' },
  )
  assert.deepEqual(
    steps.data.map((step) => [step.type, step.status]),
    [
      ['message_creation', 'completed'],
      ['tool_calls', 'in_progress'],
    ],
  )
})

test('the headers and the first events arrive before the model has said anything', async () => {
  const { assistant_id, path } = await begin()
  const held = gate()
  mock.next(text(held.opened, 'late'))
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id, stream: true }),
  })
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
  assert.match(response.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
  let seen = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    seen += chunk
    if (seen.includes('thread.run.in_progress')) held.open()
  }
  assert.match(seen, /event: done\ndata: \[DONE\]\n\n$/)
})

test('a client that leaves does not stop its run', async () => {
  const { assistant_id, path, thread } = await begin()
  const held = gate()
  mock.next(text('Good', held.opened, ' morning.'))
  const leave = new AbortController()
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id, stream: true }),
    signal: leave.signal,
  })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let seen = ''
  while (!seen.includes('"Good"')) seen += (await reader?.read())?.value ?? ''
  leave.abort()
  held.open()
  const [run] = (await server.client.beta.threads.runs.list(thread)).data
  const ended = await server.client.beta.threads.runs.poll(run?.id ?? '', { thread_id: thread })
  assert.equal(ended.status, 'completed')
  const messages = await server.client.beta.threads.messages.list(thread)
  assert.equal(textOf(messages.data[0]), 'Good morning.')
})

test('a server that stops under a stream breaks it off, and the stream can be rejoined after the restart', async () => {
  const { assistant_id, path, thread } = await begin()
  mock.next(text('Half an', gate().opened))
  const stream = new OpenStream(await postStream(server, path, { assistant_id }))
  const seen = await stream.until('Half an')
  mock.next(text('Back again.'))
  await server.restart()
  const cut = await stream.rest()
  assert.ok(!stream.text.includes('event: done') && !stream.text.includes('event: error'))
  const run = /run_\w{24}/.exec(stream.text)?.[0] ?? ''
  const rest = await allEvents(server, { thread, run }, cut.at(-1)?.id)
  assert.deepEqual(cut.slice(0, seen.length), seen)
  assert.deepEqual([...cut, ...rest], await allEvents(server, { thread, run }))
  const names = namesOf([...cut, ...rest].slice(seen.length))
  assert.deepEqual(names.slice(0, 3), ['message.incomplete', 'run.step.failed', 'run.queued'])
  assert.equal(names.at(-1), 'run.completed')
  const messages = await server.client.beta.threads.messages.list(thread)
  assert.equal(textOf(messages.data[0]), 'Back again.')
})

test('a stream whose run is gone without a word says so as transcript vi', async () => {
  const { assistant_id, path, thread } = await begin()
  mock.next(text(new Promise(() => {})))
  const stream = new OpenStream(await postStream(server, path, { assistant_id }))
  await stream.until('thread.run.in_progress')
  for (const table of ['run_events', 'runs'])
    await server.db.sql(`delete from ${table} where thread_id = $1`, [thread])
  await stream.toEnd()
  const seen = stream.text.split('\n\n').flatMap(parseFrame)
  assert.deepEqual(normalised(seen, true), normalised(transcript('vi-stream-error'), true))
})
