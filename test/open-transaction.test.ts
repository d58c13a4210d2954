import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import pg from 'pg'
import { gate, text } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { inProgress, readyToRun, textOf } from './support/server.ts'

// Someone else's transaction that stays open: an administrator's session, a backup. Its snapshot keeps dead rows from being
// removed, and its row locks keep what it has touched from being changed. Everything else must go on.

/** Milliseconds for which it stays open: longer than a write waits for rows that others hold. */
const openFor = 11_000

test('while a transaction of someone else stays open all that it does not hold goes on, and the rest when it ends', async (t) => {
  const server = await oneNode(t)
  const other = await anotherNode(t, server)
  const { client, mock, db } = server
  mock.when(() => true, text('Done.'))
  const held = gate()
  const isHeld = (body: object) => JSON.stringify(body).includes('hold me')
  mock.when(isHeld, text('Kept', held.opened, '.'))

  // Two runs that are under way, on either node, and two threads on which nothing is.
  const idle = await Promise.all([readyToRun(server), readyToRun(server)])
  const assistant_id = idle[0].assistant
  const running = await Promise.all(
    [client, other.client].map((one) =>
      one.beta.threads.createAndRun({
        assistant_id,
        thread: { messages: [{ role: 'user', content: 'hold me' }] },
      }),
    ),
  )
  await Promise.all(running.map((run) => inProgress(server, run.thread_id, run.id)))
  const blocker = new pg.Client({ connectionString: db.url })
  await blocker.connect()
  t.after(() => blocker.end())
  await blocker.query('begin')
  const threads = [...idle.map(({ thread }) => thread), ...running.map((run) => run.thread_id)]
  await blocker.query('select txid_current() from threads where id = any($1) for update', [threads])
  await blocker.query('select from runs where id = any($1) for update', [running.map(({ id }) => id)])
  // An open cursor keeps its snapshot.
  await blocker.query('declare seen cursor for select from runs')

  const until = performance.now() + openFor
  held.open()
  const late = idle.map(({ thread }) =>
    client.beta.threads.messages.create(thread, { role: 'user', content: 'late' }),
  )
  const refused = Promise.allSettled(late)
  let done = 0
  const work = async (worker: number) => {
    const { beta } = worker % 2 === 0 ? client : other.client
    while (performance.now() < until) {
      const thread = await beta.threads.create({ messages: [{ role: 'user', content: 'one' }] })
      await beta.threads.messages.create(thread.id, { role: 'user', content: 'two' })
      const run = await beta.threads.runs.createAndPoll(thread.id, { assistant_id })
      assert.equal(run.status, 'completed', run.last_error?.message)
      const messages = (await beta.threads.messages.list(thread.id, { order: 'asc' })).data.map(textOf)
      assert.deepEqual(messages, ['one', 'two', 'Done.'])
      if (done % 3 === 0) await beta.threads.delete(thread.id)
      done += 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, (_, i) => work(i)))
  const left = await db.sql<{ id: string }>('select id from runs where ended_at is null order by id')
  assert.deepEqual(left.map(({ id }) => id).toSorted(), running.map(({ id }) => id).toSorted())
  for (const { status, reason } of (await refused) as PromiseRejectedResult[]) {
    assert.equal(status, 'rejected')
    assert.ok(reason instanceof OpenAI.InternalServerError && reason.status === 503, String(reason))
    assert.equal(reason.headers?.get('retry-after'), '1')
  }
  await blocker.query('rollback')
  t.diagnostic(`${done} runs while it was open`)

  for (const run of running) {
    const ended = await client.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })
    assert.equal(ended.status, 'completed', ended.last_error?.message)
    const messages = (await client.beta.threads.messages.list(run.thread_id)).data.map(textOf)
    assert.deepEqual(messages, ['Kept.', 'hold me'])
  }
  // What their models had said was kept: no run was begun anew.
  assert.equal(mock.requests.filter(({ body }) => isHeld(body)).length, running.length)
  for (const { thread } of idle) {
    await client.beta.threads.messages.create(thread, { role: 'user', content: 'again' })
    const messages = (await client.beta.threads.messages.list(thread)).data.map(textOf)
    assert.deepEqual(messages, ['again', 'Good morning?'])
  }
})
