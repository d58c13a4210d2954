import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Document } from '../src/http/openapi.ts'
import { assertReplayed, newKey, postKeyed, type KeyedRequest } from './support/keyed.ts'
import { hang, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool, uploaded } from './support/server.ts'

// Every POST that /openapi.json has, sent twice with one key. That an answer is kept in the very transaction of its
// effect is seen from the rows: both bear the same transaction's number.

const server = await startServer()
const { client, mock } = server

/** A request, and a query for a row that it writes and that nothing changes later; $1 is the id in its answer. */
interface Case extends KeyedRequest {
  row: string
}

const assistantRow = 'select xmin::text from assistants where id = $1'
const threadRow = 'select xmin::text from threads where id = $1'
const messageRow = 'select xmin::text from messages where id = $1'
const runRow = 'select xmin::text from runs where id = $1'
const fileRow = 'select xmin::text from files where id = $1'
// The row of a run changes when it is worked on; the first of its log does not.
const logRow = 'select xmin::text from run_events where run_id = $1 and term = 1'
const stepRow = `select xmin::text from run_steps where run_id = $1`

const metadata = { a: 'b' }
const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
const file = await uploaded(server)
const v1 = { 'openai-beta': 'assistants=v1' }

const newThread = async () => (await client.beta.threads.create()).id

async function messageIn(place: string): Promise<string> {
  const message = await client.beta.threads.messages.create(place, { role: 'user', content: 'Hm?' })
  return message.id
}

/** A run that waits for the outputs of one call: nobody works on it. */
async function waitingRun(): Promise<string> {
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await client.beta.threads.createAndRunPoll({ assistant_id: assistant, thread: {} })
  assert.equal(run.status, 'requires_action')
  return `/threads/${run.thread_id}/runs/${run.id}`
}

const outputs = [{ tool_call_id: 'call_a', output: '1' }]

function form(): FormData {
  const data = new FormData()
  data.set('purpose', 'assistants')
  data.set('file', new File(['Corn, stone.'], 'mill.txt'))
  return data
}

const v2Cases: Record<string, () => Promise<Case>> = {
  createAssistant: async () => ({ path: '/v1/assistants', body: { model: 'm' }, row: assistantRow }),
  modifyAssistant: async () => ({
    path: `/v1/assistants/${assistant}`,
    body: { metadata },
    row: assistantRow,
  }),
  createAssistantFile: async () => ({
    path: `/v1/assistants/${assistant}/files`,
    body: { file_id: file },
    headers: v1,
    row: `select xmin::text from assistants where tool_resources::text like '%' || $1 || '%'`,
  }),
  createThread: async () => ({
    path: '/v1/threads',
    body: { messages: [{ role: 'user', content: 'Good morning?' }] },
    headers: { 'x-thread-policy': 'queue' },
    row: threadRow,
  }),
  modifyThread: async () => ({ path: `/v1/threads/${thread}`, body: { metadata }, row: threadRow }),
  createMessage: async () => ({
    path: `/v1/threads/${await newThread()}/messages`,
    body: { role: 'user', content: 'Hm?' },
    row: messageRow,
  }),
  modifyMessage: async () => ({
    path: `/v1/threads/${thread}/messages/${await messageIn(thread)}`,
    body: { metadata },
    row: messageRow,
  }),
  createRun: async () => {
    mock.next(hang())
    return { path: `/v1/threads/${await newThread()}/runs`, body: { assistant_id: assistant }, row: logRow }
  },
  createThreadAndRun: async () => {
    mock.next(hang())
    return { path: '/v1/threads/runs', body: { assistant_id: assistant }, row: logRow }
  },
  modifyRun: async () => ({ path: `/v1${await waitingRun()}`, body: { metadata }, row: runRow }),
  cancelRun: async () => ({ path: `/v1${await waitingRun()}/cancel`, row: runRow }),
  submitToolOutputsToRun: async () => {
    const path = `/v1${await waitingRun()}/submit_tool_outputs`
    mock.next(hang())
    return { path, body: { tool_outputs: outputs }, row: stepRow }
  },
  createFile: async () => ({ path: '/v1/files', body: form(), row: fileRow }),
}

const memgptRun = { assistant_id: assistant, model: '', instructions: '' }
const memgptAssistant = { model: 'm', name: 'Ada', instructions: 'Be brief.' }
const memgptCases: Record<string, () => Promise<Case>> = {
  createAssistantV1AssistantsPost: async () => ({
    path: '/memgpt/v1/assistants',
    body: memgptAssistant,
    row: assistantRow,
  }),
  modifyAssistantV1AssistantsAssistantIdPost: async () => ({
    path: `/memgpt/v1/assistants/${assistant}`,
    body: memgptAssistant,
    row: assistantRow,
  }),
  createAssistantFileV1AssistantsAssistantIdFilesPost: async () => ({
    path: `/memgpt/v1/assistants/${assistant}/files`,
    body: { file_id: file },
    row: `select xmin::text from assistants where tool_resources::text like '%' || $1 || '%'`,
  }),
  createThreadV1ThreadsPost: async () => ({
    path: '/memgpt/v1/threads',
    body: { messages: ['Good morning?'] },
    headers: { 'x-thread-policy': 'queue' },
    row: threadRow,
  }),
  modifyThreadV1ThreadsThreadIdPost: async () => ({
    path: `/memgpt/v1/threads/${thread}`,
    body: { metadata },
    row: threadRow,
  }),
  createMessageV1ThreadsThreadIdMessagesPost: async () => ({
    path: `/memgpt/v1/threads/${await newThread()}/messages`,
    body: { role: 'user', content: 'Hm?' },
    row: messageRow,
  }),
  modifyMessageV1ThreadsThreadIdMessagesMessageIdPost: async () => ({
    path: `/memgpt/v1/threads/${thread}/messages/${await messageIn(thread)}`,
    body: { metadata },
    row: messageRow,
  }),
  createRunV1ThreadsThreadIdRunsPost: async () => {
    mock.next(hang())
    return { path: `/memgpt/v1/threads/${await newThread()}/runs`, body: memgptRun, row: logRow }
  },
  createThreadAndRunV1ThreadsRunsPost: async () => {
    mock.next(hang())
    return { path: '/memgpt/v1/threads/runs', body: { ...memgptRun, thread: {} }, row: logRow }
  },
  modifyRunV1ThreadsThreadIdRunsRunIdPost: async () => ({
    path: `/memgpt/v1${await waitingRun()}`,
    body: { metadata },
    row: runRow,
  }),
  cancelRunV1ThreadsThreadIdRunsRunIdCancelPost: async () => ({
    path: `/memgpt/v1${await waitingRun()}/cancel`,
    row: runRow,
  }),
  submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost: async () => {
    const path = `/memgpt/v1${await waitingRun()}/submit_tool_outputs`
    mock.next(hang())
    return { path, body: { tool_outputs: outputs }, row: stepRow }
  },
}

const document = (await (await fetch(`${server.app.url}/openapi.json`)).json()) as Document
const described = Object.values(document.paths).flatMap(({ post }) => (post ? [post] : []))
const cases = { ...v2Cases, ...memgptCases }

/** How much there is that a POST makes; an answer of a model is not among it. */
async function counted(): Promise<unknown> {
  const tables = ['assistants', 'threads', 'runs', 'files', 'idempotency_keys']
  const counts = tables.map((table) => `(select count(*) from ${table}) as ${table}`).join(', ')
  return server.db.sql(`select ${counts}, (select count(*) from messages where role = 'user') as messages`)
}

test('each POST of /openapi.json has its case here, and says that it takes an Idempotency-Key', () => {
  assert.deepEqual(described.map(({ operationId }) => operationId).toSorted(), Object.keys(cases).toSorted())
  for (const { operationId, parameters = [], responses } of described) {
    assert.ok(
      parameters.some((one) => '$ref' in one && one.$ref.endsWith('/Idempotency-Key')),
      operationId,
    )
    assert.ok(responses['409'], operationId)
  }
})

for (const [operation, make] of Object.entries(cases)) {
  test(`${operation} with a key is done once, and its answer is kept in the transaction of its effect`, async () => {
    mock.reset()
    const { row, ...request } = await make()
    const key = newKey()
    const first = await postKeyed(server, request, key)
    assert.equal(first.status, 200, first.text)
    const { id } = JSON.parse(first.text) as { id: string }
    const written = await server.db.sql<{ xmin: string }>(row, [id])
    const kept = await server.db.sql('select xmin::text from idempotency_keys where key = $1', [key])
    assert.equal(kept.length, 1)
    assert.deepEqual(written.slice(0, 1), kept)

    const before = await counted()
    assertReplayed(first, await postKeyed(server, request, key))
    assert.deepEqual(await counted(), before)
    assert.deepEqual(await server.db.sql(row, [id]), written)

    const other = await postKeyed(server, { ...request, path: `${request.path}?x=1` }, key)
    assert.deepEqual([other.status, other.replayed], [400, false], other.text)
    assert.match(other.text, /The Idempotency-Key '.+' was sent with another request before\./)
    assert.deepEqual(await counted(), before)
  })
}
