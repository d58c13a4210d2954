import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { createLog } from '../src/log.ts'
import { text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool, uploaded } from './support/server.ts'

// file_search and code_interpreter, which the hosted service ran by itself and this server does not: apps that merely
// list them live, and are told; what cannot do without them is refused at once.

const logged: Record<string, unknown>[] = []
const log = createLog('info', (line) => {
  logged.push(JSON.parse(line) as Record<string, unknown>)
  return true
})
const server = await startServer({ log })
const { client, mock } = server
const { threads, assistants } = client.beta

const both = [{ type: 'code_interpreter' }, { type: 'file_search' }] as const
const header = 'x-tools-not-run'

/** A run goes through, and its answer names the tools that it went without. */
async function runsWithout(
  create: Promise<{ data: OpenAI.Beta.Threads.Run; response: Response }>,
  tools: string | null,
): Promise<void> {
  const { data: run, response } = await create
  assert.equal(response.headers.get(header), tools)
  const ended = await threads.runs.poll(run.id, { thread_id: run.thread_id })
  assert.equal(ended.status, 'completed')
  const entries = logged.filter((entry) => entry['run'] === run.id && 'tools' in entry)
  assert.deepEqual(
    entries.map((entry) => entry['tools']),
    tools === null ? [] : [tools],
  )
}

async function refused(create: () => Promise<unknown>, message: string): Promise<void> {
  const before = await server.db.sql('select (select count(*) from threads), (select count(*) from runs)')
  const error = { message, type: 'invalid_request_error', param: null, code: null }
  await assert.rejects(create(), { status: 400, error })
  const after = await server.db.sql('select (select count(*) from threads), (select count(*) from runs)')
  assert.deepEqual(after, before, 'nothing was written')
}

const notRun = (name: string, why: string) => `This server does not run the tool '${name}' ${why}.`
const demanded = 'that tool_choice demands'
const attachedHere = 'for which a message has a file attached'
const attachedThere = 'for which a message of the thread has a file attached'

test('an assistant that lists hosted tools runs without them, and answer and log say so', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [...both] })
  mock.next(text('Without.'))
  await runsWithout(
    threads.runs.create(thread, { assistant_id: assistant }).withResponse(),
    'code_interpreter, file_search',
  )
  const [request] = mock.requests.slice(-1)
  assert.equal(request?.body.tools, undefined, 'the model is not shown tools that nobody runs')
  const [message] = (await threads.messages.list(thread)).data
  assert.equal(textOf(message), 'Without.')
})

test('the run still shows the hosted tools that it lists, and its functions work beside them', async () => {
  const tools = [tool('f'), both[1]]
  const { assistant, thread } = await readyToRun(server, { tools })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const { data: created, response } = await threads.runs
    .create(thread, { assistant_id: assistant })
    .withResponse()
  assert.equal(response.headers.get(header), 'file_search')
  assert.deepEqual(created.tools, tools)
  const run = await threads.runs.poll(created.id, { thread_id: thread })
  assert.equal(run.status, 'requires_action')
  mock.next(text('Done.'))
  const done = await threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: 'ok' }],
  })
  assert.equal(done.status, 'completed')
  assert.deepEqual(mock.requests.at(-1)?.body.tools, [tool('f')])
})

test('a run that replaces the hosted tools by others, or by none, goes without a word', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [...both] })
  for (const tools of [[], [tool('f')]]) {
    await runsWithout(threads.runs.create(thread, { assistant_id: assistant, tools }).withResponse(), null)
  }
})

test('streams name the tools that they go without', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [both[0]] })
  const run = await threads.runs.create(thread, { assistant_id: assistant, stream: true }).withResponse()
  assert.equal(run.response.headers.get(header), 'code_interpreter')
  for await (const event of run.data) if (event.event === 'thread.run.completed') mock.reset()
  const body = { assistant_id: assistant, stream: true as const }
  const whole = await threads.createAndRun(body).withResponse()
  assert.equal(whole.response.headers.get(header), 'code_interpreter')
  const events: string[] = []
  for await (const { event } of whole.data) events.push(event)
  assert.deepEqual([events[0], events.at(-1)], ['thread.created', 'thread.run.completed'])
})

test('a run that is refused for another reason says and logs nothing of tools', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [...both, tool('f')] })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const lines = logged.length
  const answer = await server.fetch(`/v1/threads/${thread}/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id: assistant }),
  })
  assert.deepEqual([answer.status, answer.headers.get(header)], [400, null])
  assert.deepEqual(logged.slice(lines), [])
  await threads.runs.cancel(run.id, { thread_id: thread })
})

test('a tool_choice that demands a hosted tool is refused, also when the run is created with its thread', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [...both, tool('f')] })
  for (const { type } of both) {
    const body = { assistant_id: assistant, tool_choice: { type } }
    await refused(() => threads.runs.create(thread, body), notRun(type, demanded))
    await refused(() => threads.createAndRun(body), notRun(type, demanded))
  }
  const required = { assistant_id: assistant, tools: [...both], tool_choice: 'required' as const }
  const message = notRun("code_interpreter' and 'file_search", "and tool_choice 'required' leaves no other")
  await refused(() => threads.runs.create(thread, required), message)
  // With a function among them there is something to call.
  mock.next(text('Fine.'))
  await runsWithout(
    threads.runs.create(thread, { assistant_id: assistant, tool_choice: 'required' }).withResponse(),
    'code_interpreter, file_search',
  )
})

test('tool_choice required for a run without tools is refused', async () => {
  const { assistant, thread } = await readyToRun(server)
  await refused(
    () => threads.runs.create(thread, { assistant_id: assistant, tool_choice: 'required' }),
    "tool_choice is 'required', and the run has no tools.",
  )
})

test('a file attached for a hosted tool that the run lists is refused, wherever its message comes from', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [both[1]] })
  const attachments = [{ file_id: await uploaded(server), tools: [{ type: 'file_search' as const }] }]
  const message = { role: 'user' as const, content: 'Read it.', attachments }
  const here = notRun('file_search', attachedHere)
  await refused(
    () => threads.runs.create(thread, { assistant_id: assistant, additional_messages: [message] }),
    here,
  )
  await refused(
    () => threads.createAndRun({ assistant_id: assistant, thread: { messages: [message] } }),
    here,
  )
  const { id } = await threads.messages.create(thread, message)
  const there = notRun('file_search', attachedThere)
  await refused(() => threads.runs.create(thread, { assistant_id: assistant }), there)
  // The attachment asks for nothing of a run without the tool, nor when its message has gone.
  await runsWithout(threads.runs.create(thread, { assistant_id: assistant, tools: [] }).withResponse(), null)
  await threads.messages.delete(id, { thread_id: thread })
  await runsWithout(threads.runs.create(thread, { assistant_id: assistant }).withResponse(), 'file_search')
})

test('a file attached for a hosted tool that the run does not list is carried along', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [both[0]] })
  const attachments = [{ file_id: await uploaded(server), tools: [{ type: 'file_search' as const }] }]
  await threads.messages.create(thread, { role: 'user', content: 'Read it.', attachments })
  await runsWithout(
    threads.runs.create(thread, { assistant_id: assistant }).withResponse(),
    'code_interpreter',
  )
})

test('ids of vector stores are kept and shown, and a store that is asked for is not made, which the answer says', async () => {
  const stored = { file_search: { vector_store_ids: ['vs_abc'] } }
  const kept = await assistants.create({ model: 'mock-model', tools: [both[1]], tool_resources: stored })
  assert.deepEqual((await assistants.retrieve(kept.id)).tool_resources, stored)
  const file_ids = [await uploaded(server)]
  const asked = { code_interpreter: { file_ids }, file_search: { vector_stores: [{ file_ids }] } }
  const shown = { code_interpreter: { file_ids }, file_search: { vector_store_ids: [] } }
  const lines = logged.length
  const assistant = await assistants
    .create({ model: 'mock-model', tools: [both[1]], tool_resources: asked })
    .withResponse()
  const thread = await threads.create({ tool_resources: asked }).withResponse()
  for (const { data, response } of [assistant, thread]) {
    assert.deepEqual(data.tool_resources, shown)
    assert.equal(response.headers.get(header), 'file_search')
  }
  assert.equal(logged.length - lines, 2)
  assert.deepEqual(await assistants.retrieve(assistant.data.id), assistant.data)
  assert.deepEqual(await threads.retrieve(thread.data.id), thread.data)
  const run = { assistant_id: kept.id, tools: [], thread: { tool_resources: asked } }
  await runsWithHeader(run, 'file_search')
})

async function runsWithHeader(body: OpenAI.Beta.ThreadCreateAndRunParamsNonStreaming, tools: string) {
  const { data, response } = await threads.createAndRun(body).withResponse()
  assert.equal(response.headers.get(header), tools)
  assert.equal((await threads.runs.poll(data.id, { thread_id: data.thread_id })).status, 'completed')
}

test('resources that contradict themselves are refused', async () => {
  const param = 'tool_resources.file_search'
  const file_search = { vector_store_ids: ['vs_a'], vector_stores: [{ file_ids: [] }] }
  const message = `Invalid '${param}': give either 'vector_store_ids' or 'vector_stores', not both.`
  const error = { message, type: 'invalid_request_error', param, code: 'invalid_value' }
  await assert.rejects(assistants.create({ model: 'm', tool_resources: { file_search } }), { error })
  await assert.rejects(threads.create({ tool_resources: { file_search } }), { error })
  const { assistant } = await readyToRun(server)
  const whole = threads.createAndRun({ assistant_id: assistant, thread: { tool_resources: { file_search } } })
  await assert.rejects(whole, { status: 400, param: `thread.${param}` })
  const chunking = (chunk_overlap_tokens: number) => ({
    file_search: {
      vector_stores: [
        {
          chunking_strategy: {
            type: 'static' as const,
            static: { max_chunk_size_tokens: 101, chunk_overlap_tokens },
          },
        },
      ],
    },
  })
  await threads.create({ tool_resources: chunking(50) })
  const most = 'integer above maximum value. Expected a value <= 50, but got 51 instead.'
  const at = `${param}.vector_stores[0].chunking_strategy.static.chunk_overlap_tokens`
  await assert.rejects(threads.create({ tool_resources: chunking(51) }), {
    message: `400 Invalid '${at}': ${most}`,
  })
})

test('resources beside a thread that is created with its run are the thread’s, unless it brings its own', async () => {
  const { assistant } = await readyToRun(server)
  const [mine, runs] = [await uploaded(server), await uploaded(server)]
  const shown = async (body: Partial<OpenAI.Beta.ThreadCreateAndRunParamsNonStreaming>) => {
    const run = await threads.createAndRun({ assistant_id: assistant, ...body })
    return (await threads.retrieve(run.thread_id)).tool_resources
  }
  const code = (id: string) => ({ code_interpreter: { file_ids: [id] } })
  const search = { file_search: { vector_store_ids: ['vs_a'] } }
  assert.deepEqual(await shown({ tool_resources: { ...code(runs), ...search } }), {
    ...code(runs),
    ...search,
  })
  assert.deepEqual(
    await shown({ tool_resources: code(runs), thread: { tool_resources: code(mine) } }),
    code(mine),
  )
  const merged = await shown({
    tool_resources: { ...code(runs), ...search },
    thread: { tool_resources: code(mine) },
  })
  assert.deepEqual(merged, { ...code(mine), ...search })
  assert.deepEqual(await shown({ tool_resources: null, thread: { tool_resources: null } }), {})
})

test('resources are shown with their lists, also when these were left out', async () => {
  const thread = await threads.create({ tool_resources: { code_interpreter: {}, file_search: {} } })
  const shown = { code_interpreter: { file_ids: [] }, file_search: { vector_store_ids: [] } }
  assert.deepEqual(thread.tool_resources, shown)
  assert.deepEqual((await threads.retrieve(thread.id)).tool_resources, shown)
})

test('a file that is not there is refused wherever it is named, and nothing is written', async () => {
  const id = 'file-000000000000000000000000'
  const { assistant, thread } = await readyToRun(server)
  const attached = { role: 'user' as const, content: 'x', attachments: [{ file_id: id, tools: [both[0]] }] }
  const image = { type: 'image_file' as const, image_file: { file_id: id } }
  const pictured = { role: 'user' as const, content: [image] }
  const tool_resources = { code_interpreter: { file_ids: [await uploaded(server), id] } }
  const error = {
    message: `No such File object: ${id}`,
    type: 'invalid_request_error',
    param: 'id',
    code: null,
  }
  const counts = `select (select count(*) from threads), (select count(*) from messages),
    (select count(*) from runs), (select count(*) from assistants)`
  const before = await server.db.sql(counts)
  for (const create of [
    () => assistants.create({ model: 'm', tool_resources }),
    () => assistants.update(assistant, { tool_resources }),
    () => threads.create({ tool_resources }),
    () => threads.create({ messages: [{ role: 'user', content: 'x' }, attached] }),
    () => threads.update(thread, { tool_resources }),
    () => threads.messages.create(thread, attached),
    () => threads.messages.create(thread, pictured),
    () => threads.runs.create(thread, { assistant_id: assistant, additional_messages: [pictured] }),
    () => threads.createAndRun({ assistant_id: assistant, tool_resources }),
    () => threads.createAndRun({ assistant_id: assistant, thread: { tool_resources } }),
    () => threads.createAndRun({ assistant_id: assistant, thread: { messages: [attached] } }),
  ]) {
    await assert.rejects(create(), { status: 404, error })
  }
  assert.deepEqual(await server.db.sql(counts), before)
})
