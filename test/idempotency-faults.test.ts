import assert from 'node:assert/strict'
import { test } from 'node:test'
import { committedWrites } from '../src/store/committed-writes.ts'
import type { KeptAnswer } from '../src/store/idempotency.ts'
import type { ThreadWrite } from '../src/store/thread-write.ts'
import { assertReplayed, newKey, postKeyed } from './support/keyed.ts'
import { hang, toolCalls } from './support/mock-model.ts'
import { hold, nodeAt } from './support/nodes.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import {
  advance,
  keyOf,
  lease,
  newMessage,
  newRun,
  newThread as newThreadRecord,
  now,
  usage,
} from './support/records.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// A key does its work whatever becomes of the answers of Postgres, and on however many nodes its requests come in.

const server = await startServer({ tuning: { alone: false } })
const { client, mock, db } = server
const { threads, assistants } = client.beta
const proxy = await startPgProxy(db.url)
/** Behind a proxy that can lose the answers of Postgres; it waits for a request with the same key for 300 ms only. */
const behind = await nodeAt(server, proxy.url, { keyWaitMs: 300 })
const nodes = [server, behind]

const message = (content: string) => ({ role: 'user' as const, content })
const said = async (thread: string) => (await threads.messages.list(thread)).data.map(textOf)
const newThread = async () => (await threads.create()).id

test('requests with one key on two nodes at once do one thing, whatever they do', async () => {
  const { assistant } = await readyToRun(server, { tools: [tool('f')] })
  for (let round = 0; round < 10; round += 1) {
    mock.reset()
    const thread = await newThread()
    mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
    const waiting = await threads.createAndRunPoll({ assistant_id: assistant, thread: {} })
    const onRun = `/v1/threads/${waiting.thread_id}/runs/${waiting.id}`
    mock.when(() => true, hang())
    const tool_outputs = [{ tool_call_id: 'call_a', output: '1' }]
    for (const request of [
      { path: '/v1/assistants', body: { model: `m${round}` } },
      { path: `/v1/threads/${thread}`, body: { metadata: { a: 'b' } } },
      { path: `/v1/threads/${thread}/messages`, body: message('once') },
      { path: `/v1/threads/${thread}/runs`, body: { assistant_id: assistant } },
      { path: `${onRun}/submit_tool_outputs`, body: { tool_outputs } },
      { path: `${onRun}/cancel` },
    ]) {
      const key = newKey()
      const answers = await Promise.all([...nodes, ...nodes].map((node) => postKeyed(node, request, key)))
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]), request.path)
      assert.equal(new Set(answers.map(({ text }) => text)).size, 1, request.path)
      assert.equal(answers.filter(({ replayed }) => !replayed).length, 1, request.path)
    }
    assert.deepEqual(await said(thread), ['once'])
    assert.equal((await threads.runs.list(thread)).data.length, 1)
    const made = await db.sql('select id from assistants where model = $1', [`m${round}`])
    assert.equal(made.length, 1)
  }
})

test('a file that is uploaded on two nodes at once with one key is one file', async () => {
  const form = () => {
    const data = new FormData()
    data.set('purpose', 'assistants')
    data.set('file', new File(['Corn, stone.'.repeat(50_000)], 'mill.txt'))
    return data
  }
  const key = newKey()
  const answers = await Promise.all(
    nodes.map((node) => postKeyed(node, { path: '/v1/files', body: form() }, key)),
  )
  assert.deepEqual([answers[0]?.status, answers[1]?.status], [200, 200])
  assert.equal(answers[0]?.text, answers[1]?.text)
  assert.equal((await client.files.list()).data.length, 1)
})

test('a write whose commit answer was lost is known by its key’s row, and its request answered once', async () => {
  const request = { path: `/v1/threads/${await newThread()}/messages`, body: message('once') }
  const key = newKey()
  const lost = proxy.lost
  proxy.loseAnswersOf('commit_thread_writes', 1)
  const first = await postKeyed(behind, request, key)
  assert.equal(proxy.lost, lost + 1)
  assert.equal(first.status, 200)
  assertReplayed(first, await postKeyed(behind, request, key))
  assertReplayed(first, await postKeyed(server, request, key))
})

test('a cancel whose commit answer was lost is answered as what it was, although the run has gone on since', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const request = { path: `/v1/threads/${thread}/runs/${run.id}/cancel` }
  const key = newKey()
  proxy.loseAnswersOf('commit_thread_writes', 1)
  const first = await postKeyed(behind, request, key)
  assert.equal(first.status, 200, first.text)
  assert.match(first.text, /"status":"cancelled"/)
  assertReplayed(first, await postKeyed(server, request, key))
})

test('a 503 whose outcome is unknown says not to try again by itself; with its key it is found out', async () => {
  const { id } = await assistants.create({ model: 'm', metadata: { n: '0' } })
  for (const request of [
    { path: `/v1/assistants/${id}`, body: { metadata: { n: '1' } } },
    { path: '/v1/assistants', body: { model: 'made-once' } },
  ]) {
    const key = newKey()
    // The statement that ends the transaction.
    proxy.loseAnswersOf('commit\0', 1)
    const unknown = await postKeyed(behind, request, key)
    assert.equal(unknown.status, 503, unknown.text)
    assert.equal(unknown.headers.get('x-should-retry'), 'false')
    const again = await postKeyed(behind, request, key)
    assert.deepEqual([again.status, again.replayed], [200, true], again.text)
    assert.equal((await postKeyed(server, request, key)).text, again.text)
  }
  assert.equal((await assistants.retrieve(id)).metadata?.['n'], '1')
  assert.equal((await db.sql(`select from assistants where model = 'made-once'`)).length, 1)
})

test('what a node never hears the end of, as when it is killed, is found by the next: done once, or not at all', async () => {
  const [done, notDone] = [await newThread(), await newThread()]
  for (const [thread, reached] of [
    [done, true],
    [notDone, false],
  ] as const) {
    const request = { path: `/v1/threads/${thread}/messages`, body: message('once') }
    const key = newKey()
    const lost = proxy.lost
    if (reached) proxy.loseAnswersOf('commit_thread_writes', 1)
    else proxy.blackHole = true
    const left = postKeyed(behind, request, key).catch(() => null)
    if (reached) while (proxy.lost === lost) await new Promise(setImmediate)
    proxy.blackHole = true
    const again = await postKeyed(server, request, key)
    assert.deepEqual([again.status, again.replayed], [200, reached])
    assert.deepEqual(await said(thread), ['once'])
    // The node comes to itself again, with the old request at hand: it does nothing a second time.
    proxy.cutAll()
    proxy.blackHole = false
    const late = await left
    assert.ok(late === null || late.status === 503 || late.text === again.text, late?.text)
    assert.deepEqual(await said(thread), ['once'])
  }
})

test('a request waits for one with its key that another node has not committed, and does its work if that fails', async () => {
  const thread = await newThread()
  const key = newKey()
  const insert = `insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, body, created_at)
    values ('default', $1, 1, 'x', 200, '{}', '{}', floor(threadmill_now())::bigint)`
  const rollBack = await hold(db.url, insert, [key])
  const waiting = postKeyed(server, { path: `/v1/threads/${thread}/messages`, body: message('mine') }, key)
  // Others are written meanwhile.
  await threads.messages.create(await newThread(), message('other'))
  assert.deepEqual(await said(thread), [])
  await rollBack()
  assert.equal((await waiting).status, 200)
  assert.deepEqual(await said(thread), ['mine'])
})

test('a request whose like has been under way for long is told so, and to come back', async () => {
  const thread = await newThread()
  const key = newKey()
  const request = { path: `/v1/threads/${thread}/messages`, body: message('once') }
  const letGo = await hold(db.url, 'select from threads where id = $1 for update', [thread])
  const first = postKeyed(behind, request, key)
  const second = await postKeyed(behind, request, key)
  assert.equal(second.status, 409, second.text)
  assert.match(second.text, /"code":"idempotency_key_in_use"/)
  assert.equal(second.headers.get('retry-after'), '1')
  await letGo()
  assertReplayed(await first, await postKeyed(behind, request, key))
  assert.deepEqual(await said(thread), ['once'])
})

test('a write with a key is told from any other with that key by its stamp', async () => {
  const { store } = server.app
  const thread = newThreadRecord()
  await store.write({ kind: 'create_thread', thread, messages: [] })
  const kept: KeptAnswer = {
    project_id: 'default',
    key: newKey(),
    stamp: 7,
    fingerprint: 'x',
    status: 200,
    headers: {},
    body: '{}',
    stream: null,
  }
  const own: ThreadWrite = {
    kind: 'append',
    thread: keyOf(thread.id),
    messages: [newMessage(thread.id, 'own')],
    kept,
  }
  const other: ThreadWrite = {
    ...own,
    messages: [newMessage(thread.id, 'other')],
    kept: { ...kept, stamp: 8 },
  }
  assert.deepEqual(await committedWrites(store.pool, [own, other]), [false, false])
  assert.deepEqual(await store.write(own), { outcome: 'ok' })
  await assert.rejects(store.write(other), { constraint: 'idempotency_keys_pkey' })
  assert.deepEqual(await committedWrites(store.pool, [own, other]), [true, false])
  assert.deepEqual(await said(thread.id), ['own'])
})

test('a change of a run that others have followed is known by its key, where its own stamp is gone', async () => {
  const { store } = server.app
  const thread = newThreadRecord()
  const run = newRun(thread.id)
  await store.write({ kind: 'create_thread', thread, messages: [], run })
  const kept = { project_id: 'default', key: newKey(), stamp: 7, fingerprint: 'x', status: 200 }
  const cancel = {
    ...advance(run, { type: 'cancel', now }),
    kept: { ...kept, headers: {}, body: '{}', stream: null },
  }
  assert.deepEqual(await store.write(cancel), { outcome: 'ok' })
  const stop = advance(cancel.run, { type: 'stop', lease, now, usage })
  assert.deepEqual(await store.write(stop), { outcome: 'ok' })
  assert.deepEqual(await committedWrites(store.pool, [cancel]), [true])
})
