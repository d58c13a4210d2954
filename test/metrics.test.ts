import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Labelled, Registry } from '../src/observe/instruments.ts'
import { Metrics } from '../src/observe/metrics.ts'
import { Exposition, scrape } from './support/exposition.ts'
import { gate, hang, status, text, toolCalls } from './support/mock-model.ts'
import { anotherNode, hold, oneNode } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { inProgress, readyToRun, startServer, tool } from './support/server.ts'
import { queue } from './support/thread-queue.ts'

// What /metrics tells, and that it is so.

/** No sweep comes by itself. */
const byHand = { sweepMs: 3_600_000, drainMs: 0 }

/** How much the samples have grown since `before`. */
function growth(before: Exposition, after: Exposition) {
  return (name: string, labels: Record<string, string> = {}) =>
    (after.value(name, labels) ?? 0) - (before.value(name, labels) ?? 0)
}

test('a run is told of with its request, its tokens, its model call and its commits', async (t) => {
  const server = await oneNode(t)
  const { assistant, thread } = await readyToRun(server)
  const before = await scrape(server.app.url)
  const usage = { prompt_tokens: 30, completion_tokens: 4, total_tokens: 34 }
  server.mock.next(text('Good', ' morning.', { usage }))
  const run = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  const after = await scrape(server.app.url)
  const grew = growth(before, after)
  const created = { route: '/v1/threads/:thread_id/runs', method: 'POST' }
  assert.equal(grew('threadmill_http_requests_total', { ...created, status: '200' }), 1)
  assert.equal(grew('threadmill_http_request_duration_seconds_count', created), 1)
  assert.equal(grew('threadmill_runs_created_total'), 1)
  assert.equal(grew('threadmill_runs_ended_total', { status: 'completed' }), 1)
  assert.equal(grew('threadmill_run_duration_seconds_count', { status: 'completed' }), 1)
  assert.equal(grew('threadmill_run_queued_seconds_bucket', { le: '0' }), 1)
  assert.equal(grew('threadmill_model_calls_total', { model: 'mock-model', outcome: 'stop' }), 1)
  for (const each of ['model_call_duration', 'time_to_first_token'])
    assert.equal(grew(`threadmill_${each}_seconds_count`, { model: 'mock-model' }), 1, each)
  assert.equal(grew('threadmill_tokens_total', { model: 'mock-model', direction: 'input' }), 30)
  assert.equal(grew('threadmill_tokens_total', { model: 'mock-model', direction: 'output' }), 4)
  assert.ok(grew('threadmill_commit_batch_size_count') >= 2)
  assert.equal(grew('threadmill_commit_batch_size_count'), grew('threadmill_commit_duration_seconds_count'))
  assert.equal(after.value('threadmill_runs_executing'), 0)
})

test('a failed run and a run with a tool are told of by their ends', async (t) => {
  const server = await oneNode(t)
  const { runs } = server.client.beta.threads
  const [failing, asking] = [await readyToRun(server), await readyToRun(server, { tools: [tool('f')] })]
  const before = await scrape(server.app.url)
  server.mock.next(status(500, { error: { message: 'no' } }))
  const failed = await runs.createAndPoll(failing.thread, { assistant_id: failing.assistant })
  assert.equal(failed.status, 'failed')
  server.mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Done.'))
  const asked = await runs.createAndPoll(asking.thread, { assistant_id: asking.assistant })
  assert.equal(asked.status, 'requires_action')
  // A look at the database is good for a second.
  const waiting = async () =>
    (await scrape(server.app.url)).value('threadmill_runs', { status: 'requires_action' })
  await until(async () => (await waiting()) === 1, 'the run is among those that wait')
  const tool_outputs = [{ tool_call_id: 'call_a', output: '1' }]
  await runs.submitToolOutputsAndPoll(asked.id, { thread_id: asking.thread, tool_outputs })
  const grew = growth(before, await scrape(server.app.url))
  assert.equal(grew('threadmill_runs_created_total'), 2)
  assert.equal(grew('threadmill_runs_ended_total', { status: 'failed' }), 1)
  assert.equal(grew('threadmill_runs_ended_total', { status: 'completed' }), 1)
  const outcomes = ['server_error', 'tool_calls', 'stop']
  for (const outcome of outcomes)
    assert.equal(grew('threadmill_model_calls_total', { model: 'mock-model', outcome }), 1, outcome)
  // A run that comes back from its tools was not waiting.
  assert.equal(grew('threadmill_run_queued_seconds_count'), 2)
})

test('runs that hold their thread, wait for it or for a server are counted, and open streams', async (t) => {
  const server = await oneNode(t, { env: { MAX_CONCURRENT_RUNS: '1' }, tuning: byHand })
  const { runs } = server.client.beta.threads
  const [one, two] = [await readyToRun(server), await readyToRun(server)]
  server.mock.when(() => true, hang())
  const stream = runs.stream(one.thread, { assistant_id: one.assistant })
  const done = stream.done().catch(() => {})
  await server.mock.received(0)
  const holder = (await runs.list(one.thread)).data[0]?.id ?? ''
  await inProgress(server, one.thread, holder)
  await runs.create(one.thread, { assistant_id: one.assistant }, queue)
  await runs.create(two.thread, { assistant_id: two.assistant })
  await server.db.advanceClock(100)
  const seen = await scrape(server.app.url)
  assert.equal(seen.value('threadmill_database_up'), 1)
  assert.equal(seen.value('threadmill_runs', { status: 'in_progress' }), 1)
  assert.equal(seen.value('threadmill_runs', { status: 'queued' }), 1)
  assert.equal(seen.value('threadmill_runs_unowned'), 1)
  const oldest = seen.value('threadmill_queue_oldest_seconds') ?? 0
  assert.ok(oldest >= 100 && oldest < 160, `${oldest}`)
  assert.equal(seen.value('threadmill_thread_queue_length'), 1)
  assert.equal(seen.value('threadmill_runs_executing'), 1)
  assert.equal(seen.value('threadmill_run_capacity'), 1)
  assert.equal(seen.value('threadmill_streams_open'), 1)
  assert.equal(seen.value('threadmill_pool_size', { pool: 'reads' }), 10)
  assert.equal(seen.value('threadmill_pool_waiting', { pool: 'reads' }), 0)
  stream.abort()
  await done
})

test('a server that loses its lease says so, and the one that takes its run over counts it', async (t) => {
  const tuning = { silence: 2, beatMs: 100, sweepMs: 100 }
  // Without sweeps it does not hand its run back by itself.
  const server = await oneNode(t, { tuning: { ...tuning, ...byHand } })
  const other = await anotherNode(t, server, tuning)
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(text('Half', gate().opened), text('Whole.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await server.mock.received(0)
  await inProgress(server, thread, run.id)
  const letGo = await hold(server.db.url, 'select from nodes where id = $1 for update', [
    server.app.store.node,
  ])
  const ended = await other.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  await letGo()
  const [first, second] = [await scrape(server.app.url), await scrape(other.app.url)]
  assert.equal(first.value('threadmill_lease_losses_total'), 1)
  assert.equal(first.value('threadmill_runs_created_total'), 1)
  assert.equal(first.value('threadmill_runs_ended_total', { status: 'completed' }), 0)
  assert.equal(first.value('threadmill_model_calls_total', { outcome: 'interrupted' }), 1)
  assert.equal(second.value('threadmill_lease_losses_total'), 0)
  assert.equal(second.value('threadmill_runs_recovered_total', { reason: 'silent_server' }), 1)
  assert.equal(second.value('threadmill_runs_ended_total', { status: 'completed' }), 1)
})

test('a commit whose answer is lost is told of as looked up, and what it did is counted once', async (t) => {
  const server = await oneNode(t)
  const proxy = await startPgProxy(server.db.url)
  const behind = await anotherNode(t, server, {}, { DATABASE_URL: proxy.url })
  const { assistant, thread } = await readyToRun(server)
  // Of its creation, and of the next commit: a model that is quick makes no third one.
  proxy.loseAnswersOf('commit_thread_writes', 2)
  const run = await behind.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  const seen = await scrape(behind.app.url)
  const [found = 0, missing = 0] = ['found', 'missing'].map((outcome) =>
    seen.value('threadmill_ambiguous_writes_total', { outcome }),
  )
  assert.equal(found + missing, 2)
  assert.equal(seen.value('threadmill_commit_failures_total'), 2)
  assert.equal(seen.value('threadmill_runs_created_total'), 1)
  assert.equal(seen.value('threadmill_runs_ended_total', { status: 'completed' }), 1)
})

test('a database that is away is told, and keeps /metrics no longer than its patience', async (t) => {
  const server = await oneNode(t, { tuning: byHand })
  const { pool } = server.app.store
  const genuine = pool.query.bind(pool) as typeof pool.query
  pool.query = (() => new Promise(() => {})) as typeof pool.query
  const since = performance.now()
  const seen = await scrape(server.app.url)
  assert.ok(performance.now() - since < 4_000)
  assert.equal(seen.value('threadmill_database_up'), 0)
  assert.deepEqual(seen.samples('threadmill_runs'), [])
  assert.ok((seen.value('process_resident_memory_bytes') ?? 0) > 1e7)
  pool.query = genuine
})

test('paths, methods and models that clients make up do not make metrics of their own', async (t) => {
  const server = await oneNode(t)
  const { url } = server.app
  for (let i = 0; i < 5; i++) {
    await fetch(`${url}/v1/threads/thread_made_up_${i}`)
    await fetch(`${url}/made/up/${i}`)
  }
  const seen = await scrape(url)
  const routes = new Set(
    seen.samples('threadmill_http_requests_total').map(({ labels }) => labels['route'] ?? ''),
  )
  assert.deepEqual([...routes].toSorted(), ['/v1/threads/:thread_id', 'unknown'])
  const { tokens } = new Metrics()
  for (let i = 0; i < 1_000; i++) tokens.with(`model-${i}`, 'input').add()
  assert.equal(tokens.entries().length, 51)
  assert.equal(tokens.with('other', 'input').value, 950)
})

test('labels that clients wrote break no line and are never told twice', () => {
  const registry = new Registry()
  const counters = registry.counters('names_total', 'Names.', ['name'])
  const long = 'x'.repeat(200)
  for (const name of [
    'a"} 1\nevil 2',
    'back\\slash',
    'back\\\\slash',
    '\ud800',
    '\udfff',
    `${long}a`,
    `${long}b`,
  ])
    counters.with(name).add()
  const { families } = new Exposition(registry.text())
  const names = families[0]?.samples.map(({ labels }) => labels['name'])
  assert.deepEqual(names, ['a"} 1\nevil 2', 'back\\slash', 'back\\\\slash', '\ufffd', long.slice(0, 100)])
})

test('an instrument is found again by its labels', () => {
  const made: object[] = []
  const labelled = new Labelled(() => made[made.push({}) - 1] as object, 2)
  assert.equal(labelled.with('a', 'b', 'c'), labelled.with('a', 'b', 'c'))
  assert.notEqual(labelled.with('a', 'b', 'c'), labelled.with('a', 'b', 'd'))
  labelled.with('b')
  assert.equal(labelled.with('c'), labelled.with('d'))
  assert.equal(made.length, 4)
})

test('/metrics goes by the same rules of names and origins as all else', async () => {
  const { app } = await startServer()
  const foreign = await fetch(`${app.url}/metrics`, { headers: { origin: 'https://evil.example' } })
  assert.equal(foreign.status, 403)
  const { status: open } = await fetch(`${app.url}/metrics`)
  assert.equal(open, 200)
  await until(
    async () => (await scrape(app.url)).value('nodejs_eventloop_lag_p99_seconds') !== undefined,
    'lag',
  )
})
