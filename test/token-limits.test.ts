import assert from 'node:assert/strict'
import { test } from 'node:test'
import type OpenAI from 'openai'
import { clientOf, keyOf, threadmill } from './support/keys.ts'
import { gate, text, toolCalls, type AnswerOptions } from './support/mock-model.ts'
import { anotherNode } from './support/nodes.ts'
import { startServer, tool } from './support/server.ts'

// Tokens a day, of keys and projects (docs/decisions/0024).

// Rounds of the sweep begin when a test says so; 0 keeps threads for ever.
const env = { REQUIRE_KEYS: '1', RETAIN_THREADS_FOR: '0' }
const server = await startServer({ env, tuning: { alone: false, sweepMs: 3_600_000 } })
const { mock, db, app } = server

const refusal = { status: 429, type: 'tokens', code: 'rate_limit_exceeded' }

/** An answer that costs so many tokens. */
const costs = (total_tokens: number): AnswerOptions => ({
  usage: { prompt_tokens: total_tokens - 1, completion_tokens: 1, total_tokens },
})

/** A project of its own with a key, an assistant and a limit if one is given. */
async function shop(id: string, tokens?: number) {
  await threadmill(db.url, 'projects', 'create', id)
  const made = await keyOf(server, '--project', id)
  if (tokens !== undefined) await limit('projects', id, tokens)
  await app.keys.changed()
  const client = clientOf(server, made.key)
  const { id: assistant } = await client.beta.assistants.create({ model: 'mock-model', tools: [tool('f')] })
  mock.reset()
  return { ...made, client, assistant, threads: client.beta.threads }
}

async function limit(of: 'keys' | 'projects', id: string, tokens: number | 'none'): Promise<void> {
  const { code, err } = await threadmill(db.url, of, 'limit', id, '--tokens-per-day', String(tokens))
  assert.equal(code, 0, err)
  await app.keys.changed()
}

/** A run to its end, on a thread of its own. */
function answered(client: OpenAI, assistant_id: string): Promise<OpenAI.Beta.Threads.Run> {
  const thread = { messages: [{ role: 'user' as const, content: 'Well?' }] }
  return client.beta.threads.createAndRunPoll({ assistant_id, thread })
}

async function used(project: string): Promise<number> {
  const [row] = await db.sql<{ n: number }>(
    'select coalesce(sum(tokens), 0)::int as n from usage_days where project_id = $1',
    [project],
  )
  return row?.n ?? 0
}

test('a project that has used its tokens of the day creates no run, by no way and in no dialect, and hears when it may again', async () => {
  const { client, assistant: assistant_id, threads, key } = await shop('all-ways', 100)
  mock.next(text('Yes.', costs(60)), text('Yes.', costs(60)))
  const { response } = await threads.createAndRun({ assistant_id, thread: {} }).withResponse()
  const told = (name: string) => response.headers.get(`x-ratelimit-${name}-tokens`)
  assert.deepEqual([told('limit'), told('remaining')], ['100', '100'])
  assert.match(told('reset') ?? '', /^\d{1,5}s$/)
  while ((await used('all-ways')) < 60) await new Promise(setImmediate)
  assert.equal((await answered(client, assistant_id)).status, 'completed')

  const { id: thread } = await threads.create({ messages: [{ role: 'user', content: 'And now?' }] })
  await assert.rejects(threads.runs.create(thread, { assistant_id }), refusal)
  await assert.rejects(threads.runs.stream(thread, { assistant_id }).finalRun(), refusal)
  await assert.rejects(threads.createAndRun({ assistant_id }), refusal)
  await assert.rejects(threads.createAndRunStream({ assistant_id }).finalRun(), refusal)
  for (const [path, more] of [
    [`/v1/threads/${thread}/runs`, {}],
    ['/v1/threads/runs', { thread: { id: 'one', object: 'thread', created_at: 0, metadata: {} } }],
  ] as const) {
    const body = JSON.stringify({ assistant_id, instructions: '', model: '', ...more })
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const memgpt = await fetch(app.url + path, { method: 'POST', headers, body })
    assert.equal(memgpt.headers.get('x-assistants-dialect'), 'memgpt')
    assert.equal(memgpt.status, 429, path)
    assert.match(((await memgpt.json()) as { detail: string }).detail, /may use 100 tokens a day/)
  }
  assert.equal(mock.requests.length, 2)
  // All but new runs goes on.
  assert.equal((await threads.messages.list(thread)).data.length, 1)
})

test('an SDK does not send again what is refused until tomorrow', async () => {
  const { client, assistant: assistant_id } = await shop('patient', 10)
  mock.next(text('Yes.', costs(10)))
  await answered(client, assistant_id)
  const refused: Response[] = []
  const asking = client.withOptions({
    maxRetries: 2,
    fetch: async (...request) => {
      const answer = await fetch(...request)
      refused.push(answer)
      return answer
    },
  })
  await assert.rejects(asking.beta.threads.createAndRun({ assistant_id }), {
    ...refusal,
    message: /project patient may use 10 tokens a day, and has used them.*00:00 UTC/,
  })
  assert.equal(refused.length, 1)
  const header = (name: string) => refused[0]?.headers.get(name) ?? ''
  assert.equal(header('x-should-retry'), 'false')
  assert.equal(header('x-ratelimit-remaining-tokens'), '0')
  const left = Number.parseInt(header('x-ratelimit-reset-tokens'), 10)
  assert.equal(Number(header('retry-after')), Math.min(left, 3_600))
})

test('a deleted thread or a revoked key gives no tokens back', async () => {
  const { client, assistant: assistant_id, id } = await shop('forgetful', 50)
  mock.next(text('Yes.', costs(50)))
  const run = await answered(client, assistant_id)
  await client.beta.threads.delete(run.thread_id)
  await assert.rejects(client.beta.threads.createAndRun({ assistant_id }), refusal)
  const { key } = await keyOf(server, '--project', 'forgetful')
  await threadmill(db.url, 'keys', 'revoke', id)
  await assert.rejects(clientOf(server, key).beta.threads.createAndRun({ assistant_id }), refusal)
})

test(
  'a thread that is deleted while the model answers does not hide what the answer cost',
  { timeout: 10_000 },
  async () => {
    const { client, assistant: assistant_id, threads } = await shop('hasty', 1_000)
    const { opened, open } = gate()
    mock.next(text('A long answer', opened, ' that nobody will read.'))
    const stream = threads.createAndRunStream({
      assistant_id,
      thread: { messages: [{ role: 'user', content: 'Go on.' }] },
    })
    const thread = await new Promise<string>((resolve, reject) => {
      stream.on('messageDelta', () => resolve(stream.currentRun()?.thread_id ?? ''))
      stream.on('error', reject)
    })
    await client.beta.threads.delete(thread)
    open()
    await stream.done().catch(() => {})
    while ((await used('hasty')) === 0) await new Promise(setImmediate)
  },
)

test('a turn that was taken from its node and is done again is counted once', async () => {
  const { assistant: assistant_id, threads } = await shop('taken', 1_000)
  const { opened, open } = gate()
  mock.next(text('Half an answer', opened, '.'))
  const run = await threads.createAndRun({ assistant_id, thread: {} })
  while ((await threads.messages.list(run.thread_id)).data.length === 0) await new Promise(setImmediate)
  await db.sql(
    "update runs set owner_node = 'gone', lease_epoch = lease_epoch + 1, version = version + 1 where id = $1",
    [run.id],
  )
  while (mock.requests.length < 2) await app.engine.sweep()
  open()
  const ended = await threads.runs.poll(run.id, { thread_id: run.thread_id })
  assert.deepEqual([ended.status, ended.usage?.total_tokens], ['completed', 24])
  assert.equal(await used('taken'), 24)
})

test('a key is held to its own limit on every node, whichever executes its runs, and other keys of its project are not', async (t) => {
  const { client, assistant: assistant_id, id } = await shop('two-nodes')
  await limit('keys', id, 100)
  const other = await keyOf(server, '--project', 'two-nodes')
  const second = await anotherNode(t, server, {}, env)
  await second.app.keys.changed()
  const there = client.withOptions({ baseURL: `${second.app.url}/v1` })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }], costs(60)), text('Yes.', costs(60)))
  const run = await client.beta.threads.createAndRunPoll({ assistant_id, thread: {} })
  const outputs = { thread_id: run.thread_id, tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  // Its second turn is the other node's, which knows from the run alone whose it is.
  const ended = await there.beta.threads.runs.submitToolOutputsAndPoll(run.id, outputs)
  assert.equal(ended.status, 'completed')
  const rows = await db.sql<{ key_id: string; node_id: string; tokens: number }>(
    'select key_id, tokens, node_id from usage_days where project_id = $1 order by node_id = $2 desc',
    ['two-nodes', app.store.node],
  )
  assert.deepEqual(
    rows.map(({ key_id, node_id, tokens }) => [key_id, node_id, Number(tokens)]),
    [
      [id, app.store.node, 60],
      [id, second.app.store.node, 60],
    ],
  )
  for (const one of [client, there])
    await assert.rejects(one.beta.threads.createAndRun({ assistant_id }), {
      ...refusal,
      message: new RegExp(`key ${id} may use 100 tokens`),
    })
  const free = clientOf(server, other.key)
  assert.equal((await answered(free, assistant_id)).status, 'completed')
  // The key that takes its place has its limit, and a day of its own.
  await threadmill(db.url, 'keys', 'rotate', id)
  const [fresh] = await db.sql<{ limits: object }>(
    'select limits from api_keys where project_id = $1 order by seq desc limit 1',
    ['two-nodes'],
  )
  assert.deepEqual(fresh?.limits, { tokens_per_day: 100 })
})

test('a run that uses up the tokens ends its turn, asks for no tools and begins no other turn', async () => {
  const { assistant: assistant_id, threads } = await shop('looping', 100)
  const call = { id: 'call_a', name: 'f', arguments: '{}' }
  mock.next(toolCalls([call], costs(60)), toolCalls([{ ...call, id: 'call_b' }], costs(60)))
  const run = await threads.createAndRunPoll({ assistant_id, thread: {} })
  assert.equal(run.status, 'requires_action')
  const outputs = { thread_id: run.thread_id, tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputs)
  assert.equal(ended.status, 'failed')
  assert.equal(ended.last_error?.code, 'rate_limit_exceeded')
  assert.match(ended.last_error?.message ?? '', /project looping may use 100 tokens a day/)
  assert.equal(ended.usage?.total_tokens, 120)
  assert.equal(mock.requests.length, 2)
})

test('a run whose tokens others have used up takes its outputs and fails without another call of the model', async () => {
  const { client, assistant: assistant_id, threads } = await shop('crowded', 100)
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }], costs(60)), text('Yes.', costs(60)))
  const run = await threads.createAndRunPoll({ assistant_id, thread: {} })
  await answered(client, assistant_id)
  const outputs = { thread_id: run.thread_id, tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputs)
  assert.deepEqual([ended.status, ended.last_error?.code], ['failed', 'rate_limit_exceeded'])
  assert.equal(ended.usage?.total_tokens, 60)
  assert.equal(mock.requests.length, 2)
  assert.equal(await used('crowded'), 120)
  // Its thread is free.
  await threads.messages.create(run.thread_id, { role: 'user', content: 'Later, then.' })
})

test('tokens are counted for those alone that have a limit, and from then on that it is set', async () => {
  const { client, assistant } = await shop('unbounded')
  await answered(client, assistant)
  assert.equal(await used('unbounded'), 0)
  await limit('projects', 'unbounded', 1_000)
  await answered(client, assistant)
  assert.equal(await used('unbounded'), 24)
  await limit('projects', 'unbounded', 'none')
  const { response } = await client.beta.threads
    .createAndRun({ assistant_id: assistant, thread: {} })
    .withResponse()
  assert.equal(response.headers.get('x-ratelimit-limit-tokens'), null)
})

test('with the next day, by the clock of the database, all tokens are there again, and old days are forgotten', async () => {
  const { client, assistant: assistant_id } = await shop('tomorrow', 20)
  await answered(client, assistant_id)
  const refused = await client.beta.threads.createAndRun({ assistant_id }).catch((error: unknown) => error)
  const { headers } = refused as { headers: Headers }
  const left = Number.parseInt(headers.get('x-ratelimit-reset-tokens') ?? '', 10)
  await db.advanceClock(left - 60)
  await assert.rejects(client.beta.threads.createAndRun({ assistant_id }), refusal)
  await db.advanceClock(60)
  await app.store.beat()
  assert.equal((await answered(client, assistant_id)).status, 'completed')
  const days = () => db.sql("select from usage_days where project_id = 'tomorrow'")
  await app.engine.sweep()
  assert.equal((await days()).length, 2)
  await db.advanceClock(86_400 + 61)
  await app.store.beat()
  await app.engine.sweep()
  await app.engine.sweep()
  assert.equal((await days()).length, 1)
})
