import assert from 'node:assert/strict'
import { test } from 'node:test'
import { commands } from '../src/cli/commands.ts'
import { runCommand } from '../src/cli/run.ts'
import { createLog } from '../src/log.ts'
import { cut, status, text, toolCalls } from './support/mock-model.ts'
import { startReceiver } from './support/otlp-receiver.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// Secrets and content that are planted wherever they can come in are found nowhere in what a server tells of itself: not in logs,
// at whatever level, not in metrics, not in traces. Secrets are found in no answer and no row either.

const receiver = await startReceiver()
const logged: string[] = []
const canary = (what: string) => `canary-${what}-7f3a`

const server = await startServer({
  env: {
    OPENAI_API_KEY: `sk-${canary('model-key')}`,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: `x-collector-key=${canary('collector-key')}`,
  },
  tuning: { traceTiming: { delay: 20 } },
  log: createLog('debug', (line) => logged.push(line) > 0),
})
const { mock } = server

/** An API key as its operator gives it out. */
async function newKey(): Promise<string> {
  let key = ''
  const output = { out: (line: string) => void (key += line), err: () => {} }
  assert.equal(await runCommand(commands, ['keys', 'create'], { DATABASE_URL: server.db.url }, output), 0)
  return key.trim()
}

const key = await newKey()
/** What was answered, headers and all. */
const answers: string[] = []

/** A request as an app with secrets of its own makes it. */
async function ask(
  path: string,
  body?: object | string,
  poll = false,
): Promise<{ id: string; status: string }> {
  const headers = {
    authorization: `Bearer ${key}`,
    cookie: canary('cookie'),
    'openai-organization': canary('organization'),
    'x-request-id': canary('request-id'),
    'user-agent': canary('user-agent'),
    'idempotency-key': `${canary('idempotency')}-${Math.random()}`,
    ...(poll ? { 'x-stainless-poll-helper': 'true' } : {}),
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  }
  const method = body === undefined ? 'GET' : 'POST'
  const response = await server.fetch(path, {
    method,
    headers,
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const answer = await response.text()
  answers.push(JSON.stringify([...response.headers]) + answer)
  return JSON.parse(answer) as { id: string; status: string }
}

async function stopOf(thread: string, run: string): Promise<string> {
  for (;;) {
    const { status: now } = await ask(`/v1/threads/${thread}/runs/${run}`, undefined, true)
    if (now !== 'queued' && now !== 'in_progress') return now
  }
}

async function runToStop(thread: string, assistant: string): Promise<string> {
  const { id } = await ask(`/v1/threads/${thread}/runs`, {
    assistant_id: assistant,
    instructions: canary('run-instructions'),
    additional_messages: [{ role: 'user', content: canary('additional') }],
    metadata: { secret: canary('run-metadata') },
  })
  await stopOf(thread, id)
  return id
}

/** Plants a canary wherever one can come in: in requests, in answers of the model, in what goes wrong. */
async function plant(): Promise<void> {
  const { id: assistant } = await ask('/v1/assistants', {
    model: 'mock-model',
    description: canary('description'),
    instructions: canary('instructions'),
    tools: [
      { ...tool('f'), function: { ...tool('f').function, description: canary('tool-description') } },
      { type: 'file_search' },
    ],
    metadata: { secret: canary('metadata') },
  })
  const { id: thread } = await ask('/v1/threads', {
    messages: [{ role: 'user', content: canary('message') }],
    metadata: { secret: canary('thread-metadata') },
  })
  const call = { id: 'call_a', name: 'f', arguments: `{"a":"${canary('arguments')}"}` }
  mock.next(toolCalls([call], { text: canary('text-before-tools') }), text(canary('answer')))
  const run = await runToStop(thread, assistant)
  await ask(`/v1/threads/${thread}/runs/${run}/submit_tool_outputs`, {
    tool_outputs: [{ tool_call_id: 'call_a', output: canary('output') }],
  })
  assert.equal(await stopOf(thread, run), 'completed')
  // What the model's server says when it fails may quote anything.
  const error = {
    message: `no: ${canary('model-error')}, your key sk-${canary('model-key')} is wrong`,
    code: canary('model-code'),
  }
  for (const answer of [status(500, { error }), status(401, { error }), cut(canary('half'))]) {
    mock.next(answer)
    await runToStop(thread, assistant)
  }
  // What is refused, at each stage of a request.
  await ask('/v1/threads', `{"${canary('broken-json')}`)
  await ask('/v1/threads', { [canary('unknown-key')]: canary('unknown-value') })
  await ask(`/v1/threads/${canary('made-up')}`)
  await ask(`/${canary('path')}?key=${canary('query')}`)
  await ask(`/v1/assistants?after=${canary('after')}`)
  // What fails in the middle: Postgres quotes what it was sent.
  const { pool } = server.app.store
  const genuine = pool.query.bind(pool) as typeof pool.query
  pool.query = (() => genuine('select $1::bigint', [canary('value')])) as typeof pool.query
  await ask(`/v1/threads/${thread}`)
  pool.query = genuine
}

test('secrets and content that are planted everywhere are found in no log, metric or trace', async () => {
  await plant()
  const operator = { headers: { authorization: `Bearer ${key}` } }
  const metrics = await (await fetch(`${server.app.url}/metrics`, operator)).text()
  await receiver.received(9)
  const told = { logs: logged.join(''), metrics, traces: receiver.raw.join('\n') }
  assert.ok(
    logged.length > 20 && metrics.length > 5_000 && told.traces.length > 5_000,
    'there was something to find',
  )
  for (const [where, all] of Object.entries(told)) {
    // The collector's key is for the collector.
    const found = [...all.matchAll(/canary-([\w-]+?)-7f3a/g)].map(([, what]) => what)
    const own = where === 'traces' ? found.filter((what) => what !== 'collector-key') : found
    assert.deepEqual([...new Set(own)], [], where)
    assert.ok(!all.includes(key.slice(10)), `${where} hold the API key`)
  }
  assert.ok(told.traces.includes(canary('collector-key')))
})

test('no secret is in an answer, in what a run says of its failure, or in a row of the database', async () => {
  const tables = await server.db.sql<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  )
  const dump = await Promise.all(
    tables.map(({ name }) => server.db.sql(`select to_jsonb(t) as row from ${name} t`)),
  )
  const told = { answers: answers.join('\n'), database: JSON.stringify(dump) }
  assert.ok(told.answers.includes(canary('model-error')) && told.database.includes(canary('output')))
  const secrets = [
    key.slice(10),
    ...['model-key', 'collector-key', 'cookie', 'organization', 'user-agent'].map(canary),
  ]
  for (const [where, all] of Object.entries(told))
    assert.deepEqual(
      secrets.filter((secret) => all.includes(secret)),
      [],
      where,
    )
})

test('every log line is JSON with a time, a level and a message, and those of runs and requests name them', () => {
  const lines = logged.map((line) => JSON.parse(line) as Record<string, unknown>)
  for (const { time, level, message } of lines) {
    assert.ok(typeof time === 'string' && !Number.isNaN(Date.parse(time)))
    assert.ok(['debug', 'info', 'warn', 'error'].includes(String(level)))
    assert.ok(typeof message === 'string' && message !== '')
  }
  const of = (message: string) => lines.filter((line) => line['message'] === message)
  const [created] = of('a request was answered').filter(
    ({ route, method }) => route === '/v1/threads/:thread_id/runs' && method === 'POST',
  )
  assert.match(String(created?.['request']), /^req_[0-9a-f]{32}$/)
  assert.match(String(created?.['thread']), /^thread_/)
  assert.equal(created?.['status'], 200)
  assert.equal(typeof created?.['ms'], 'number')
  for (const { run, thread } of of('a model was called')) {
    assert.match(String(run), /^run_/)
    assert.match(String(thread), /^thread_/)
  }
  assert.ok(of('a model was called').length >= 5)
  const [made] = of('a run was created')
  const ends = of('a run ended').filter(({ run }) => run === made?.['run'])
  assert.match(String(made?.['request']), /^req_/)
  assert.deepEqual(
    ends.map(({ status: last, thread }) => [last, thread]),
    [['completed', made?.['thread']]],
  )
  const failures = of('a run failed')
  assert.deepEqual(
    [failures.length, failures[0]?.['code'], failures[0]?.['level']],
    [3, 'server_error', 'warn'],
  )
  assert.equal(of('a request failed').length, 1)
})

test('what models are sent and answer is logged only if asked for, and at no level but debug', async () => {
  const words = async (level: 'debug' | 'info') => {
    const lines: string[] = []
    const asked = await startServer({ log: createLog(level, (line) => lines.push(line) > 0, true) })
    const { assistant, thread } = await readyToRun(asked)
    asked.mock.next(text('It is.'))
    await asked.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
    return lines.join('')
  }
  const [debug, info] = [await words('debug'), await words('info')]
  assert.ok(debug.includes('Good morning?') && debug.includes('It is.'))
  assert.ok(!info.includes('Good morning?'))
})
