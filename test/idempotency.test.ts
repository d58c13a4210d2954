import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { assertReplayed, newKey, postKeyed, type KeyedAnswer, type KeyedRequest } from './support/keyed.ts'
import { gate, text } from './support/mock-model.ts'
import { readyToRun, startServer, textOf } from './support/server.ts'

// What a key promises (docs/decisions/0013). That every operation keeps it: test/idempotency-operations.test.ts; streams and
// uploads: test/idempotency-streams.test.ts; with
// several nodes and broken commits: test/idempotency-faults.test.ts.

const server = await startServer()
const { client, mock, db } = server
const { threads } = client.beta

const post = (path: string, body: object, key: string, headers?: Record<string, string>) =>
  postKeyed(server, { path, body, headers }, key)

const message = (content: string) => ({ role: 'user' as const, content })
const said = async (thread: string) => (await threads.messages.list(thread)).data.map(textOf)
const newThread = async () => (await threads.create()).id

/** The `code` of a refusal in v2. */
const codeOf = ({ text }: KeyedAnswer) => (JSON.parse(text) as { error: { code: string } }).error.code

test('the SDK is given the same message twice for one key', async () => {
  const thread = await newThread()
  const options = { headers: { 'Idempotency-Key': newKey() } }
  const first = await threads.messages.create(thread, message('once'), options)
  assert.deepEqual(await threads.messages.create(thread, message('once'), options), first)
  assert.deepEqual(await said(thread), ['once'])
})

test('an SDK that is told the name of the header sends a key of its own, and keeps it when it tries again', async () => {
  const keys: (string | null)[] = []
  const fetchLossy: typeof fetch = async (url, init) => {
    const response = await fetch(url, init)
    keys.push(new Headers(init?.headers).get('idempotency-key'))
    // The first answer is lost on its way.
    return keys.length === 1 ? new Response(null, { status: 502 }) : response
  }
  const retrying = new OpenAI({ baseURL: `${server.app.url}/v1`, apiKey: 'x', fetch: fetchLossy })
  Object.assign(retrying, { idempotencyHeader: 'Idempotency-Key' })
  const thread = await newThread()
  await retrying.beta.threads.messages.create(thread, message('once'))
  assert.equal(keys.length, 2)
  assert.ok(keys[0])
  assert.equal(keys[1], keys[0])
  assert.deepEqual(await said(thread), ['once'])
})

test('a body is the same whatever the order of its keys, and another with other values, also in a metadata', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  const key = newKey()
  const first = await post(path, { ...message('a'), metadata: { x: '1', y: '2' } }, key)
  assertReplayed(first, await post(path, { metadata: { y: '2', x: '1' }, content: 'a', role: 'user' }, key))
  const other = await post(path, { ...message('a'), metadata: { x: '1', y: '3' } }, key)
  assert.deepEqual([other.status, codeOf(other)], [400, 'idempotency_key_reused'])
  assert.match(other.text, /"param":"Idempotency-Key"/)
})

test('a key belongs to one path, mount and dialect', async () => {
  const thread = await newThread()
  const key = newKey()
  const body = message('a')
  const first = await post(`/v1/threads/${thread}/messages`, body, key)
  assert.equal(first.status, 200)
  for (const path of [
    `/openai/threads/${thread}/messages`,
    `/openai/v1/threads/${thread}/messages`,
    `/memgpt/v1/threads/${thread}/messages`,
    `/v1/threads/${thread}/messages?api-version=2024-05-01-preview`,
    `/v1/threads/${await newThread()}/messages`,
  ]) {
    const { status, text } = await post(path, body, key)
    assert.equal(status, 400, path)
    assert.match(text, /was sent with another request before/)
  }
  const path = `/v1/threads/${thread}/messages`
  const asMemgpt = await post(path, body, key, { 'x-assistants-dialect': 'memgpt' })
  assert.match(asMemgpt.text, /^\{"detail":"The Idempotency-Key .* was sent with another request before\./)
  const asV1 = await post(path, body, key, { 'openai-beta': 'assistants=v1' })
  assert.equal(codeOf(asV1), 'idempotency_key_reused')
  assertReplayed(first, await post(path, body, key))
})

test('an answer in the form of version 1 is given again in that form', async () => {
  const headers = { 'openai-beta': 'assistants=v1' }
  const key = newKey()
  const body = { model: 'm', file_ids: [] }
  const first = await post('/v1/assistants', body, key, headers)
  assert.match(first.text, /"file_ids":\[\]/)
  assertReplayed(first, await post('/v1/assistants', body, key, headers))
})

test('what is no key is refused: empty, too long, not printable ASCII', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  for (const key of ['', 'x'.repeat(256), 'schlüssel', 'a\tb']) {
    const answer = await post(path, message('a'), key)
    assert.equal(answer.status, 400, key)
    assert.match(answer.text, /Invalid 'Idempotency-Key': expected 1 to 255 printable ASCII characters/)
  }
  const strange = `"${'~ '.repeat(125)}!`
  assertReplayed(await post(path, message('a'), strange), await post(path, message('a'), strange))
})

test('GET and DELETE take no notice of a key', async () => {
  const thread = await newThread()
  const path = `/v1/threads/${thread}`
  const headers = { 'idempotency-key': newKey() }
  await post(`${path}/messages`, message('a'), headers['idempotency-key'])
  assert.equal((await server.fetch(path, { headers })).status, 200)
  assert.equal((await server.fetch(path, { method: 'DELETE', headers })).status, 200)
  assert.equal((await server.fetch(path, { method: 'DELETE', headers })).status, 404)
})

test('64 requests with one key at the same moment do one thing and get one answer', async () => {
  const thread = await newThread()
  const key = newKey()
  const answers = await Promise.all(
    Array.from({ length: 64 }, () => post(`/v1/threads/${thread}/messages`, message('once'), key)),
  )
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1)
  assert.equal(answers.filter(({ replayed }) => !replayed).length, 1)
  assert.deepEqual(await said(thread), ['once'])
})

test('a refusal is kept like any answer, and does not come true when the reason has gone', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text(held.opened, 'Done.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  const path = `/v1/threads/${thread}/messages`
  const [locked, missing, unfit] = [newKey(), newKey(), newKey()]
  const refusals: [KeyedRequest, string, number][] = [
    [{ path, body: message('late') }, locked, 400],
    [{ path: '/v1/threads/thread_none/messages', body: message('a') }, missing, 404],
    [{ path, body: { role: 'user' } }, unfit, 400],
    [{ path: `/memgpt${path}`, body: { role: 'user' } }, newKey(), 422],
  ]
  const firsts = await Promise.all(refusals.map(([request, key]) => postKeyed(server, request, key)))
  held.open()
  await threads.runs.poll(run.id, { thread_id: thread })
  for (const [i, [request, key, status]] of refusals.entries()) {
    const first = firsts[i] ?? assert.fail()
    assert.equal(first.status, status, first.text)
    assertReplayed(first, await postKeyed(server, request, key))
  }
  const other = await post(path, message('later'), locked)
  assert.equal(codeOf(other), 'idempotency_key_reused')
})

test('a 5xx and a 429 are not kept: the same request is tried again', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  const { assistant, thread } = await readyToRun(server)
  const [down, full] = [newKey(), newKey()]
  await db.sql('alter table idempotency_keys rename to hidden_keys')
  const failed = await post(path, message('a'), down)
  assert.equal(failed.status, 500)
  await db.sql('alter table hidden_keys rename to idempotency_keys')
  const done = await post(path, message('a'), down)
  assert.deepEqual([done.status, done.replayed], [200, false])

  const held = gate()
  mock.next(text(held.opened, 'Done.'))
  const queue = { headers: { 'x-thread-policy': 'queue' } }
  await threads.runs.create(thread, { assistant_id: assistant })
  for (;;) {
    const failure = await threads.messages
      .create(thread, message('a'), queue)
      .catch((error: unknown) => error)
    if (failure instanceof OpenAI.RateLimitError) break
  }
  const tooMany = await post(`/v1/threads/${thread}/messages`, message('a'), full, queue.headers)
  assert.equal(tooMany.status, 429, tooMany.text)
  held.open()
  let last: KeyedAnswer
  do last = await post(`/v1/threads/${thread}/messages`, message('a'), full, queue.headers)
  while (last.status === 429)
  assert.deepEqual([last.status, last.replayed], [200, false])
})

test('a message that waits for its thread is posted once with its key', async () => {
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text(held.opened, 'Done.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  const queue = { 'x-thread-policy': 'queue' }
  const path = `/v1/threads/${thread}`
  const [ofMessage, ofRun] = [newKey(), newKey()]
  const body = { assistant_id: assistant }
  const first = await post(`${path}/messages`, message('waits'), ofMessage, queue)
  const waiting = await post(`${path}/runs`, body, ofRun, queue)
  assert.equal(waiting.status, 200)
  assertReplayed(first, await post(`${path}/messages`, message('waits'), ofMessage, queue))
  assertReplayed(waiting, await post(`${path}/runs`, body, ofRun, queue))
  held.open()
  await threads.runs.poll(run.id, { thread_id: thread })
  const { id } = JSON.parse(waiting.text) as { id: string }
  assert.equal((await threads.runs.poll(id, { thread_id: thread })).status, 'completed')
  assert.equal((await said(thread)).filter((one) => one === 'waits').length, 1)
  assert.equal((await threads.runs.list(thread)).data.length, 2)
})

test('the key of one project is not that of another', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  const key = newKey()
  await post(path, message('a'), key)
  await db.sql(
    `insert into projects (id, name, created_at) values ('other', 'Other', 0) on conflict do nothing`,
  )
  await db.sql(`update idempotency_keys set project_id = 'other' where key = $1`, [key])
  const again = await post(path, message('a'), key)
  assert.deepEqual([again.status, again.replayed], [200, false])
})

test('a page of another origin may send a key, and read that an answer was given before', async () => {
  const origin = { origin: 'http://localhost:3000' }
  const preflight = await fetch(`${server.app.url}/v1/threads`, {
    method: 'OPTIONS',
    headers: {
      ...origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'idempotency-key',
    },
  })
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /idempotency-key/)
  const { headers } = await post('/v1/threads', {}, newKey(), origin)
  assert.match(headers.get('access-control-expose-headers') ?? '', /idempotent-replayed/)
})

test('the purge removes the answers whose time is over, and no others', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  const [old, young] = [newKey(), newKey()]
  await post(path, message('a'), old)
  await db.advanceClock(86_401)
  await post(path, message('a'), young)
  await server.app.engine.sweep()
  const left = await db.sql<{ key: string }>('select key from idempotency_keys')
  assert.deepEqual(left, [{ key: young }])
})

test('an answer outlives the server that gave it, and 24 hours of the database’s clock; then the key is free', async () => {
  const path = `/v1/threads/${await newThread()}/messages`
  const key = newKey()
  const first = await post(path, message('a'), key)
  await server.restart()
  assertReplayed(first, await post(path, message('a'), key))
  await db.advanceClock(86_390)
  assertReplayed(first, await post(path, message('a'), key))
  await db.advanceClock(20)
  const later = await post(path, message('b'), key)
  assert.deepEqual([later.status, later.replayed], [200, false])
})
