import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type OpenAI from 'openai'
import { describedBy, type Placed } from './support/described.ts'
import { requestOf, slotsOf, type Ids, type Made, type Slot } from './support/id-slots.ts'
import { text, toolCalls } from './support/mock-model.ts'
import { clientOf, keyOf, threadmill } from './support/keys.ts'
import { startServer, tool } from './support/server.ts'

// Projects see nothing of each other. Each operation of /openapi.json is asked for records of another project, at each place
// of its path, query and body that takes an id: whatever it answers, it answers the same for an id that nobody has.

const server = await startServer({ env: { REQUIRE_KEYS: '1' } })
const { mock, db } = server
const described = await describedBy(server.app.url)

async function keyOfProject(project: string): Promise<string> {
  assert.equal((await threadmill(db.url, 'projects', 'create', project)).code, 0)
  return (await keyOf(server, '--project', project)).key
}

/** One record of each kind in the project of the key. The run has called a tool and ended. */
async function records(apiKey: string): Promise<Ids> {
  const client = clientOf(server, apiKey)
  const { threads } = client.beta
  const content = new File(['Corn, stone.'], 'mill.txt')
  const { id: file } = await client.files.create({ file: content, purpose: 'assistants' })
  const assistant = await client.beta.assistants.create({
    model: 'mock-model',
    tools: [tool('f'), { type: 'code_interpreter' }],
    tool_resources: { code_interpreter: { file_ids: [file] } },
  })
  const thread = await threads.create()
  const attachments = [{ file_id: file, tools: [] }]
  const message = await threads.messages.create(thread.id, { role: 'user', content: 'Hm?', attachments })
  const call = `call_${apiKey.slice(-6)}`
  mock.next(toolCalls([{ id: call, name: 'f', arguments: '{}' }]), text('Done.'))
  const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id })
  const tool_outputs = [{ tool_call_id: call, output: '1' }]
  await threads.runs.submitToolOutputsAndPoll(run.id, { thread_id: thread.id, tool_outputs })
  const [step] = (await threads.runs.steps.list(run.id, { thread_id: thread.id })).data
  assert.ok(step)
  return {
    assistant: assistant.id,
    thread: thread.id,
    message: message.id,
    run: run.id,
    step: step.id,
    file,
    call,
  }
}

/** Ids of the form of `ids` that nobody has. */
function unknown(ids: Ids): Ids {
  const other = (id: string) =>
    id.slice(0, -8) + id.slice(-8).replaceAll(/./g, (c) => (c === 'x' ? 'y' : 'x'))
  return Object.fromEntries(Object.entries(ids).map(([kind, id]) => [kind, other(id)])) as Ids
}

const shopKey = await keyOfProject('shop')
const millKey = await keyOfProject('mill')
let [own, foreign] = [{} as Ids, {} as Ids]
before(async () => {
  own = await records(shopKey)
  foreign = await records(millKey)
})

type Headers = Record<string, string>

/** The ways to come in with a key. */
const doors: [string, (path: string) => string, (key: string) => Headers][] = [
  ['with a bearer key', (path) => path, (key) => ({ authorization: `Bearer ${key}` })],
  [
    "under Azure's mount, with api-key",
    (path) => (path.startsWith('/memgpt') ? path : `/openai${path}`),
    (key) => ({ 'api-key': key }),
  ],
]

interface Answer {
  status: number
  text: string
}

async function ask({ method, path, body, beta }: Made, headers: Headers): Promise<Answer> {
  const answer = await fetch(server.app.url + path, {
    method,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(beta === null ? {} : { 'openai-beta': beta }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  })
  return { status: answer.status, text: await answer.text() }
}

/** The answer without its ids and times. */
function withoutIds({ status, text }: Answer, { call }: Ids): Answer {
  const plain = text.replaceAll(call, 'ID').replaceAll(/\b(asst|thread|msg|run|step|file)[_-]\w{24}\b/g, 'ID')
  return { status, text: plain.replaceAll(/\b1\d{9}\b/g, 'TIME') }
}

/** What the answer has to be, whoever has the id. */
function expected(slot: Slot, memgpt: boolean): number {
  // A list of what an unknown run has is empty; an unknown cursor is a wrong value (wire.md §9).
  if (slot.at[0] === 'run_id' && slot.in === 'query') return 200
  if (slot.in === 'query') return memgpt ? 404 : 400
  // The thread that a memgpt run is made with is made if there is none, and a vector store is never made.
  if (slot.at.join('.') === 'thread.id' || slot.at.includes('vector_stores')) return 200
  return slot.kind === 'call' ? 400 : 404
}

/** All requests of an operation that name something foreign: at each slot alone, and at all of its path. */
function requestsOf(placed: Placed): [Slot[], number][] {
  const slots = slotsOf(described, placed).filter(({ kind }) => kind !== null)
  const memgpt = placed.path.startsWith('/memgpt')
  const single = slots.map((slot): [Slot[], number] => [[slot], expected(slot, memgpt)])
  const ofPath = slots.filter((slot) => slot.in === 'path')
  return ofPath.length > 1 ? [...single, [ofPath, 404]] : single
}

/** The rows of a project, whatever table they are in. */
async function rowsOf(project: string): Promise<Record<string, string>> {
  const tables = await db.sql<{ name: string }>(
    `select table_name as name from information_schema.columns where column_name = 'project_id' and table_schema = 'public'`,
  )
  const hashes: Record<string, string> = {}
  for (const { name } of tables) {
    // Their use is noted.
    if (name === 'api_keys') continue
    const [row] = await db.sql<{ hash: string }>(
      `select md5(coalesce(string_agg(t::text, ',' order by t::text), '')) as hash from ${name} t where project_id = $1`,
      [project],
    )
    hashes[name] = row?.hash ?? ''
  }
  return hashes
}

const placedWithIds = described.placed.filter((placed) => requestsOf(placed).length > 0)
const named = ({ method, path }: Placed, slots: readonly Slot[] = []) =>
  [method, path, ...slots.map((slot) => `${slot.in} ${slot.at.join('.')}`)].join(' ')

/** The request as it is, and as one for a stream if it can be one. */
function withStream(placed: Placed, request: Made): Made[] {
  const streams = placed.operation.responses['200']?.content?.['text/event-stream'] !== undefined
  if (!streams || request.method !== 'POST') return [request]
  return [request, { ...request, body: { ...(request.body as object), stream: true } }]
}

test('whoever has the records is answered, so that what they are kept in knows them', async () => {
  const headers = { authorization: `Bearer ${millKey}` }
  for (const placed of placedWithIds.filter(({ method }) => method === 'get')) {
    const { status, text } = await ask(requestOf(described, placed, [], foreign, foreign), headers)
    assert.equal(status, 200, `${named(placed)}: ${text}`)
  }
  const slots = placedWithIds.flatMap((placed) => requestsOf(placed))
  assert.ok(placedWithIds.length > 50 && slots.length > 150, `${placedWithIds.length} ${slots.length}`)
})

for (const [how, at, headersOf] of doors) {
  test(`${how} every operation answers for an id of another project as for one that nobody has`, async () => {
    const before = await rowsOf('mill')
    const headers = headersOf(shopKey)
    const faults: string[] = []
    const nobody = unknown(foreign)
    const compare = async (what: string, status: number, theirs: Made, nobodys: Made) => {
      const [a, b] = [await ask(theirs, headers), await ask(nobodys, headers)]
      if (a.status !== status) faults.push(`${what}: ${a.status} ${a.text.slice(0, 200)}`)
      else if (withoutIds(a, foreign).text !== withoutIds(b, nobody).text || b.status !== status)
        faults.push(`${what}: ${a.text.slice(0, 300)}, but ${b.status} ${b.text.slice(0, 300)}`)
    }
    for (const placed of placedWithIds) {
      for (const [slots, status] of requestsOf(placed)) {
        const made = (ids: Ids) => {
          const request = requestOf(described, placed, slots, own, ids)
          return withStream(placed, { ...request, path: at(request.path) })
        }
        const [theirs, nobodys] = [made(foreign), made(nobody)]
        // A stream that is there is never the same twice.
        for (const [i, request] of theirs.entries())
          if (i === 0 || status !== 200)
            await compare(named(placed, slots), status, request, nobodys[i] ?? request)
      }
    }
    assert.equal(faults.join('\n'), '')
    assert.deepEqual(await rowsOf('mill'), before)
  })
}

test('an Idempotency-Key of another project gives nothing away: the same request is another one', async () => {
  const faults: string[] = []
  for (const placed of placedWithIds.filter(({ method }) => method === 'post')) {
    const ofPath = slotsOf(described, placed).filter((slot) => slot.in === 'path')
    const made = (ids: Ids) => requestOf(described, placed, ofPath, ids, ids)
    const keyed = (key: string) => ({ authorization: `Bearer ${key}`, 'idempotency-key': named(placed) })
    const first = await ask(made(foreign), keyed(millKey))
    const again = await ask(made(foreign), keyed(millKey))
    // Without an effect there is nothing that could be the same.
    if (first.status < 500 && first.text !== again.text) faults.push(`${named(placed)} was not kept`)
    const theirs = await ask(made(foreign), keyed(shopKey))
    const nobodys = await ask(made(unknown(foreign)), { authorization: `Bearer ${shopKey}` })
    const [a, b] = [withoutIds(theirs, foreign), withoutIds(nobodys, unknown(foreign))]
    // All ids in them are foreign, if there are any.
    const isNew = ofPath.length === 0 && slotsOf(described, placed).every(({ kind }) => kind !== 'assistant')
    if (a.status !== b.status || a.text !== b.text || (!isNew && a.status !== 404))
      faults.push(
        `${named(placed)}: ${a.status} ${a.text.slice(0, 300)}, but ${b.status} ${b.text.slice(0, 300)}`,
      )
    if (theirs.text === first.text) faults.push(`${named(placed)} answered another project`)
  }
  assert.equal(faults.join('\n'), '')
})

test('a run of another project that is under way can be neither joined, nor waited for, nor cancelled', async () => {
  const mill = clientOf(server, millKey)
  const go = Promise.withResolvers<void>()
  mock.reset()
  mock.next(text('Good ', go.promise, 'morning.'))
  const { id: thread } = await mill.beta.threads.create()
  const stream = mill.beta.threads.runs.stream(thread, { assistant_id: foreign.assistant })
  const run = await new Promise<string>((resolve) => {
    stream.on('event', ({ event, data }) => event === 'thread.run.in_progress' && resolve(data.id))
  })
  const path = `/v1/threads/${thread}/runs/${run}`
  const beta = { 'openai-beta': 'assistants=v2' }
  const asked: [string, string, Headers][] = [
    ['GET', `${path}/events`, {}],
    ['GET', `${path}/events`, { 'last-event-id': '1.0' }],
    ['GET', `${path}/events?after=1.0`, {}],
    ['GET', path, { 'x-stainless-poll-helper': 'true' }],
    ['POST', `${path}/cancel`, {}],
  ]
  for (const [method, path, headers] of asked) {
    const request = { method, path, body: undefined, beta: 'assistants=v2' }
    const theirs = await ask(request, { authorization: `Bearer ${shopKey}`, ...headers })
    assert.equal(theirs.status, 404, `${method} ${path}: ${theirs.text}`)
  }
  const joined = await fetch(server.app.url + path, {
    headers: { authorization: `Bearer ${millKey}`, ...beta },
  })
  assert.equal(joined.status, 200)
  go.resolve()
  assert.equal((await stream.finalRun()).status, 'completed')
})

test('lists hold what is of the project alone', async () => {
  const [shop, mill] = [clientOf(server, shopKey), clientOf(server, millKey)]
  const ids = async (client: OpenAI) => {
    const found: string[] = []
    for await (const { id } of client.beta.assistants.list()) found.push(id)
    for await (const { id } of client.files.list()) found.push(id)
    return found
  }
  const [a, b] = [await ids(shop), await ids(mill)]
  assert.ok(a.includes(own.assistant) && b.includes(foreign.assistant))
  assert.deepEqual(
    a.filter((id) => b.includes(id)),
    [],
  )
})
