import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newRunState } from '../src/domain/run.ts'
import { createLog } from '../src/log.ts'
import { gate, hang, text, toolCalls } from './support/mock-model.ts'
import { anotherNode, oneNode, hold, lastBeat } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { keyOf, newRun } from './support/records.ts'
import { inProgress, readyToRun, textOf, tool, type TestServer } from './support/server.ts'

// Who works on a run, and until when: heartbeats, sweeps, take-overs, and the room for runs.

/** No sweep comes by itself: the test calls `sweep()`. */
const byHand = { sweepMs: 3_600_000, drainMs: 0 }
const never = () => gate().opened

/** A run that waits for outputs, is past its deadline and whose thread someone holds; answers how to let it go. */
async function stuckRun(server: TestServer): Promise<() => Promise<void>> {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  server.mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
  const { id } = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  await server.db.sql('update runs set deadline = 1 where id = $1', [id])
  return hold(server.db.url, 'select from threads where id = $1 for update', [thread])
}

/** Writes a run of nobody, unless it says otherwise, and announces it to nobody; answers its id. */
async function writeRun(
  { app }: TestServer,
  thread: string,
  { owner = null, deadline = app.store.clock.now() + 600 }: { owner?: string | null; deadline?: number },
): Promise<string> {
  const run = newRun(thread)
  run.state = newRunState(owner, deadline)
  await app.store.write({ kind: 'create_run', thread: keyOf(thread), messages: [], run })
  return run.id
}

/** Puts `around` in front of the statements that this node sends on its pool of reads. */
function intercept({ app }: TestServer, around: (name: string, query: () => Promise<unknown>) => unknown) {
  const { pool } = app.store
  const genuine = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>
  pool.query = ((config: { name: string }) => around(config.name, () => genuine(config))) as typeof pool.query
}

/** Since when statements of one pool have been waiting for a lock. */
async function waitingSince({ db }: TestServer, pool: 'reads' | 'writes'): Promise<string[]> {
  const rows = await db.sql<{ since: string }>(
    `select query_start::text as since from pg_stat_activity
     where wait_event_type = 'Lock' and datname = current_database() and application_name = $1`,
    [`threadmill ${pool}`],
  )
  return rows.map(({ since }) => since)
}

test('the heartbeat goes on while a sweep waits for a thread that someone holds', async (t) => {
  const server = await oneNode(t, { tuning: { beatMs: 50, drainMs: 0 } })
  const letGo = await stuckRun(server)
  let over = false
  const sweeping = server.app.engine.sweep().then(() => (over = true))
  for (let beats = 0; beats < 4; beats++) {
    const last = await lastBeat(server, server.app)
    await until(async () => (await lastBeat(server, server.app)) > last, 'a beat')
  }
  assert.equal(over, false)
  await letGo()
  await sweeping
})

test('a run that cannot be looked after keeps no other from being expired, taken over or begun', async (t) => {
  const logged: string[] = []
  const log = createLog('warn', (line) => logged.push(line) > 0)
  const server = await oneNode(t, { tuning: byHand, log })
  const { db, mock, client } = server
  const letGo = await stuckRun(server)
  const [due, orphaned, waiting] = [
    await readyToRun(server),
    await readyToRun(server),
    await readyToRun(server),
  ]
  mock.reset()
  mock.when(() => true, hang())
  const ids = [
    await writeRun(server, due.thread, { deadline: 2 }),
    await writeRun(server, orphaned.thread, { owner: 'gone' }),
    await writeRun(server, waiting.thread, {}),
  ]
  await server.app.engine.sweep()
  // Nor does it keep the next sweep waiting: it is still being tried.
  assert.deepEqual(
    logged.filter((line) => line.includes('could not look after a run')),
    [],
  )
  await mock.received(1)
  const expired = () => client.beta.threads.runs.retrieve(ids[0] ?? '', { thread_id: due.thread })
  await until(async () => (await expired()).status === 'expired', 'the run that is due')
  const rows = await db.sql<{ owner_node: string }>('select owner_node from runs where id = any($1)', [
    ids.slice(1),
  ])
  assert.deepEqual(
    rows.map(({ owner_node }) => owner_node),
    [server.app.store.node, server.app.store.node],
  )
  await letGo()
})

test('a node that dies with more runs than are looked for at a time leaves none of them to later sweeps', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const { client, mock } = server
  mock.when(() => true, hang())
  const threads = await Promise.all(Array.from({ length: 230 }, () => client.beta.threads.create()))
  await Promise.all(threads.map(({ id }) => writeRun(server, id, { owner: 'gone' })))
  await server.app.engine.sweep()
  await mock.received(threads.length - 1)
})

test('a part of the sweep that fails hinders no other part', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const { thread } = await readyToRun(server)
  intercept(server, async (name, query) => {
    if (name === 'due_runs' || name === 'orphaned_runs') throw new Error('as if it could not be read')
    return query()
  })
  // Nobody's and not announced: it has to be claimed.
  await writeRun(server, thread, {})
  await server.app.engine.sweep()
  await server.mock.received(0)
})

test('a purge that waits keeps neither heartbeats nor sweeps waiting', async (t) => {
  const server = await oneNode(t, { tuning: { beatMs: 50, sweepMs: 50, drainMs: 0 } })
  const { db, app } = server
  const [doomed, orphaned] = [await readyToRun(server), await readyToRun(server)]
  const letGo = await hold(db.url, 'select from messages where thread_id = $1 for update', [doomed.thread])
  await server.client.beta.threads.delete(doomed.thread)
  await until(async () => (await waitingSince(server, 'reads')).length === 1, 'the purge waits')
  const purge = await waitingSince(server, 'reads')
  const last = await lastBeat(server, app)
  await writeRun(server, orphaned.thread, { owner: 'gone' })
  await server.mock.received(0)
  await until(async () => (await lastBeat(server, app)) > last, 'a beat')
  assert.deepEqual(await waitingSince(server, 'reads'), purge)
  await letGo()
})

test('a node that slept through its lease tells no more of its runs, and takes none until it beats again', async (t) => {
  let slept = 0
  const monotonic = () => performance.now() + slept
  const server = await oneNode(t, { tuning: { ...byHand, beatMs: 3_600_000, monotonic } })
  const { client, mock } = server
  const [first, second] = [await readyToRun(server), await readyToRun(server)]
  const woken = gate()
  mock.next(text('Half', woken.opened, ' of it', never()), text('Anew.'), text('Later.'))
  const deltas: string[] = []
  const stream = client.beta.threads.runs.stream(first.thread, { assistant_id: first.assistant })
  stream.on('textDelta', ({ value }) => deltas.push(value ?? ''))
  await stream.emitted('textDelta')
  slept = 4_001
  woken.open()
  assert.equal(await mock.requests[0]?.ended, 'aborted')
  assert.deepEqual(deltas, ['Half'])
  const waiting = await client.beta.threads.runs.create(second.thread, { assistant_id: second.assistant })
  assert.equal(server.app.engine.running, 0)
  assert.equal(server.app.store.room.take(1).count, 0)
  // The run is still this node's by the database, and nobody else has come.
  for (let i = 0; i < 2; i++) await server.app.engine.sweep()
  assert.equal((await stream.finalRun()).status, 'completed')
  assert.equal(deltas.length, 2)
  const messages = (await client.beta.threads.messages.list(first.thread)).data
  assert.equal(textOf(messages[0]), deltas[1])
  const later = await client.beta.threads.runs.poll(waiting.id, { thread_id: second.thread })
  assert.equal(later.status, 'completed')
})

test("a run that became this node's before a lapse of its lease is begun only if nobody has taken it since", async (t) => {
  let slept = 0
  const monotonic = () => performance.now() + slept
  const server = await oneNode(t, { tuning: { ...byHand, beatMs: 3_600_000, monotonic } })
  const { client, mock, db } = server
  const lapse = async () => {
    slept += 4_001
    await server.app.store.beat()
  }
  /** Creates a run whose commit takes so long that the lease lapses meanwhile, and is held again. */
  const createSlowly = async () => {
    const { assistant, thread } = await readyToRun(server)
    const letGo = await hold(db.url, 'lock table runs in share mode', [])
    const created = client.beta.threads.runs.create(thread, { assistant_id: assistant })
    await until(async () => (await waitingSince(server, 'writes')).length === 1, 'the write')
    await lapse()
    await letGo()
    return { thread_id: thread, id: (await created).id }
  }
  mock.when(() => true, text('Done.'))
  const left = await createSlowly()
  assert.equal((await client.beta.threads.runs.poll(left.id, left)).status, 'completed')
  assert.equal(mock.requests.length, 1)
  await db.sql(`insert into nodes (id, started_at, seen_at) values ('another', 0, threadmill_now() + 1000)`)
  const taken: string[] = []
  const take = async (where: string) => {
    taken.push(where)
    await db.sql(
      `update runs set owner_node = 'another', lease_epoch = lease_epoch + 1, version = version + 1
       where status = 'queued'`,
    )
  }
  intercept(server, async (name, query) => {
    if (name === 'get_run') await take(name)
    const done = await query()
    if (name === 'claim_runs') {
      await take(name)
      await lapse()
    }
    return done
  })
  await createSlowly()
  await until(() => taken.length === 1 || mock.requests.length > 1, 'a look at the run')
  await writeRun(server, (await client.beta.threads.create()).id, {})
  await server.app.engine.sweep()
  await until(() => taken.length === 3 || mock.requests.length > 1, 'a look at the run that was claimed')
  assert.deepEqual(taken, ['get_run', 'claim_runs', 'get_run'])
  assert.equal(server.app.engine.running, 0)
  assert.equal(mock.requests.length, 1)
})

test('a node that cannot beat has broken off its model calls before another node makes them anew', async (t) => {
  const tuning = { silence: 2, beatMs: 100, sweepMs: 100 }
  const server = await oneNode(t, { tuning })
  const other = await anotherNode(t, server, tuning)
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(text('Half', never()), text('Whole.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const lost = await server.mock.received(0)
  await inProgress(server, thread, run.id)
  // Its row is held, so that no beat of it is written down; all else works.
  const { node, room } = server.app.store
  const letGo = await hold(server.db.url, 'select from nodes where id = $1 for update', [node])
  await server.mock.received(1)
  assert.equal(lost.aborted, true)
  assert.equal(room.take(1).count, 0)
  const ended = await other.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  const messages = (await server.client.beta.threads.messages.list(thread)).data
  assert.deepEqual(messages.map(textOf), ['Whole.', 'Good morning?'])
  assert.equal(server.mock.requests.length, 2)
  await letGo()
  await until(() => room.take(1).count === 1, 'the node takes runs again')
})

test('a run that comes back before its former task has left runs once, and is not lost sight of', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const { client, mock, db } = server
  const { assistant, thread } = await readyToRun(server)
  const held = gate()
  mock.next(text(held.opened, 'Half', never()), hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const former = await mock.received(0)
  await inProgress(server, thread, run.id)
  // The task waits for its thread, to store the message that the model has begun.
  const letGo = await hold(db.url, 'select from threads where id = $1 for update', [thread])
  held.open()
  await until(async () => (await waitingSince(server, 'writes')).length > 0, 'the commit waits')
  // As another node leaves it that took this one for dead and has no room itself.
  await db.sql(`update runs set status = 'queued', owner_node = null, version = version + 1 where id = $1`, [
    run.id,
  ])
  await server.app.engine.sweep()
  assert.equal(await former.ended, 'aborted')
  assert.equal(mock.requests.length, 1)
  await letGo()
  const present = await mock.received(1)
  for (let i = 0; i < 3; i++) await server.app.engine.sweep()
  assert.equal(server.app.engine.running, 1)
  assert.equal(mock.requests.length, 2)
  await client.beta.threads.runs.cancel(run.id, { thread_id: thread })
  assert.equal(await present.ended, 'aborted')
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'cancelled')
})

test('a task under a former lease is ended although its run belongs to the same node again', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const { client, mock, db } = server
  const { assistant, thread } = await readyToRun(server)
  mock.next(hang(), text('Anew.'))
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const former = await mock.received(0)
  await inProgress(server, thread, run.id)
  // Lost and claimed again, and the answer of the claim was lost.
  await db.sql(
    `update runs set status = 'queued', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1`,
    [run.id],
  )
  for (let i = 0; i < 3; i++) await server.app.engine.sweep()
  assert.equal(await former.ended, 'aborted')
  const ended = await client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal(mock.requests.length, 2)
})

test('a run is expired by its owner, with what it had said, while the owner lives', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const other = await anotherNode(t, server, byHand)
  const { client, mock, db } = server
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('So far', never()))
  const stream = client.beta.threads.runs.stream(thread, { assistant_id: assistant })
  await stream.emitted('textDelta')
  const run = (await client.beta.threads.runs.list(thread)).data[0]?.id ?? ''
  await db.advanceClock(601)
  await server.app.store.beat()
  await other.app.engine.sweep()
  assert.equal((await client.beta.threads.runs.retrieve(run, { thread_id: thread })).status, 'in_progress')
  await server.app.engine.sweep()
  const ended = await stream.finalRun()
  assert.equal(ended.status, 'expired')
  assert.equal(textOf((await client.beta.threads.messages.list(thread)).data[0]), 'So far')
})

test('a run whose owner lives and does not expire it is expired by another node 15 s later', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const other = await anotherNode(t, server, byHand)
  const { client, mock, db } = server
  const { assistant, thread } = await readyToRun(server)
  mock.next(hang())
  const run = await client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  await inProgress(server, thread, run.id)
  await db.advanceClock(616)
  await server.app.store.beat()
  await other.app.engine.sweep()
  const ended = await other.client.beta.threads.runs.retrieve(run.id, { thread_id: thread })
  assert.equal(ended.status, 'expired')
})

test('of many runs created at once a node begins no more than it has room for, and the rest in its turn', async (t) => {
  const server = await oneNode(t, { tuning: byHand, env: { MAX_CONCURRENT_RUNS: '2' } })
  const { client, mock } = server
  const ready = await Promise.all(Array.from({ length: 9 }, () => readyToRun(server)))
  const held = gate()
  const now = { open: 0, most: 0 }
  mock.when(
    () => true,
    async (exchange) => {
      now.most = Math.max(now.most, (now.open += 1))
      await held.opened
      now.open -= 1
      await text('Done.')(exchange)
    },
  )
  const runs = await Promise.all(
    ready.map(({ assistant, thread }, i) =>
      i % 3 === 0
        ? client.beta.threads.createAndRun({ assistant_id: assistant })
        : client.beta.threads.runs.create(thread, { assistant_id: assistant }),
    ),
  )
  await mock.received(1)
  assert.equal(server.app.engine.running, 2)
  held.open()
  const ended = await Promise.all(
    runs.map((run) => client.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })),
  )
  assert.deepEqual([...new Set(ended.map(({ status }) => status))], ['completed'])
  assert.ok(now.most <= 2, `${now.most} at a time`)
})

test('a create that fails gives its place back', async (t) => {
  const server = await oneNode(t, { tuning: byHand, env: { MAX_CONCURRENT_RUNS: '2' } })
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(hang())
  const { runs } = server.client.beta.threads
  await runs.create(thread, { assistant_id: assistant })
  await assert.rejects(runs.create(thread, { assistant_id: assistant }), { status: 400 })
  assert.equal(server.app.store.room.take(2).count, 1)
})

test('a run that is queued while the node claims is not left to the next sweep', async (t) => {
  const server = await oneNode(t, { tuning: byHand, env: { MAX_CONCURRENT_RUNS: '1' } })
  const { assistant, thread } = await readyToRun(server)
  const [claimed, goOn] = [gate(), gate()]
  // The first claim has looked and found nothing; its answer is on its way.
  intercept(server, async (name, query) => {
    const rows = await query()
    if (name !== 'claim_runs') return rows
    claimed.open()
    await goOn.opened
    return rows
  })
  const sweeping = server.app.engine.sweep()
  await claimed.opened
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  goOn.open()
  await sweeping
  const ended = await server.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
})
