import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { toFile } from 'openai'
import pg from 'pg'
import { createLog } from '../src/log.ts'
import { committedWrites } from '../src/store/committed-writes.ts'
import { abandonUpload, purgeFiles } from '../src/store/file-uploads.ts'
import { missingFiles } from '../src/store/files.ts'
import { openItemsOfRuns } from '../src/store/run-writes.ts'
import { countActiveRuns } from '../src/store/runs.ts'
import { createPool } from '../src/store/pool.ts'
import { chargeTokens } from '../src/store/usage-days.ts'
import { commitMixtures } from './support/mixtures.ts'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { newMessage } from './support/records.ts'
import { readyToRun, startServer, tool } from './support/server.ts'
import { queue, replace, say } from './support/thread-queue.ts'

// A fresh install has never been analysed, and the plan that Postgres makes for an empty table must be right for
// a full one. Every statement of the store is caught on its way to Postgres and explained.

/** Names by their statements; without a name ''. */
const caught = new Map<string, string>()
let catching = false
const ofFiles = ['files', 'file_uploads', 'file_garbage', 'file_chunks']
const tables = [
  'assistants',
  'threads',
  'thread_queue',
  'messages',
  'runs',
  'run_steps',
  'run_events',
  'idempotency_keys',
  'usage_days',
  ...ofFiles,
]
const ofTables = new RegExp(`\\b(${tables.join('|')})\\b`)
/** Indexes that hold only the few rows that a sweep looks for, or that are counted: reading them whole is what they are for. */
const small = new Set([
  'runs_active',
  'threads_deleted',
  'threads_waiting',
  'thread_queue_front',
  'runs_unowned',
  'runs_by_owner',
  'runs_by_deadline',
  'run_events_ended',
  'file_garbage_pkey',
])

const genuine = Object.getOwnPropertyDescriptor(pg.Client.prototype, 'query')?.value as (
  ...args: unknown[]
) => unknown
pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
  const [query] = args
  const config =
    typeof query === 'string' ? { text: query } : (query as { text?: string; name?: string } | undefined)
  if (catching && config?.text && ofTables.test(config.text)) caught.set(config.text, config.name ?? '')
  return genuine.apply(this, args)
} as typeof pg.Client.prototype.query

// Not alone: what it would know without asking is asked for. A century: threads are looked at, and none is deleted.
const env = { RETAIN_THREADS_FOR: String(100 * 31_536_000) }
const server = await startServer({ env, tuning: { alone: false } })
const { client, mock } = server
const { threads, assistants } = client.beta

/** Uses everything that the store has statements for. */
async function exerciseAll(): Promise<void> {
  const tools = [tool('f'), { type: 'file_search' } as const]
  const { assistant, thread } = await readyToRun(server, { tools })
  await assistants.retrieve(assistant)
  await assistants.update(assistant, { name: 'x' })
  await assistants.delete((await assistants.create({ model: 'm' })).id)
  await threads.retrieve(thread)
  await countActiveRuns(server.app.store.pool, 'default', 10, null)
  await openItemsOfRuns(server.app.store, [])
  await threads.update(thread, { metadata: { a: 'b' } })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Done.'))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const outputs = { thread_id: thread, tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputs)
  assert.equal(ended.status, 'completed')
  await threads.runs.submitToolOutputsStream(run.id, outputs).finalRun()
  await threads.runs.update(run.id, { thread_id: thread, metadata: { a: 'b' } })
  const [message] = (await threads.messages.list(thread)).data
  assert.ok(message)
  await committedWrites(server.app.store.pool, [])
  await threads.messages.retrieve(message.id, { thread_id: thread })
  // Without a sign of v2 this is answered in the memgpt dialect.
  await fetch(`${server.app.url}/v1/threads/${thread}/runs`)
  await threads.messages.update(message.id, { thread_id: thread, metadata: { a: 'b' } })
  const ofRun = { thread_id: thread, run_id: run.id }
  const steps = (await threads.runs.steps.list(run.id, ofRun)).data
  await threads.runs.steps.retrieve(steps[0]?.id ?? '', ofRun)
  await exerciseEvents(`/v1/threads/${thread}/runs/${run.id}/events`)
  const [last] = steps.slice(-1)
  for (const order of ['asc', 'desc'] as const) {
    await assistants.list({ order, after: assistant })
    await server.fetch(`/v1/threads?order=${order}&after=${thread}`)
    await server.fetch(`/v1/threads?order=${order}&after=${thread}&metadata[a]=b&created_at[gte]=0`)
    await threads.messages.list(thread, { order, after: message.id })
    await threads.messages.list(thread, { order, run_id: run.id, after: message.id })
    await threads.runs.list(thread, { order, after: run.id })
    await threads.runs.steps.list(run.id, { ...ofRun, order, after: last?.id ?? '' })
  }
  await fetch(`${server.app.url}/metrics`)
  await exerciseFiles()
  await exerciseKeys()
  await exerciseQueue()
  await exerciseLimits()
  await commitMixtures(server.app.store.pool)
  mock.reset()
  mock.next(hang())
  await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  await threads.delete(thread)
  // So that the threads are looked at again.
  await server.db.advanceClock(61)
  await server.app.engine.sweep()
}

async function exerciseEvents(path: string): Promise<void> {
  const ofLog = await (await server.fetch(path)).text()
  catching = false
  await server.db.sql('delete from run_events where term = 1')
  catching = true
  const toldAgain = await (await server.fetch(path)).text()
  assert.ok(ofLog.includes('completed') && toldAgain.includes('completed'))
}

async function exerciseKeys(): Promise<void> {
  const post = (body: object) =>
    server.fetch('/v1/assistants', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': JSON.stringify(body) },
      body: JSON.stringify(body),
    })
  assert.equal((await post({ model: 'm' })).status, 200)
  assert.equal((await post({})).status, 400)
  await threads.create({}, { headers: { 'idempotency-key': 'thread' } })
  catching = false
  await server.db.sql('update idempotency_keys set created_at = 0')
  catching = true
  assert.equal((await post({})).headers.get('idempotent-replayed'), null)
}

async function exerciseQueue(): Promise<void> {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang(), hang())
  const body = { assistant_id: assistant }
  await threads.runs.create(thread, body)
  await mock.received(0)
  const waiting = await threads.runs.create(thread, body, queue)
  await threads.messages.create(thread, say('x'), queue)
  await threads.runs.cancel(waiting.id, { thread_id: thread })
  await threads.runs.create(thread, body, replace)
  await mock.received(1)
  await threads.runs.create(thread, body, queue)
  await threads.delete(thread)
}

async function exerciseLimits(): Promise<void> {
  const { tokenLimits, pool, node } = server.app.store
  tokenLimits.replace({ keys: [], projects: [{ id: 'default', most: 1_000_000 }] })
  const { assistant, thread } = await readyToRun(server)
  const message = newMessage(thread)
  const bounded = { kind: 'append', thread: { id: thread, project_id: 'default' } } as const
  await server.app.store.write({ ...bounded, messages: [message], mostMessages: 1 })
  mock.reset()
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  await chargeTokens(pool, { project_id: 'default', key_id: '', node_id: node, tokens: 1 })
  tokenLimits.replace({ keys: [], projects: [] })
}

async function exerciseFiles(): Promise<void> {
  const { pool } = server.app.store
  const upload = async () => {
    const file = await toFile(Buffer.from('x'), 'x.txt')
    return (await client.files.create({ file, purpose: 'assistants' })).id
  }
  const [first, second] = [await upload(), await upload()]
  await client.files.retrieve(first)
  await client.files.content(first)
  for (const order of ['asc', 'desc'] as const) {
    await client.files.list({ order, after: first })
    await client.files.list({ order, after: first, purpose: 'assistants' })
  }
  await missingFiles(pool, 'default', [first])
  await client.files.delete(second)
  await abandonUpload(pool, 'default', second)
  await purgeFiles(pool, 1, 1)
}

/** Names of the statements in the store's sources. */
async function namesInSources(): Promise<string[]> {
  const folder = new URL('../src/store/', import.meta.url)
  const files = (await readdir(folder)).filter((file) => file.endsWith('.ts'))
  const names = await Promise.all(
    files.map(async (file) => {
      const source = await readFile(new URL(file, folder), 'utf8')
      const plain = [...source.matchAll(/\bquery(?:<[^()]*>)?\(\s*pool,\s*'(\w+)'/g)].map(
        (found) => found[1] ?? '',
      )
      const lists = [...source.matchAll(/name: '(list_\w+)'/g)].map((found) => found[1] ?? '')
      return [...plain, ...lists.flatMap((name) => [`${name}_asc`, `${name}_desc`, `${name}_cursor`])]
    }),
  )
  // These work on a table of bookkeeping.
  const ofNodes = [
    'beat',
    'silence_others',
    'forget_nodes',
    'notify_runs',
    'other_nodes',
    'first_node',
    'retained_projects',
    'set_retention',
  ]
  return [...new Set(names.flat())].filter((name) => !ofNodes.includes(name))
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  Filter?: string
  Plans?: Plan[]
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

/** What is wrong with one node of a plan, or null. */
function fault(node: Plan): string | null {
  const {
    'Node Type': type,
    'Relation Name': relation = '',
    'Index Name': index = '',
    'Index Cond': cond = '',
  } = node
  if (type === 'Seq Scan' && tables.includes(relation)) return `reads all of ${relation}`
  if (!/Index/.test(type) || small.has(index)) return null
  if (cond === '') return `walks the whole index ${index}`
  if (/^(messages|runs|run_steps|run_events|thread_queue_pkey)/.test(index) && !/\bthread_id = /.test(cond)) {
    return `walks ${index} through all threads (${cond})`
  }
  // Within one run there are few messages.
  if (index === 'messages_by_run') return null
  if (/\bid = |= id\b/.test(node.Filter ?? '')) return `looks for an id along ${index} (${cond})`
  return null
}

async function faults(): Promise<string[]> {
  const pool = createPool(
    { connectionString: server.db.url },
    {
      max: 1,
      name: 'plans',
      log: createLog('silent'),
      bounds: { statement: 10_000, lock: 1_000, dead: 1_000 },
    },
  )
  const found: string[] = []
  try {
    let n = 0
    for (const [statement, name] of caught) {
      const parameters = Math.max(0, ...[...statement.matchAll(/\$(\d+)/g)].map((match) => Number(match[1])))
      const values = Array.from({ length: parameters }, () => 'null').join(', ')
      n += 1
      await pool.query(`prepare p${n} as ${statement}`)
      // The session's plan_cache_mode makes this the plan for any values, not for these.
      const { rows } = await pool.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
        `explain (format json) execute p${n}${values === '' ? '' : `(${values})`}`,
      )
      const nodes = nodesOf(rows[0]?.['QUERY PLAN'][0].Plan ?? assert.fail('no plan'))
      const wrong = nodes.flatMap((node) => fault(node) ?? [])
      found.push(...wrong.map((what) => `${name || statement.trim().slice(0, 60)}: ${what}`))
    }
  } finally {
    await pool.end()
  }
  return found
}

test('every statement of the store is among those that were caught', async () => {
  for (const table of tables) await server.db.sql(`alter table ${table} set (autovacuum_enabled = off)`)
  catching = true
  await exerciseAll()
  catching = false
  const names = new Set(caught.values())
  // Keys and projects are few, and nodes hold them in memory: those are read whole.
  const few = /api_keys?$|projects?$|^access_version$/
  for (const name of (await namesInSources()).filter((name) => !few.test(name)))
    assert.ok(names.has(name), `${name} was not sent: exercise it`)
  assert.ok(names.has('commit_thread_writes') && names.has('commit_thread_writes_keeping'))
  // Batches of one: a thread, its messages, a run, a turn's end, items that were open. And what goes out together under load.
  for (const mixture of ['cm', 'm', 'r', 't', 'mts', 'tc', 'crms', 'crmt'])
    assert.ok(names.has(`commit_thread_writes_${mixture}`), `${mixture} of ${[...names].join(', ')}`)
  assert.ok([...names].some((name) => name.endsWith('_charging')))
  assert.ok([...names].some((name) => name.endsWith('_bounded')))
  assert.ok(names.has('purge_threads') && names.has('claim_runs'))
  for (const table of ['assistants', 'threads', 'messages', 'runs']) {
    const texts = [...caught.keys()]
    assert.ok(
      texts.some((one) => one.includes(`from ${table}`) && one.endsWith('for update')),
      `lock of ${table}`,
    )
    assert.ok(
      texts.some((one) => one.includes(`update ${table} set`)),
      `change of ${table}`,
    )
  }
})

test('on empty tables that were never analysed no statement reads a whole table or index', async () => {
  for (const table of tables) await server.db.sql(`truncate ${table}`)
  assert.deepEqual(await faults(), [])
})

test('on full tables that were never analysed no statement reads a whole table or index', async () => {
  const n = 20_000
  await server.db
    .sql(`insert into assistants (id, project_id, created_at, model, tools, metadata, response_format)
    select 'asst_' || i, 'default', 0, 'm', '[]', '{}', '"auto"' from generate_series(1, ${n}) i`)
  await server.db.sql(`insert into threads (id, project_id, created_at, metadata, next_seq)
    select 'thread_' || i, 'default', 0, '{}', 100 from generate_series(1, ${n}) i`)
  await server.db
    .sql(`insert into messages (thread_id, id, project_id, seq, role, status, content, run_id, attachments,
    metadata, created_at) select 'thread_' || i % 1000, 'msg_' || i, 'default', i, 'user', 'completed', '[]', 'run_' || i,
    '[]', '{}', 0 from generate_series(1, ${n}) i`)
  await server.db
    .sql(`insert into runs (thread_id, id, project_id, seq, assistant_id, created_at, settings, metadata,
    status, version, lease_epoch, deadline, prompt_tokens, completion_tokens, total_tokens, turns, attempts)
    select 'thread_' || i % 1000, 'run_' || i, 'default', i, 'asst_1', 0, '{}', '{}', 'completed', 1, 1, 0, 0, 0, 0, 1, 0
    from generate_series(1, ${n}) i`)
  await server.db
    .sql(`insert into run_steps (thread_id, id, project_id, run_id, assistant_id, seq, turn, status, details,
    created_at, expires_at) select 'thread_' || i % 1000, 'step_' || i, 'default', 'run_' || i, 'asst_1', 0, 0, 'completed',
    '{}', 0, 0 from generate_series(1, ${n}) i`)
  await server.db
    .sql(`insert into run_events (thread_id, run_id, term, first_no, last_no, project_id, events, ends, created_at)
    select 'thread_' || i % 1000, 'run_' || i / 2, i % 2 + 1, 0, 0, 'default', '[]', i % 2 = 1, 0
    from generate_series(1, ${n}) i`)
  await server.db
    .sql(`insert into idempotency_keys (project_id, key, stamp, fingerprint, status, headers, created_at)
    select 'default', i, i, '', 200, '{}', i from generate_series(1, ${n}) i`)
  await server.db.sql(`insert into usage_days (day, project_id, key_id, node_id, tokens)
    select i % 3, 'project_' || i, 'key_' || i, 'node', 1 from generate_series(1, ${n}) i`)
  await server.db.sql(`insert into files (id, project_id, created_at, expires_at, filename, purpose, bytes)
    select 'file-' || i, 'default', 0, case when i % 10 = 0 then i end, 'x', 'assistants', 1 from generate_series(1, ${n}) i`)
  await server.db.sql(`insert into file_chunks (file_id, n, project_id, content)
    select 'file-' || i % 1000, i, 'default', '' from generate_series(1, ${n}) i`)
  await server.db.sql(`insert into file_uploads (id, project_id, touched_at)
    select 'file-u' || i, 'default', threadmill_now() from generate_series(1, ${n}) i`)
  const analysed = await server.db.sql(
    `select relname from pg_stat_user_tables
    where relname = any($1) and (last_analyze is not null or last_autoanalyze is not null)`,
    [tables],
  )
  assert.deepEqual(analysed, [], 'the tables were not analysed')
  assert.deepEqual(await faults(), [])
})

test('on full tables that were analysed no statement reads a whole table or index', async () => {
  await server.db.sql(`insert into thread_queue (thread_id, place, project_id, front, run_id, messages)
    select 'thread_' || i, i, 'default', false, 'run_w' || i, '[]' from generate_series(1, 20000) i`)
  await server.db.sql(`insert into file_garbage (id, project_id)
    select 'file-g' || i, 'default' from generate_series(1, 20000) i`)
  for (const table of tables) await server.db.sql(`analyze ${table}`)
  assert.deepEqual(await faults(), [])
})
