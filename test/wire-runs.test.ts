import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// wire.md §5 "Request field": what a run shows of itself, and how its settings come about.

const server = await startServer()
const { client, mock } = server
const { assistants, threads } = client.beta

type Run = OpenAI.Beta.Threads.Run

const set: Partial<OpenAI.Beta.AssistantCreateParams> = {
  model: 'assistant-model',
  instructions: 'Be brief.',
  tools: [tool('f')],
  temperature: 0.3,
  top_p: 0.4,
  response_format: { type: 'json_object' },
  reasoning_effort: 'low',
}
/** What a run shows of the assistant above when it sets nothing itself. */
const inherited: Partial<Run> = {
  model: 'assistant-model',
  instructions: 'Be brief.',
  tools: [tool('f')],
  temperature: 0.3,
  top_p: 0.4,
  response_format: { type: 'json_object' },
}

/** The run as created on a thread of its own, after it has ended. */
async function shownBy(
  assistant: string,
  body: Partial<OpenAI.Beta.Threads.RunCreateParamsNonStreaming>,
): Promise<Run> {
  const { id } = await threads.create({ messages: [{ role: 'user', content: 'Hi.' }] })
  const run = await threads.runs.create(id, { assistant_id: assistant, ...body })
  const ended = await threads.runs.poll(run.id, { thread_id: id })
  assert.equal(ended.status, 'completed')
  return ended
}

function assertShows(run: Run, expected: Partial<Run>): void {
  for (const [key, value] of Object.entries(expected)) assert.deepEqual(run[key as keyof Run], value, key)
}

test('a run of an assistant of a model alone shows the defaults, and is queued when it is created', async () => {
  const { id: assistant } = await assistants.create({ model: 'mock-model' })
  const { id: thread } = await threads.create()
  const { id, created_at, expires_at, ...rest } = await threads.runs.create(thread, {
    assistant_id: assistant,
  })
  assert.match(id, /^run_[A-Za-z0-9]{24}$/)
  assert.equal(expires_at, created_at + 600)
  assert.deepEqual(rest, {
    object: 'thread.run',
    thread_id: thread,
    assistant_id: assistant,
    status: 'queued',
    required_action: null,
    last_error: null,
    started_at: null,
    cancelled_at: null,
    failed_at: null,
    completed_at: null,
    incomplete_details: null,
    model: 'mock-model',
    instructions: '',
    tools: [],
    metadata: {},
    usage: null,
    temperature: 1,
    top_p: 1,
    max_prompt_tokens: null,
    max_completion_tokens: null,
    truncation_strategy: { type: 'auto', last_messages: null },
    tool_choice: 'auto',
    parallel_tool_calls: true,
    response_format: 'auto',
  })
  await threads.runs.poll(id, { thread_id: thread })
})

test('what a run leaves out or sets to null is the assistant’s, metadata aside', async () => {
  const { assistant } = await readyToRun(server, { ...set, metadata: { a: 'b' } })
  const nulls = {
    model: null,
    instructions: null,
    additional_instructions: null,
    additional_messages: null,
    tools: null,
    temperature: null,
    top_p: null,
    response_format: null,
    reasoning_effort: null,
    tool_choice: null,
    truncation_strategy: null,
    max_prompt_tokens: null,
    max_completion_tokens: null,
    stream: null as never,
    metadata: null,
  }
  for (const body of [{}, nulls]) assertShows(await shownBy(assistant, body), { ...inherited, metadata: {} })
  const asked = mock.requests.at(-1)?.body as { reasoning_effort?: string } | undefined
  assert.equal(asked?.reasoning_effort, 'low')
})

test('what a run sets is its own, also when it is zero or false', async () => {
  const { assistant } = await readyToRun(server, set)
  const own = {
    model: 'run-model',
    instructions: 'Be long.',
    tools: [tool('g')],
    metadata: { c: 'd' },
    temperature: 0,
    top_p: 0,
    max_prompt_tokens: 5_000,
    max_completion_tokens: 256,
    truncation_strategy: { type: 'last_messages' as const, last_messages: 3 },
    tool_choice: 'none' as const,
    parallel_tool_calls: false,
    response_format: { type: 'text' as const },
  }
  assertShows(await shownBy(assistant, { ...own, reasoning_effort: 'high' }), own)
  const body = mock.requests.at(-1)?.body as unknown as Record<string, unknown>
  assert.deepEqual([body['model'], body['temperature'], body['reasoning_effort']], ['run-model', 0, 'high'])
})

test('an empty list of tools and empty instructions are the run’s own, not the assistant’s', async () => {
  const { assistant } = await readyToRun(server, set)
  assertShows(await shownBy(assistant, { tools: [], instructions: '' }), { tools: [], instructions: '' })
  const [request] = mock.requests.slice(-1)
  assert.equal(request?.body.tools, undefined)
  assert.deepEqual(
    request?.body.messages.map(({ role }) => role),
    ['user'],
  )
})

test('additional instructions follow the run’s or the assistant’s after a blank line, and the run shows them joined', async () => {
  const { assistant } = await readyToRun(server, set)
  const { id: bare } = await assistants.create({ model: 'mock-model' })
  const additional_instructions = 'Rhyme.'
  const cases: [string, Partial<OpenAI.Beta.Threads.RunCreateParamsNonStreaming>, string][] = [
    [assistant, {}, 'Be brief.\n\nRhyme.'],
    [assistant, { instructions: 'Be long.' }, 'Be long.\n\nRhyme.'],
    [assistant, { instructions: '' }, 'Rhyme.'],
    [bare, {}, 'Rhyme.'],
    [assistant, { additional_instructions: '' }, 'Be brief.'],
  ]
  for (const [id, body, instructions] of cases) {
    assertShows(await shownBy(id, { additional_instructions, ...body }), { instructions })
    const [system] = mock.requests.at(-1)?.body.messages ?? []
    assert.deepEqual(system, { role: 'system', content: instructions })
  }
})

test('every form of tool_choice and response_format comes back as it was sent', async () => {
  const { assistant } = await readyToRun(server, { tools: [tool('f')] })
  const choices: OpenAI.Beta.AssistantToolChoiceOption[] = ['none', 'auto', 'required']
  for (const tool_choice of choices) assertShows(await shownBy(assistant, { tool_choice }), { tool_choice })
  const named = { type: 'function' as const, function: { name: 'f' } }
  assertShows(await shownBy(assistant, { tool_choice: named }), { tool_choice: named })
  const json_schema = { name: 'n', description: 'd', schema: { type: 'object' }, strict: true }
  const formats: OpenAI.Beta.AssistantResponseFormatOption[] = [
    'auto',
    { type: 'text' },
    { type: 'json_object' },
    { type: 'json_schema', json_schema },
    { type: 'json_schema', json_schema: { name: 'n', strict: null } },
  ]
  for (const response_format of formats) {
    assertShows(await shownBy(assistant, { response_format }), { response_format })
  }
})

test('a run’s settings are those of its creation, whatever becomes of its assistant', async () => {
  const { assistant, thread } = await readyToRun(server, set)
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await assistants.update(assistant, {
    model: 'other',
    instructions: 'Other.',
    tools: [],
    temperature: 2,
    top_p: 1,
  })
  assertShows(await threads.runs.retrieve(run.id, { thread_id: thread }), inherited)
  await assistants.delete(assistant)
  mock.next(text('Done.'))
  const tool_outputs = [{ tool_call_id: 'call_a', output: 'ok' }]
  const done = await threads.runs.submitToolOutputsAndPoll(run.id, { thread_id: thread, tool_outputs })
  assertShows(done, { ...inherited, status: 'completed' })
  assert.equal(mock.requests.at(-1)?.body.model, 'assistant-model')
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }), { status: 404 })
})

test('a thread is created with its run from as little as the assistant’s id', async () => {
  const { assistant } = await readyToRun(server, set)
  const run = await threads.createAndRunPoll({ assistant_id: assistant })
  assertShows(run, { ...inherited, status: 'completed' })
  const thread = await threads.retrieve(run.thread_id)
  assert.deepEqual([thread.metadata, thread.tool_resources], [{}, {}])
  const roles = (await threads.messages.list(run.thread_id)).data.map(({ role }) => role)
  assert.deepEqual(roles, ['assistant'])
})

test('a thread that is created with its run has its messages and metadata, and the run its own', async () => {
  const { assistant } = await readyToRun(server, set)
  const run = await threads.createAndRunPoll({
    assistant_id: assistant,
    instructions: 'Be long.',
    metadata: { of: 'run' },
    thread: {
      messages: [
        { role: 'user', content: 'One.' },
        { role: 'assistant', content: 'Two.' },
      ],
      metadata: { of: 'thread' },
    },
  })
  assertShows(run, { ...inherited, instructions: 'Be long.', metadata: { of: 'run' } })
  assert.deepEqual((await threads.retrieve(run.thread_id)).metadata, { of: 'thread' })
  const messages = (await threads.messages.list(run.thread_id, { order: 'asc' })).data
  assert.deepEqual(messages.slice(0, 2).map(textOf), ['One.', 'Two.'])
  assert.deepEqual(
    messages.map(({ run_id }) => run_id),
    [null, null, run.id],
  )
})

test('additional messages are in the thread before the run, in their order, with all that they carry', async () => {
  const { assistant, thread } = await readyToRun(server)
  const run = await threads.runs.createAndPoll(thread, {
    assistant_id: assistant,
    additional_messages: [
      { role: 'assistant', content: 'Earlier.', metadata: { n: '1' } },
      { role: 'user', content: [{ type: 'text', text: 'Now?' }] },
    ],
  })
  const messages = (await threads.messages.list(thread, { order: 'asc' })).data
  assert.deepEqual(
    messages.slice(1, 3).map((message) => [message.role, textOf(message), message.metadata, message.run_id]),
    [
      ['assistant', 'Earlier.', { n: '1' }, null],
      ['user', 'Now?', {}, null],
    ],
  )
  assert.equal(messages[3]?.run_id, run.id)
  const shown = mock.requests.at(-1)?.body.messages.map(({ role }) => role)
  assert.deepEqual(shown, ['system', 'user', 'assistant', 'user'])
})

test('a user’s message is complete from the start', async () => {
  const { id: thread } = await threads.create()
  const { id, created_at, ...rest } = await threads.messages.create(thread, { role: 'user', content: 'Hi.' })
  assert.match(id, /^msg_[A-Za-z0-9]{24}$/)
  assert.deepEqual(rest, {
    object: 'thread.message',
    thread_id: thread,
    status: 'completed',
    incomplete_details: null,
    completed_at: created_at,
    incomplete_at: null,
    role: 'user',
    content: [{ type: 'text', text: { value: 'Hi.', annotations: [] } }],
    assistant_id: null,
    run_id: null,
    attachments: [],
    metadata: {},
  })
})

test('a step shows every field, also those that are null', async () => {
  const { assistant, thread } = await readyToRun(server)
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const [step] = (await threads.runs.steps.list(run.id, { thread_id: thread })).data
  const [message] = (await threads.messages.list(thread)).data
  assert.ok(step)
  const { id, created_at, completed_at, expires_at, ...rest } = step as typeof step & { expires_at: number }
  assert.match(id, /^step_[A-Za-z0-9]{24}$/)
  assert.ok(completed_at !== null && completed_at >= created_at)
  assert.equal(expires_at, run.created_at + 600)
  assert.deepEqual(rest, {
    object: 'thread.run.step',
    assistant_id: assistant,
    thread_id: thread,
    run_id: run.id,
    type: 'message_creation',
    status: 'completed',
    step_details: { type: 'message_creation', message_creation: { message_id: message?.id } },
    last_error: null,
    expired_at: null,
    cancelled_at: null,
    failed_at: null,
    metadata: {},
    usage: run.usage,
  })
  assert.deepEqual(await threads.runs.steps.retrieve(id, { thread_id: thread, run_id: run.id }), step)
})

test('threads are listed until they are deleted', async () => {
  const { id } = await threads.create({ metadata: { a: 'b' } })
  const first = async () => {
    const answer = await server.fetch('/v1/threads?limit=1')
    return ((await answer.json()) as { data: OpenAI.Beta.Thread[] }).data[0]
  }
  assert.deepEqual(await first(), await threads.retrieve(id))
  await threads.delete(id)
  assert.notEqual((await first())?.id, id)
})

test('truncation by last_messages needs its number', async () => {
  const { assistant, thread } = await readyToRun(server)
  const param = 'truncation_strategy.last_messages'
  for (const truncation_strategy of [
    { type: 'last_messages' },
    { type: 'last_messages', last_messages: null },
  ] as const) {
    await assert.rejects(threads.runs.create(thread, { assistant_id: assistant, truncation_strategy }), {
      status: 400,
      message: `400 Missing required parameter: '${param}'.`,
      param,
    })
  }
})
