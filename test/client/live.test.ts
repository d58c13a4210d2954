import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { beforeEach, test } from 'node:test'
import OpenAiAssistantsApi, { ApiClient, type RunEvent } from '../../client/src/index.ts'
import { gate, text, toolCalls } from '../support/mock-model.ts'
import { startServer } from '../support/server.ts'

// The client against a real server: whole flows, and that its models fit what is sent.

const server = await startServer()
const client = new ApiClient(server.app.url)
const { AssistantsApi, MessagesApi, RunsApi, ThreadsApi } = OpenAiAssistantsApi
const assistants = new AssistantsApi(client)
const threads = new ThreadsApi(client)
const messages = new MessagesApi(client)
const runs = new RunsApi(client)

beforeEach(() => server.mock.reset())

const assistant = await assistants.createAssistantV1AssistantsPost({
  model: 'mock-model',
  name: 'Tester',
  instructions: 'Be brief.',
})

async function begin(content = 'Good morning?') {
  const thread = await threads.createThreadV1ThreadsPost({ messages: [content] })
  const request = new OpenAiAssistantsApi.CreateRunRequest(assistant.id, '')
  return runs.createRunV1ThreadsThreadIdRunsPost(thread.id, request)
}

test('a conversation goes through the four classes, and every answer fits its model', async () => {
  server.mock.next(text('Good morning.'))
  const { OpenAIMessage, OpenAIRun, OpenAIRunStep, OpenAIThread } = OpenAiAssistantsApi
  const created = await threads.createThreadV1ThreadsPost({ metadata: { a: 'b' } }).withResponse()
  assert.equal(created.response.headers['x-assistants-dialect'], 'memgpt')
  assert.equal(OpenAIThread.validateJSON(created.response.body), true)
  const threadId = created.data.id

  const said = await messages
    .createMessageV1ThreadsThreadIdMessagesPost(
      threadId,
      new OpenAiAssistantsApi.CreateMessageRequest('user', 'Hello?'),
    )
    .withResponse()
  assert.equal(OpenAIMessage.validateJSON(said.response.body), true)

  const request = new OpenAiAssistantsApi.CreateRunRequest(assistant.id, '')
  const started = await runs.createRunV1ThreadsThreadIdRunsPost(threadId, request).withResponse()
  assert.equal(started.data.status, 'queued')
  assert.equal(OpenAIRun.validateJSON(started.response.body), true)

  const run = await runs.waitForRun(threadId, started.data.id)
  assert.deepEqual([run.status, run.usage?.total_tokens], ['completed', 24])
  const listed = await runs.listRunsV1ThreadsThreadIdRunsGet(threadId)
  assert.deepEqual(
    listed.map(({ id }) => id),
    [run.id],
  )

  const steps = await runs.listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(threadId, run.id).withResponse()
  const [step] = steps.data
  assert.ok(step?.step_defaults instanceof OpenAiAssistantsApi.OpenAIMessageCreationStep)
  for (const each of steps.response.body as object[]) assert.equal(OpenAIRunStep.validateJSON(each), true)
  const same = await runs.retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet(threadId, run.id, step.id)
  assert.deepEqual(same, step)

  const list = await messages.listMessagesV1ThreadsThreadIdMessagesGet(threadId)
  const parts = list.messages.flatMap(({ content }) => content ?? [])
  assert.deepEqual(
    parts.map((part) => (part instanceof OpenAiAssistantsApi.Text ? part.text : part)),
    ['Hello?', 'Good morning.'],
  )
  const messageId = step.step_defaults.message_id
  assert.equal(list.messages[1]?.id, messageId)
  const answer = await messages.retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet(threadId, messageId)
  assert.deepEqual(answer, list.messages[1])
  assert.deepEqual((await threads.deleteThreadV1ThreadsThreadIdDelete(threadId)).deleted, true)
})

test('a run that calls functions gets their outputs', async () => {
  const call = { id: 'call_1', name: 'get_weather', arguments: '{"city":"Paris"}' }
  server.mock.next(toolCalls([call]), text('It is sunny.'))
  const thread = await threads.createThreadV1ThreadsPost({ messages: ['Weather?'] })
  const definition = {
    name: 'get_weather',
    arguments: '{"type":"object","properties":{"city":{"type":"string"}}}',
  }
  const { id } = await runs.createRunV1ThreadsThreadIdRunsPost(thread.id, {
    assistant_id: assistant.id,
    instructions: 'Answer.',
    tools: [{ id: 'tool_1', type: 'function', function: definition }],
  })
  const asked = await runs.waitForRun(thread.id, id)
  assert.equal(asked.status, 'requires_action')
  const [wanted] = asked.required_action?.submit_tool_outputs ?? []
  assert.deepEqual([wanted?.id, wanted?.function.arguments], ['call_1', '{"city":"Paris"}'])
  const request = new OpenAiAssistantsApi.SubmitToolOutputsToRunRequest([
    new OpenAiAssistantsApi.ToolCallOutput('call_1', 'sunny'),
  ])
  await runs.submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost(thread.id, id, request)
  assert.equal((await runs.waitForRun(thread.id, id)).status, 'completed')
  const steps = await runs.listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(thread.id, id)
  assert.ok(steps[0]?.step_defaults instanceof OpenAiAssistantsApi.OpenAIToolCallsStep)
  assert.deepEqual(
    steps.map(({ type }) => type),
    ['tool_calls', 'message_creation'],
  )
})

test('waitForRun returns when the run ends, after few polls', async () => {
  const held = gate()
  server.mock.next(text('Good', held.opened, ' morning.'))
  const { id, thread_id } = await begin()
  const watcher = new ApiClient(server.app.url)
  let polls = 0
  watcher.plugins = [() => void (polls += 1)]
  const waiting = new RunsApi(watcher).waitForRun(thread_id, id, { timeout: 20_000 })
  await server.mock.received(0)
  setTimeout(held.open, 700)
  assert.equal((await waiting).status, 'completed')
  assert.ok(polls <= 2, `${polls} polls`)
})

test('waitForRun gives up a run that does not end in time, and the run goes on', async () => {
  const held = gate()
  server.mock.next(text('Good', held.opened, ' morning.'))
  const { id, thread_id } = await begin()
  await assert.rejects(runs.waitForRun(thread_id, id, { timeout: 100 }), {
    name: 'TimeoutError',
    timeout: 100,
  })
  held.open()
  assert.equal((await runs.waitForRun(thread_id, id)).status, 'completed')
})

test('a run is cancelled', async () => {
  const held = gate()
  server.mock.next(text('Good', held.opened))
  const { id, thread_id } = await begin()
  await server.mock.received(0)
  const { status } = await runs.cancelRunV1ThreadsThreadIdRunsRunIdCancelPost(thread_id, id)
  assert.match(status, /^cancell(ing|ed)$/)
  assert.equal((await runs.waitForRun(thread_id, id)).status, 'cancelled')
  held.open()
})

test('every operation of the server in this dialect has a method of its name', () => {
  const routes = new URL('../../src/http/routes/', import.meta.url)
  const files = readdirSync(routes).filter((name) => name.startsWith('memgpt-'))
  const source = files.map((name) => readFileSync(new URL(name, routes), 'utf8')).join('')
  const served = [...source.matchAll(/\bid: '(\w+V1\w+)'/g)].map(([, id = '']) => id)
  const classes = [AssistantsApi, MessagesApi, RunsApi, ThreadsApi]
  const methods = classes.flatMap((Api) => Object.getOwnPropertyNames(Api.prototype))
  // The original's name for what is a POST.
  const ours = methods.filter((name) => name.includes('V1') && name !== 'modifyThreadV1ThreadsThreadIdGet')
  assert.deepEqual(ours.toSorted(), served.toSorted())
})

test('streamEvents follows a run to its end', async () => {
  server.mock.next(text('Good', ' morning.'))
  const { id, thread_id } = await begin()
  const seen: RunEvent[] = []
  for await (const event of runs.streamEvents(thread_id, id)) seen.push(event)
  const last = seen.at(-1) ?? assert.fail('no event')
  assert.equal(last.event, 'thread.run.completed')
  assert.equal((last.data as { id: string }).id, id)
  const delta = ({ event, data }: RunEvent) =>
    event === 'thread.message.delta'
      ? (data as { delta: { content: { text: { value: string } }[] } }).delta.content[0]?.text.value
      : ''
  assert.equal(seen.map(delta).join(''), 'Good morning.')
  // Behind any of them the rest can be had again.
  const [lastEventId, rest] = [seen[4]?.id ?? '', seen.slice(5)]
  const again: RunEvent[] = []
  for await (const event of runs.streamEvents(thread_id, id, { lastEventId })) again.push(event)
  assert.deepEqual(again, rest)
})

test('original defect: a thread can be shown and changed', async () => {
  const { id } = await threads.createThreadV1ThreadsPost(new OpenAiAssistantsApi.CreateThreadRequest())
  const request = new OpenAiAssistantsApi.ModifyThreadRequest()
  request.metadata = { a: '1' }
  assert.deepEqual((await threads.modifyThreadV1ThreadsThreadIdGet(id, request)).metadata, { a: '1' })
  request.metadata = { a: '2' }
  assert.deepEqual((await threads.modifyThreadV1ThreadsThreadIdPost(id, request)).metadata, { a: '2' })
  const shown = await threads.retrieveThreadV1ThreadsThreadIdGet(id)
  assert.deepEqual([shown.id, shown.metadata], [id, { a: '2' }])
})

test('lists take limit, order and cursors, with the order in quotes or without', async () => {
  const { id: threadId } = await threads.createThreadV1ThreadsPost({ messages: ['Hello?'] })
  const ids: string[] = []
  for (let count = 0; count < 3; count += 1) {
    const request = { assistant_id: assistant.id, instructions: '' }
    const { id } = await runs.createRunV1ThreadsThreadIdRunsPost(threadId, request)
    ids.push((await runs.waitForRun(threadId, id)).id)
  }
  const list = async (opts: object, api = runs) =>
    (await api.listRunsV1ThreadsThreadIdRunsGet(threadId, opts)).map(({ id }) => ids.indexOf(id))
  const seedClient = new ApiClient(server.app.url)
  seedClient.dialect = null
  assert.deepEqual(await list({}), [0, 1, 2])
  assert.deepEqual(await list({ limit: 1000, order: "'asc'" }), [0, 1, 2])
  assert.deepEqual(await list({ order: "'desc'" }), [2, 1, 0])
  assert.deepEqual(await list({ order: "'desc'" }, new RunsApi(seedClient)), [2, 1, 0])
  assert.deepEqual(await list({ order: 'desc', limit: 2 }), [2, 1])
  assert.deepEqual(await list({ after: ids[0], before: ids[2] }), [1])
  assert.deepEqual(await list({ limit: 0 }), [])
})

test('without a dialect the server knows the client by its name, and waits and lists go on', async () => {
  server.mock.next(text('Good morning.'))
  const seedClient = new ApiClient(server.app.url)
  seedClient.dialect = null
  const { id, thread_id } = await begin()
  const run = await new RunsApi(seedClient).waitForRun(thread_id, id)
  assert.equal(run.status, 'completed')
  const found = await new AssistantsApi(seedClient).listAssistantsV1AssistantsGet({ order: "'asc'" })
  assert.ok(found.some((each) => each.id === assistant.id))
})

test('what the server refuses can be read from the error', async () => {
  const { id } = await threads.createThreadV1ThreadsPost({})
  const unknown = runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet(id, 'run_none')
  await assert.rejects(unknown, (error) => {
    assert.ok(error instanceof OpenAiAssistantsApi.ApiError)
    assert.deepEqual([error.status, error.message], [404, 'Not Found'])
    assert.match((error.body as { detail: string }).detail, /run_none/)
    assert.match(error.requestId ?? '', /^req_/)
    return true
  })
  const empty = runs.createRunV1ThreadsThreadIdRunsPost(id, new OpenAiAssistantsApi.CreateRunRequest())
  await assert.rejects(empty, (error) => {
    assert.ok(error instanceof OpenAiAssistantsApi.ApiError)
    assert.equal(error.status, 422)
    assert.ok(error.validationError instanceof OpenAiAssistantsApi.HTTPValidationError)
    assert.deepEqual(error.validationError.detail?.[0]?.loc, ['body', 'assistant_id'])
    return true
  })
})
