import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { asMemgpt, runsOf, speakMemgpt, type OpenAIMessage, type OpenAIRun } from './support/memgpt.ts'
import { gate, hang, text } from './support/mock-model.ts'
import { readyToRun, startServer } from './support/server.ts'
import { by, queue, queueing, replace, say } from './support/thread-queue.ts'

// What becomes of runs and messages that come while a run holds their thread: x-thread-policy.

const server = await startServer()
const { client, mock } = server
const { threads } = client.beta
const { heldThread, ended, runIds, textsOf, shown } = queueing(server)

test('a run that comes under queue waits for the run that holds the thread, and sees its answer', async () => {
  const { assistant, thread, holder, letGo } = await heldThread()
  mock.next(text('Second.'))
  const body = { assistant_id: assistant, additional_messages: [say('And then?')] }
  const second = await threads.runs.create(thread, body, queue)
  assert.deepEqual([second.status, second.expires_at, second.started_at], ['queued', null, null])
  // It is there for everyone, and its message is not.
  assert.deepEqual(await threads.runs.retrieve(second.id, { thread_id: thread }), second)
  assert.deepEqual(await runIds(thread), [second.id, holder])
  assert.deepEqual(await textsOf(thread), ['Good morning?'])
  letGo()
  const done = await ended(thread, second)
  assert.equal(done.status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'And then?', 'Second.'])
  assert.deepEqual(shown(1), ['Good morning?', 'First.', 'And then?'])
  assert.deepEqual(await runIds(thread), [second.id, holder])
})

test('messages that come under queue are in the thread when the run that holds it has ended', async () => {
  const { thread, holder, letGo } = await heldThread()
  const sent = []
  for (const each of ['a', 'b', 'c']) sent.push(await threads.messages.create(thread, say(each), queue))
  assert.deepEqual(await textsOf(thread), ['Good morning?'])
  await assert.rejects(threads.messages.retrieve(sent[0]?.id ?? '', { thread_id: thread }), { status: 404 })
  letGo()
  await ended(thread, { id: holder })
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'a', 'b', 'c'])
  for (const message of sent) {
    assert.deepEqual(await threads.messages.retrieve(message.id, { thread_id: thread }), message)
  }
})

test('on a thread that nobody holds every policy does the same at once', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  for (const policy of ['reject', 'queue', 'replace']) {
    await threads.messages.create(thread, say(policy), by(policy))
    const run = await threads.runs.create(thread, { assistant_id: assistant }, by(policy))
    assert.notEqual(run.expires_at, null)
    assert.equal((await ended(thread, run)).status, 'completed')
  }
  assert.equal((await textsOf(thread)).length, 7)
})

test("the request's policy goes before the thread's, and the thread's before the server's", async (t) => {
  const made = await threads.create({}, queue).withResponse()
  const thread = made.data.id
  assert.equal(made.response.headers.get('x-thread-policy'), 'queue')
  const policyOf = async () => (await threads.retrieve(thread).asResponse()).headers.get('x-thread-policy')
  assert.equal(await policyOf(), 'queue')
  const { assistant } = await readyToRun(server)
  mock.reset()
  const held = gate()
  mock.next(text(held.opened, 'First.'))
  const first = await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const create = (headers?: OpenAI.RequestOptions) =>
    threads.runs.create(thread, { assistant_id: assistant }, headers)
  await assert.rejects(create(by('reject')), /already has an active run/)
  const waiting = await create()
  assert.equal(waiting.status, 'queued')
  const changed = await threads.update(thread, {}, by('reject')).withResponse()
  assert.equal(changed.response.headers.get('x-thread-policy'), 'reject')
  await assert.rejects(create(), { status: 400 })
  assert.equal((await create(queue)).status, 'queued')
  // A change without the header leaves it.
  await threads.update(thread, { metadata: { a: 'b' } })
  assert.equal(await policyOf(), 'reject')
  const whole = await threads
    .createAndRun({ assistant_id: assistant, thread: { messages: [say('x')] } }, replace)
    .withResponse()
  assert.equal(whole.response.headers.get('x-thread-policy'), 'replace')
  held.open()
  await ended(thread, waiting)
  assert.equal((await ended(thread, first)).status, 'completed')
  const plain = await threads.create().withResponse()
  assert.equal(plain.response.headers.get('x-thread-policy'), null)

  const queueing = await startServer({ env: { THREAD_POLICY: 'queue' }, tuning: { drainMs: 0 } })
  t.after(() => queueing.app.stop())
  const ready = await readyToRun(queueing)
  queueing.mock.next(hang())
  const body = { assistant_id: ready.assistant }
  await queueing.client.beta.threads.runs.create(ready.thread, body)
  const second = await queueing.client.beta.threads.runs.create(ready.thread, body)
  assert.equal(second.expires_at, null)
  await queueing.client.beta.threads.update(ready.thread, {}, by('reject'))
  await assert.rejects(queueing.client.beta.threads.runs.create(ready.thread, body), { status: 400 })
})

test('a policy that there is not is refused by the name of its header, before anything is done', async () => {
  const { assistant, thread } = await readyToRun(server)
  const wrong = { status: 400, param: 'x-thread-policy', code: 'invalid_value' }
  const bad = by('enqueue')
  await assert.rejects(threads.runs.create(thread, { assistant_id: assistant }, bad), wrong)
  await assert.rejects(threads.messages.create(thread, say('x'), bad), wrong)
  await assert.rejects(threads.create({}, bad), wrong)
  await assert.rejects(threads.update(thread, {}, bad), wrong)
  await assert.rejects(threads.createAndRun({ assistant_id: assistant }, bad), wrong)
  await assert.rejects(threads.createAndRun({ assistant_id: assistant }, bad), /'reject', 'queue', 'replace'/)
  assert.deepEqual(await runIds(thread), [])
  // Who has no use for it overlooks it.
  await threads.retrieve(thread, bad)
})

test('a message is not deleted while a run holds the thread, whatever the policy', async () => {
  const { thread, holder, letGo } = await heldThread()
  const [message] = (await threads.messages.list(thread)).data
  await assert.rejects(
    threads.messages.delete(message?.id ?? '', { thread_id: thread }, queue),
    new RegExp(`Can't delete messages of ${thread} while a run ${holder} is active`),
  )
  letGo()
  await ended(thread, { id: holder })
})

test('in the memgpt dialect the header does the same', async () => {
  const { ask, reached } = speakMemgpt(server)
  const { assistant, thread, letGo } = await heldThread()
  const headers = { ...asMemgpt, 'x-thread-policy': 'queue' }
  const body = { assistant_id: assistant, instructions: 'Be brief.' }
  const first = await ask<OpenAIRun>('POST', runsOf(thread), body, headers)
  assert.equal(first.status, 'queued')
  // Never null there.
  assert.equal(typeof first.expires_at, 'number')
  const message = { role: 'user', content: 'a' }
  const sent = await ask<OpenAIMessage>('POST', `/v1/threads/${thread}/messages`, message, headers)
  const onThread = {
    ...body,
    model: 'mock-model',
    thread: { id: thread, messages: [{ role: 'user', content: 'b' }] },
  }
  const second = await ask<OpenAIRun>('POST', '/v1/threads/runs', onThread, headers)
  assert.equal(second.thread_id, thread)
  const bad = await fetch(`${server.app.url}${runsOf(thread)}`, {
    method: 'POST',
    headers: { ...asMemgpt, 'x-thread-policy': 'wait', 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  assert.equal(bad.status, 400)
  assert.match(((await bad.json()) as { detail: string }).detail, /x-thread-policy/)
  letGo()
  await reached(first, 'completed')
  await reached(second, 'completed')
  assert.equal((await threads.messages.retrieve(sent.id, { thread_id: thread })).id, sent.id)
  assert.deepEqual(
    (await textsOf(thread)).filter((each) => each.length === 1),
    ['a', 'b'],
  )
  const made = await fetch(`${server.app.url}/v1/threads`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: '{}',
  })
  assert.equal(made.headers.get('x-thread-policy'), 'queue')
})
