import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

const server = await startServer()
const { client, mock, db } = server

test('of 50 concurrent creates on one thread exactly one wins, and the others name it', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const results = await Promise.allSettled(
    Array.from({ length: 50 }, () => client.beta.threads.runs.create(thread, { assistant_id: assistant })),
  )
  const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  assert.equal(won.length, 1)
  const refused = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as Error & { status: number }] : [],
  )
  assert.equal(refused.length, 49)
  for (const error of refused) {
    assert.equal(error.status, 400)
    assert.match(error.message, new RegExp(`Thread ${thread} already has an active run ${won[0]?.id}\\.`))
  }
  assert.equal((await client.beta.threads.runs.list(thread)).data.length, 1)
  await client.beta.threads.runs.cancel(won[0]?.id ?? '', { thread_id: thread })
  await client.beta.threads.runs.poll(won[0]?.id ?? '', { thread_id: thread })
})

test('creates, messages and deletes that race leave one run and a thread without gaps', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const [message] = (await client.beta.threads.messages.list(thread)).data
  await Promise.allSettled([
    ...Array.from({ length: 10 }, () =>
      client.beta.threads.messages.create(thread, { role: 'user', content: 'x' }),
    ),
    ...Array.from({ length: 10 }, () => client.beta.threads.runs.create(thread, { assistant_id: assistant })),
    client.beta.threads.messages.delete(message?.id ?? '', { thread_id: thread }),
    ...Array.from({ length: 10 }, () =>
      client.beta.threads.messages.create(thread, { role: 'user', content: 'y' }),
    ),
  ])
  const [run] = (await client.beta.threads.runs.list(thread)).data
  const rows = await db.sql<{ seq: number }>(
    `select seq::int from messages where thread_id = $1 union all select seq::int from runs where thread_id = $1 order by seq`,
    [thread],
  )
  const seqs = rows.map((row) => row.seq)
  assert.equal(new Set(seqs).size, seqs.length)
  // Nothing was added behind the run: the lock held from its creation on.
  const [own] = await db.sql<{ seq: number }>('select seq::int from runs where id = $1', [run?.id])
  assert.equal(seqs.at(-1), own?.seq)
  await client.beta.threads.runs.cancel(run?.id ?? '', { thread_id: thread })
})

test('the lock ends with the run: after run.completed the next create succeeds at once', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  for (let i = 0; i < 20; i++) {
    const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
    for await (const event of stream) {
      if (event.event === 'thread.run.completed') {
        await client.beta.threads.messages.create(thread, { role: 'user', content: `Message ${i}` })
      }
    }
  }
})

test('in every active status the thread refuses messages and runs, and reads, metadata and cancel go through', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  const held = gate()
  mock.next(text(held.opened), toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const inProgress = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const assertLocked = async (run: string) => {
    await assert.rejects(
      client.beta.threads.messages.create(thread, { role: 'user', content: 'x' }),
      new RegExp(`Can't add messages to ${thread} while a run ${run} is active\\.`),
    )
    await assert.rejects(
      client.beta.threads.runs.create(thread, { assistant_id: assistant }),
      /already has an active run/,
    )
    await client.beta.threads.messages.list(thread)
    await client.beta.threads.update(thread, { metadata: { seen: 'yes' } })
    const modified = await client.beta.threads.runs.update(run, {
      thread_id: thread,
      metadata: { note: 'mine' },
    })
    assert.deepEqual(modified.metadata, { note: 'mine' })
  }
  await assertLocked(inProgress.id)
  held.open()
  assert.equal(
    (await client.beta.threads.runs.poll(inProgress.id, { thread_id: thread })).status,
    'completed',
  )
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'x' })

  const waiting = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(waiting.status, 'requires_action')
  await assertLocked(waiting.id)
  await client.beta.threads.runs.cancel(waiting.id, { thread_id: thread })
  // Metadata survives the change of status.
  const ended = await client.beta.threads.runs.retrieve(waiting.id, { thread_id: thread })
  assert.deepEqual([ended.status, ended.metadata], ['cancelled', { note: 'mine' }])
})

test('additional messages are added with the run or not at all', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const first = await client.beta.threads.runs.create(thread, {
    assistant_id: assistant,
    additional_messages: [
      { role: 'user', content: 'One more' },
      { role: 'assistant', content: 'and an answer' },
    ],
  })
  const request = await mock.received(0)
  assert.deepEqual(
    request.body.messages?.map((message) => message.content),
    ['Be brief.', 'Good morning?', 'One more', 'and an answer'],
  )
  await assert.rejects(
    client.beta.threads.runs.create(thread, {
      assistant_id: assistant,
      additional_messages: [{ role: 'user', content: 'lost' }],
    }),
    /already has an active run/,
  )
  assert.equal((await client.beta.threads.messages.list(thread)).data.length, 3)
  await client.beta.threads.runs.cancel(first.id, { thread_id: thread })
})

test('200 runs at once on 200 threads all complete, each with its own answer', async () => {
  mock.reset()
  mock.when(
    () => true,
    async (exchange) => {
      const question = exchange.request.body.messages?.at(-1)?.content
      await text(`You said `, typeof question === 'string' ? question : '')(exchange)
    },
  )
  const assistant = await client.beta.assistants.create({ model: 'mock-model' })
  const runs = await Promise.all(
    Array.from({ length: 200 }, (_, i) =>
      client.beta.threads.createAndRunPoll({
        assistant_id: assistant.id,
        thread: { messages: [{ role: 'user', content: `number ${i}` }] },
      }),
    ),
  )
  assert.deepEqual(new Set(runs.map((run) => run.status)), new Set(['completed']))
  const answers = await Promise.all(
    runs.map(async (run) => {
      const [message] = (await client.beta.threads.messages.list(run.thread_id, { limit: 1 })).data
      const part = message?.content[0]
      return part?.type === 'text' ? part.text.value : ''
    }),
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 200 }, (_, i) => `You said number ${i}`),
  )
  const [left] = await db.sql<{ count: number }>(
    `select count(*)::int as count from threads where active_run_id in (select id from runs where ended_at is not null)`,
  )
  assert.equal(left?.count, 0)
  assert.equal(server.app.engine.running, 0)
})
