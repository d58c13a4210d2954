import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import type OpenAI from 'openai'
import pg from 'pg'
import { newId } from '../src/contract/ids.ts'
import { clientOf, keyOf, threadmill } from './support/keys.ts'
import { gate, text } from './support/mock-model.ts'
import { anotherNode } from './support/nodes.ts'
import { startServer } from './support/server.ts'
import { queue } from './support/thread-queue.ts'

// How large bodies and threads of a key and of a project may be (docs/decisions/0024).

const env = { REQUIRE_KEYS: '1' }
const server = await startServer({ env, tuning: { alone: false } })
const { mock, db, app } = server

const tooLong = { status: 400, code: 'thread_too_long' }
const say = (content = 'More.') => ({ role: 'user' as const, content })
const says = (count: number) => Array.from({ length: count }, () => say())

/** A project of its own with a key and an assistant. */
async function shop(id: string, ...limits: string[]) {
  await threadmill(db.url, 'projects', 'create', id)
  const made = await keyOf(server, '--project', id)
  await limit('projects', id, ...limits)
  const client = clientOf(server, made.key)
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  mock.reset()
  return { ...made, client, assistant_id, threads: client.beta.threads }
}

async function limit(of: 'keys' | 'projects', id: string, ...limits: string[]): Promise<void> {
  const { code, err } = await threadmill(db.url, of, 'limit', id, ...limits)
  assert.equal(code, 0, err)
  await app.keys.changed()
}

/** A request in the memgpt dialect. */
async function memgpt(key: string, path: string, body: object): Promise<{ status: number; said: string }> {
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'x-assistants-dialect': 'memgpt',
  }
  const answer = await fetch(app.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.headers.get('x-assistants-dialect'), 'memgpt')
  return { status: answer.status, said: await answer.text() }
}

async function countOf(client: OpenAI, thread: string): Promise<number> {
  return (await client.beta.threads.messages.list(thread, { limit: 100 })).data.length
}

test('a new thread has no more first messages than its key or project may have in one, and the answer names the field', async () => {
  const { client, assistant_id, threads, key, id } = await shop('new-threads', '--thread-messages', '5')
  await limit('keys', id, '--thread-messages', '3')
  const refused = (param: string) => ({ status: 400, code: 'array_above_max_length', param })
  await assert.rejects(threads.create({ messages: says(4) }), {
    ...refused('messages'),
    message: /maximum length 3, but got an array with length 4/,
  })
  const run = { assistant_id, thread: { messages: says(4) } }
  await assert.rejects(threads.createAndRun(run), refused('thread.messages'))
  await assert.rejects(threads.createAndRunStream(run).finalRun(), refused('thread.messages'))
  const made = await memgpt(key, '/v1/threads', { messages: ['a', 'b', 'c', 'd'] })
  assert.deepEqual([made.status, made.said.includes('too_long')], [422, true])
  const thread = { id: 'new', object: 'thread', created_at: 0, messages: says(4), metadata: {} }
  const ran = await memgpt(key, '/v1/threads/runs', { assistant_id, instructions: '', model: '', thread })
  assert.deepEqual([ran.status, ran.said.includes('too_long')], [422, true])
  assert.equal(await countOf(client, (await threads.create({ messages: says(3) })).id), 3)
  // Another key of the project has the project's bound alone.
  const other = clientOf(server, (await keyOf(server, '--project', 'new-threads')).key)
  await other.beta.threads.create({ messages: says(5) })
  await assert.rejects(other.beta.threads.create({ messages: says(6) }), refused('messages'))
})

test('a thread that is full takes no message by any way and in no dialect, and takes one again when one was deleted', async () => {
  const { client, assistant_id, threads, key } = await shop('full', '--thread-messages', '4')
  const { id: thread } = await threads.create({ messages: says(2) })
  // Its answer is the third.
  await threads.runs.createAndPoll(thread, { assistant_id })
  await assert.rejects(threads.runs.create(thread, { assistant_id, additional_messages: says(2) }), {
    ...tooLong,
    param: 'additional_messages',
    message: new RegExp(`project full may have 4 messages in a thread, and ${thread} would have more`),
  })
  const fourth = await threads.messages.create(thread, say())
  await assert.rejects(threads.messages.create(thread, say()), { ...tooLong, param: 'thread_id' })
  const additional = { assistant_id, additional_messages: says(1) }
  await assert.rejects(threads.runs.create(thread, additional), { ...tooLong, param: 'additional_messages' })
  await assert.rejects(threads.runs.stream(thread, additional).finalRun(), tooLong)
  const added = await memgpt(key, `/v1/threads/${thread}/messages`, { role: 'user', content: 'More.' })
  assert.equal(added.status, 400, added.said)
  const inThread = { id: thread, object: 'thread', created_at: 0, messages: says(1), metadata: {} }
  const run = { assistant_id, instructions: '', model: '', thread: inThread }
  const ran = await memgpt(key, '/v1/threads/runs', run)
  assert.deepEqual([ran.status, /may have 4 messages/.test(ran.said)], [400, true], ran.said)
  await threads.messages.delete(fourth.id, { thread_id: thread })
  await threads.messages.create(thread, say())
  assert.equal(await countOf(client, thread), 4)
})

test('the last message of a full thread is answered, and then no run begins', async () => {
  const { client, assistant_id, threads } = await shop('last-word', '--thread-messages', '2')
  const { id: thread } = await threads.create({ messages: says(2) })
  assert.equal((await threads.runs.createAndPoll(thread, { assistant_id })).status, 'completed')
  assert.equal(await countOf(client, thread), 3)
  await assert.rejects(threads.runs.create(thread, { assistant_id }), { ...tooLong, param: 'thread_id' })
})

test('messages that wait for a thread count, and those of runs that were many do not', async () => {
  const { client, assistant_id, threads } = await shop('waiting', '--thread-messages', '6')
  const { id: thread } = await threads.create({ messages: says(1) })
  const { opened, open } = gate()
  mock.next(text('Wait', opened, '.'))
  const run = await threads.runs.create(thread, { assistant_id })
  await mock.received(0)
  await threads.runs.create(thread, { assistant_id, additional_messages: says(2) }, queue)
  await threads.messages.create(thread, say(), queue)
  const two = { assistant_id, additional_messages: says(3) }
  await assert.rejects(threads.runs.create(thread, two, queue), tooLong)
  open()
  await threads.runs.poll(run.id, { thread_id: thread })
  while ((await countOf(client, thread)) < 6) await new Promise(setImmediate)
  await assert.rejects(threads.messages.create(thread, say()), tooLong)
  // Runs take numbers of the thread as messages do, and are none.
  const { id: quiet } = await threads.create({ messages: says(1) })
  mock.reset()
  for (let i = 0; i < 4; i++) {
    const { id } = await threads.runs.createAndPoll(quiet, { assistant_id })
    const [answer] = (await threads.messages.list(quiet, { run_id: id })).data
    await threads.messages.delete(answer?.id ?? '', { thread_id: quiet })
  }
  for (let i = 0; i < 5; i++) await threads.messages.create(quiet, say())
  await assert.rejects(threads.messages.create(quiet, say()), tooLong)
})

test('of many messages that come at once on two nodes exactly as many get in as there is room for', async (t) => {
  const { client, threads } = await shop('racing', '--thread-messages', '30')
  const second = await anotherNode(t, server, {}, env)
  await second.app.keys.changed()
  const there = client.withOptions({ baseURL: `${second.app.url}/v1` })
  for (let round = 0; round < 3; round++) {
    const { id: thread } = await threads.create({ messages: says(10) })
    const sent = Array.from({ length: 40 }, (_, i) =>
      (i % 2 ? there : client).beta.threads.messages.create(thread, say()).then(
        () => 'in',
        (error: { code?: string }) => error.code ?? 'another error',
      ),
    )
    const outcomes = await Promise.all(sent)
    assert.deepEqual(
      [outcomes.filter((one) => one === 'in').length, new Set(outcomes)],
      [20, new Set(['in', 'thread_too_long'])],
    )
    assert.equal(await countOf(client, thread), 30)
  }
})

test('a message that had to wait while another came in counts that one', async () => {
  const { client, threads } = await shop('late', '--thread-messages', '11')
  const { id: thread } = await threads.create({ messages: says(10) })
  const other = new pg.Client({ connectionString: db.url })
  await other.connect()
  // As another node would, and not yet committed.
  await other.query('begin')
  await other.query('update threads set next_seq = next_seq + 1 where id = $1', [thread])
  await other.query(
    `insert into messages select (jsonb_populate_record(m, jsonb_build_object('id', $2::text, 'seq', m.seq + 1))).*
    from messages m where thread_id = $1 order by seq desc limit 1`,
    [thread, newId('message')],
  )
  const refused = assert.rejects(threads.messages.create(thread, say()), tooLong)
  const waiting =
    "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
  while ((await db.sql(waiting)).length === 0) await new Promise(setImmediate)
  await other.query('commit')
  await other.end()
  await refused
  assert.equal(await countOf(client, thread), 11)
})

test(
  'a body that is larger than its key or project may send is refused with 413, before it has come',
  { timeout: 20_000 },
  async () => {
    const { client, threads, key, id } = await shop('bodies', '--body-bytes', '2000')
    const { id: thread } = await threads.create()
    await threads.messages.create(thread, say('x'.repeat(1_900)))
    const refused = { status: 413, message: /larger than the 2000 bytes that the project bodies may send/ }
    await assert.rejects(threads.messages.create(thread, say('x'.repeat(2_000))), refused)
    await limit('keys', id, '--body-bytes', '1000')
    await assert.rejects(threads.messages.create(thread, say('x'.repeat(1_900))), {
      status: 413,
      message: new RegExp(`1000 bytes that the key ${id}`),
    })
    // It says how large it is, and is not waited for.
    const start = `POST /v1/threads HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n`
    assert.match(await answerTo(`${start}content-length: 1001\r\n\r\n`), /^HTTP\/1\.1 413 /)
    // It does not say, and is broken off.
    const chunk = `200\r\n${' '.repeat(512)}\r\n`
    const chunked = `${start}transfer-encoding: chunked\r\n\r\n`
    assert.match(await answerTo(chunked + chunk + chunk), /^HTTP\/1\.1 413 [^]*1000 bytes/)
    assert.match(await answerTo(`${chunked}2\r\n{}\r\n0\r\n\r\n`), /^HTTP\/1\.1 200 /)
    // The server's own bound holds for all, and files have theirs.
    await limit('keys', id, '--body-bytes', '999999999')
    await limit('projects', 'bodies', '--body-bytes', 'none')
    await assert.rejects(threads.messages.create(thread, say('x'.repeat(33 << 20))), { status: 413 })
    await limit('projects', 'bodies', '--body-bytes', '1000')
    const file = new File(['x'.repeat(5_000)], 'mill.txt')
    assert.equal((await client.files.create({ file, purpose: 'assistants' })).bytes, 5_000)
  },
)

/** What the server answers to these bytes, while the connection stays open. */
function answerTo(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(app.url).port), host: '127.0.0.1' })
    let answer = ''
    socket.once('error', reject)
    socket.on('data', (data) => {
      answer += data.toString()
      if (!/\r\n\r\n[^]*\}/.test(answer)) return
      socket.destroy()
      resolve(answer)
    })
    socket.write(bytes)
  })
}
