import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'
import { queue, queueing, replace, say } from './support/thread-queue.ts'

// Runs and messages that take the place of the run that holds their thread.

const server = await startServer()
const { client, mock, db } = server
const { threads } = client.beta
const { heldThread, ended, statusOf, textsOf } = queueing(server)

test('replace cancels a run in progress and comes next, before all that wait', async () => {
  const { assistant, thread, holder } = await heldThread()
  mock.next(text('Instead.'), text('Later.'))
  const body = { assistant_id: assistant }
  const waiting = await threads.runs.create(thread, { ...body, additional_messages: [say('later')] }, queue)
  const instead = await threads.runs.create(
    thread,
    { ...body, additional_messages: [say('instead')] },
    replace,
  )
  assert.equal(instead.status, 'queued')
  assert.equal((await ended(thread, { id: holder })).status, 'cancelled')
  assert.equal((await ended(thread, instead)).status, 'completed')
  assert.equal((await ended(thread, waiting)).status, 'completed')
  assert.deepEqual(await textsOf(thread), ['Good morning?', 'instead', 'Instead.', 'later', 'Later.'])
})

test('replace takes the place of a run that waits for outputs, and of one that nobody has begun', async (t) => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Instead.'))
  const asking = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const instead = await threads.runs.createAndPoll(thread, { assistant_id: assistant }, replace)
  assert.equal(instead.status, 'completed')
  assert.equal(await statusOf(thread, asking.id), 'cancelled')

  const small = await startServer({ env: { MAX_CONCURRENT_RUNS: '1' } })
  t.after(() => small.app.stop())
  const [busy, ready] = [await readyToRun(small), await readyToRun(small)]
  const held = gate()
  small.mock.next(text(held.opened, 'x'))
  const { runs } = small.client.beta.threads
  await runs.create(busy.thread, { assistant_id: busy.assistant })
  await small.mock.received(0)
  const queued = await runs.create(ready.thread, { assistant_id: ready.assistant })
  const after = await runs.create(ready.thread, { assistant_id: ready.assistant }, replace)
  assert.equal((await runs.retrieve(queued.id, { thread_id: ready.thread })).status, 'cancelled')
  held.open()
  assert.equal((await runs.poll(after.id, { thread_id: ready.thread })).status, 'completed')
})

test('of several runs that replace each other the last one stays', async () => {
  const { assistant, thread, holder } = await heldThread()
  mock.when(() => true, text('Done.'))
  const bodies = ['a', 'b', 'c'].map((content) => ({
    assistant_id: assistant,
    additional_messages: [say(content)],
  }))
  const created = []
  for (const body of bodies) created.push(await threads.runs.create(thread, body, replace))
  const statuses = []
  for (const run of created) statuses.push((await ended(thread, run)).status)
  assert.equal((await ended(thread, { id: holder })).status, 'cancelled')
  assert.equal(statuses.at(-1), 'completed')
  // Their messages were acknowledged: each is there, in the order in which it came.
  const said = (await textsOf(thread)).filter((each) => /^[abc]$/.test(each))
  assert.deepEqual(said, ['a', 'b', 'c'])
})

test('a message under replace cancels the run that holds the thread and comes behind it, in order', async () => {
  const { thread, holder } = await heldThread()
  await threads.messages.create(thread, say('a'), replace)
  await threads.messages.create(thread, say('b'), replace)
  assert.equal((await ended(thread, { id: holder })).status, 'cancelled')
  assert.deepEqual(
    (await textsOf(thread)).filter((each) => each !== ''),
    ['Good morning?', 'a', 'b'],
  )
})

test('a message that replaces after a run that was to do the same cancels that run, too', async () => {
  const { assistant, thread, holder } = await heldThread()
  mock.next(hang())
  const waiting = await threads.runs.create(thread, { assistant_id: assistant }, replace)
  await threads.messages.create(thread, say('a'), replace)
  assert.equal((await ended(thread, { id: holder })).status, 'cancelled')
  assert.equal((await ended(thread, waiting)).status, 'cancelled')
  assert.deepEqual(
    (await textsOf(thread)).filter((each) => each !== ''),
    ['Good morning?', 'a'],
  )
})

test('a run that was to be replaced is cancelled by the sweep if who asked for it did not get to it', async () => {
  const { assistant, thread, holder } = await heldThread()
  mock.next(text('Instead.'))
  const instead = await threads.runs.create(thread, { assistant_id: assistant }, queue)
  // As a server leaves it that dies between the two commits of a replacing run.
  await db.sql('update thread_queue set front = true where thread_id = $1', [thread])
  await server.app.engine.sweep()
  assert.equal((await ended(thread, { id: holder })).status, 'cancelled')
  assert.equal((await ended(thread, instead)).status, 'completed')
})
