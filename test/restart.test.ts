import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { makeFolder } from './support/embedded-postgres.ts'
import { delta, gate, hang, text, toolCalls, type Answer } from './support/mock-model.ts'
import { anotherNode } from './support/nodes.ts'
import { serve } from './support/npm-start.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// Servers that stop in order, and servers that vanish; the database stays.

test('a server that stops lets a run end that is about to', async () => {
  const server = await startServer()
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  server.mock.next(text('Just', held.opened, ' in time.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await server.mock.received(0)
  const restarted = server.restart()
  held.open()
  await restarted
  const ended = await server.client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal(server.mock.requests.length, 1)
})

test('a run that does not end in time is undone, queued, and carried on by the next server', async () => {
  const server = await startServer({ tuning: { drainMs: 50 } })
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(text('Half an', gate().opened))
  const stream = server.client.beta.threads.runs.stream(thread, { assistant_id: assistant })
  stream.on('error', () => {})
  await stream.emitted('textDelta')
  server.mock.next(text('A whole answer.'))
  await server.restart()
  const run = (await server.client.beta.threads.runs.list(thread)).data[0]
  const ended = await server.client.beta.threads.runs.poll(run?.id ?? '', { thread_id: thread })
  assert.equal(ended.status, 'completed')
  const messages = (await server.client.beta.threads.messages.list(thread)).data
  assert.deepEqual(messages.map(textOf), ['A whole answer.', 'Good morning?'])
  // The step of the undone turn stays and says why.
  const steps = (
    await server.client.beta.threads.runs.steps.list(ended.id, { thread_id: thread, order: 'asc' })
  ).data
  assert.deepEqual(
    steps.map((step) => [step.type, step.status, step.last_error?.code]),
    [
      ['message_creation', 'failed', 'server_error'],
      ['message_creation', 'completed', undefined],
    ],
  )
  // A drain is not the run's fault: it costs no attempt.
  const [row] = await server.db.sql<{ attempts: number }>('select attempts from runs where id = $1', [
    ended.id,
  ])
  assert.equal(row?.attempts, 0)
})

test('a run that waits for outputs is still there after a restart and takes them', async () => {
  const server = await startServer()
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  server.mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Thanks.'))
  const asked = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await server.restart()
  const ended = await server.client.beta.threads.runs.submitToolOutputsAndPoll(asked.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '1' }],
  })
  assert.equal(ended.status, 'completed')
})

test('the runs of a node that fell silent are taken over, and fail after three lost attempts', async () => {
  const server = await startServer()
  const { assistant, thread } = await readyToRun(server)
  const { db, client, mock } = server
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  // As a crash leaves it: in progress, owned by a node that is not there.
  const lose = async () => {
    await db.sql(
      `update runs set status = 'in_progress', owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1
       where id = $1`,
      [run.id],
    )
    await server.app.engine.sweep()
  }
  mock.next(hang(), hang())
  await lose()
  await mock.received(1)
  await lose()
  await mock.received(2)
  await lose()
  const failed = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(failed.status, 'failed')
  assert.equal(failed.last_error?.code, 'server_error')
  assert.match(failed.last_error?.message ?? '', /stopped 3 times/)
  await client.beta.threads.messages.create(thread, { role: 'user', content: 'Free again.' })
})

test(
  'a server that was paused until another took its runs wakes up to change and tell nothing',
  { timeout: 60_000 },
  async (t) => {
    const server = await startServer()
    const { assistant, thread } = await readyToRun(server)
    const { db, mock } = server
    const dataDir = await makeFolder(t)
    const env = {
      DATABASE_URL: db.url,
      OPENAI_BASE_URL: mock.baseUrl,
      OPENAI_API_KEY: 'sk-test-of-the-backend',
    }
    const paused = await serve(t, dataDir, { env })
    const client = new OpenAI({ baseURL: `${paused.url}/v1`, apiKey: 'unused', maxRetries: 0 })
    const [goOn, sent] = [gate(), gate()]
    const halfAnswer: Answer = async (exchange) => {
      await exchange.send(delta({ content: 'Half' }))
      await goOn.opened
      await exchange.send(delta({ content: ' of it' }))
      sent.open()
      await hang()(exchange)
    }
    mock.next(halfAnswer, text('Whole.'))
    const deltas: string[] = []
    const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
    stream.on('textDelta', ({ value }) => deltas.push(value ?? ''))
    await stream.emitted('textDelta')
    const run = stream.currentRun()?.id ?? ''
    paused.signalGroup('SIGSTOP')
    await mock.received(1)
    const ended = await server.client.beta.threads.runs.poll(run, { thread_id: thread })
    assert.equal(ended.status, 'completed')
    const rows = async () => [
      await db.sql('select * from runs where id = $1', [run]),
      await db.sql('select * from run_steps where run_id = $1 order by id', [run]),
      await db.sql('select * from messages where thread_id = $1 order by id', [thread]),
      await db.sql('select * from threads where id = $1', [thread]),
    ]
    const before = await rows()
    // What the model goes on to say is there before the server wakes up.
    goOn.open()
    await sent.opened
    paused.signalGroup('SIGCONT')
    assert.equal(await mock.requests[0]?.ended, 'aborted')
    // The stream goes on with what the other has told; of the text that came after, nothing.
    assert.equal((await stream.finalRun()).status, 'completed')
    assert.deepEqual(deltas, ['Half', 'Whole.'])
    assert.deepEqual(await rows(), before)
    assert.equal(mock.requests.length, 2)
  },
)

test('a start forgets servers that were killed long ago, but none that a run still names', async (t) => {
  const server = await startServer({ tuning: { alone: false, sweepMs: 3_600_000 } })
  const { assistant, thread } = await readyToRun(server)
  await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await server.db.sql(
    `insert into nodes (id, started_at, seen_at) select id, 0, threadmill_now() - age
     from (values ('long-gone', 3600), ('named', 3600), ('just-gone', 60)) as gone (id, age)`,
  )
  await server.db.sql(`update runs set owner_node = 'named'`)
  await anotherNode(t, server, { sweepMs: 3_600_000 })
  const rows = await server.db.sql<{ id: string }>(
    `select id from nodes where id like '%gone' or id = 'named'`,
  )
  assert.deepEqual(rows.map(({ id }) => id).toSorted(), ['just-gone', 'named'])
})

test('a task whose run was ended elsewhere stops within a beat', async () => {
  const server = await startServer()
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(hang())
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const request = await server.mock.received(0)
  await server.db.sql(
    `with r as (update runs set status = 'cancelled', version = version + 1, owner_node = null, ended_at = 1 where id = $1)
     update threads set active_run_id = null where id = $2`,
    [run.id, thread],
  )
  await server.app.engine.sweep()
  assert.equal(await request.ended, 'aborted')
})

test('a server whose database goes away answers 503 and recovers by itself', async () => {
  const server = await startServer()
  const { assistant, thread } = await readyToRun(server)
  await server.db.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'threadmill %'`,
  )
  // The broken connections are found one by one; each costs at most one refused request.
  const statuses: number[] = []
  for (let i = 0; i < 20; i++) statuses.push((await server.fetch(`/v1/threads/${thread}`)).status)
  assert.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(' '),
  )
  assert.equal(statuses.at(-1), 200)
  const run = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
})
