import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, text } from './support/mock-model.ts'
import { readyToRun, startServer, textOf } from './support/server.ts'

// What becomes of runs and messages that come while a run holds their thread: x-thread-policy.

const server = await startServer()
const { client, mock } = server
const { threads } = client.beta
const by = (policy: string) => ({ headers: { 'x-thread-policy': policy } })
const queue = by('queue')

const say = (content: string) => ({ role: 'user', content }) as const
const textsOf = async (thread: string) =>
  (await threads.messages.list(thread, { order: 'asc', limit: 100 })).data.map(textOf)

/** What the model was shown in its nth request, system prompt aside. */
const shown = (n: number) =>
  (mock.requests[n]?.body.messages ?? [])
    .filter(({ role }) => role !== 'system')
    .map(({ content }) => content)

test('a run that comes under queue waits for the run that holds the thread, and sees its answer', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const held = gate()
  mock.next(text(held.opened, 'First.'), text('Second.'))
  const first = await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const body = { assistant_id: assistant, additional_messages: [say('And then?')] }
  const second = await threads.runs.create(thread, body, queue)
  assert.deepEqual([second.status, second.expires_at, second.started_at], ['queued', null, null])
  // It is there for everyone, and its message is not.
  assert.deepEqual(await threads.runs.retrieve(second.id, { thread_id: thread }), second)
  assert.deepEqual(
    (await threads.runs.list(thread)).data.map(({ id }) => id),
    [second.id, first.id],
  )
  assert.deepEqual(await textsOf(thread), ['Good morning?'])
  held.open()
  const ended = await threads.runs.poll(second.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'And then?', 'Second.'])
  assert.deepEqual(shown(1), ['Good morning?', 'First.', 'And then?'])
})

test('a message that comes under queue is in the thread when the run that holds it has ended', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  const held = gate()
  mock.next(text(held.opened, 'First.'))
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const sent = []
  for (const each of ['a', 'b', 'c']) sent.push(await threads.messages.create(thread, say(each), queue))
  assert.deepEqual(await textsOf(thread), ['Good morning?'])
  await assert.rejects(threads.messages.retrieve(sent[0]?.id ?? '', { thread_id: thread }), { status: 404 })
  held.open()
  await threads.runs.poll(run.id, { thread_id: thread })
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'First.', 'a', 'b', 'c'])
  for (const message of sent) {
    assert.deepEqual(await threads.messages.retrieve(message.id, { thread_id: thread }), message)
  }
})
