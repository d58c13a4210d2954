import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { hang } from './support/mock-model.ts'
import { clientOf, keyOf, threadmill } from './support/keys.ts'
import { oneNode } from './support/nodes.ts'
import type { TestServer } from './support/server.ts'

// What a key and a project may do in a time.

const required = { REQUIRE_KEYS: '1' }

const ask = (server: TestServer, key: string) =>
  fetch(`${server.app.url}/v1/assistants`, { headers: { authorization: `Bearer ${key}` } })

test('a key may make its requests a minute, and then hears when it may again, in the words that SDKs know', async (t) => {
  let now = 0
  const server = await oneNode(t, { env: required, tuning: { monotonic: () => now } })
  const { key, id } = await keyOf(server)
  const other = await keyOf(server)
  const { out } = await threadmill(server.db.url, 'keys', 'limit', id, '--requests-per-minute', '3')
  assert.equal(out, 'requests-per-minute 3\n')
  // Changes are seen within a second.
  while ((await ask(server, key)).headers.get('x-ratelimit-limit-requests') !== '3')
    await new Promise(setImmediate)
  now += 60_000
  const left: (string | null)[] = []
  for (let i = 0; i < 3; i++) {
    const answer = await ask(server, key)
    assert.equal(answer.status, 200)
    left.push(answer.headers.get('x-ratelimit-remaining-requests'))
  }
  assert.deepEqual(left, ['2', '1', '0'])
  const refused = await ask(server, key)
  assert.equal(refused.status, 429)
  const { error } = (await refused.json()) as { error: Record<string, unknown> }
  assert.deepEqual([error['type'], error['code']], ['requests', 'rate_limit_exceeded'])
  assert.equal(refused.headers.get('retry-after'), '20')
  assert.equal(refused.headers.get('retry-after-ms'), '20000')
  assert.equal((await ask(server, other.key)).status, 200)
  now += 20_000
  assert.equal((await ask(server, key)).status, 200)
  assert.equal((await ask(server, key)).status, 429)
})

test('the keys of a project share its requests, and those of another are not counted', async (t) => {
  const server = await oneNode(t, { env: required, tuning: { monotonic: () => 0 } })
  await threadmill(server.db.url, 'projects', 'create', 'shop')
  const [a, b] = [await keyOf(server, '--project', 'shop'), await keyOf(server, '--project', 'shop')]
  const other = await keyOf(server)
  await threadmill(server.db.url, 'projects', 'limit', 'shop', '--requests-per-minute', '4')
  while (!(await ask(server, a.key)).headers.has('x-ratelimit-limit-requests'))
    await new Promise(setImmediate)
  const answers = [await ask(server, b.key), await ask(server, a.key), await ask(server, b.key)]
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200],
  )
  assert.deepEqual([(await ask(server, a.key)).status, (await ask(server, b.key)).status], [429, 429])
  assert.equal((await ask(server, other.key)).status, 200)
})

test('a project has no more runs at a time than it may, streams among them, and may go on when one has ended', async (t) => {
  const server = await oneNode(t, { env: required, tuning: { drainMs: 0 } })
  const { key } = await keyOf(server)
  await threadmill(server.db.url, 'projects', 'limit', 'default', '--concurrent-runs', '2')
  const client = new OpenAI({ baseURL: `${server.app.url}/v1`, apiKey: key, maxRetries: 0 })
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  const limited = async () => {
    await server.db.sql('update access_version set version = version + 1')
    while (server.app.keys.limitsOf('default', null).length === 0) await new Promise(setImmediate)
  }
  await limited()
  server.mock.when(() => true, hang())
  const runs = [
    await client.beta.threads.createAndRun({ assistant_id }),
    await client.beta.threads.createAndRun({ assistant_id }),
  ]
  const refused = { status: 429, code: 'rate_limit_exceeded' }
  await assert.rejects(client.beta.threads.createAndRun({ assistant_id }), refused)
  const { id: thread } = await client.beta.threads.create()
  await assert.rejects(client.beta.threads.runs.create(thread, { assistant_id }), refused)
  await assert.rejects(client.beta.threads.runs.stream(thread, { assistant_id }).finalRun(), refused)
  const first = runs[0] ?? assert.fail()
  await client.beta.threads.runs.cancel(first.id, { thread_id: first.thread_id })
  await client.beta.threads.runs.poll(first.id, { thread_id: first.thread_id })
  await client.beta.threads.runs.create(thread, { assistant_id })
})

test('a key has no more runs at a time than it may, and those of other keys are not counted', async (t) => {
  const server = await oneNode(t, { env: required, tuning: { drainMs: 0 } })
  const [bounded, other] = [await keyOf(server), await keyOf(server)]
  await threadmill(server.db.url, 'keys', 'limit', bounded.id, '--concurrent-runs', '1')
  await server.app.keys.changed()
  const [first, second] = [clientOf(server, bounded.key), clientOf(server, other.key)]
  const { id: assistant_id } = await first.beta.assistants.create({ model: 'mock-model' })
  server.mock.when(() => true, hang())
  await second.beta.threads.createAndRun({ assistant_id })
  await second.beta.threads.createAndRun({ assistant_id })
  const run = await first.beta.threads.createAndRun({ assistant_id })
  await assert.rejects(first.beta.threads.createAndRun({ assistant_id }), {
    status: 429,
    code: 'rate_limit_exceeded',
    message: new RegExp(`key ${bounded.id} may have 1 runs at a time`),
  })
  await first.beta.threads.runs.cancel(run.id, { thread_id: run.thread_id })
  await first.beta.threads.runs.poll(run.id, { thread_id: run.thread_id })
  await first.beta.threads.createAndRun({ assistant_id })
})

test('the commands for limits say what is wrong, and take limits back', async (t) => {
  const server = await oneNode(t)
  const say = (...words: string[]) => threadmill(server.db.url, ...words)
  const set = await say(
    'projects',
    'limit',
    'default',
    '--requests-per-minute',
    '5',
    '--concurrent-runs',
    '7',
  )
  assert.deepEqual(set.out.split('\n').toSorted(), ['', 'concurrent-runs 7', 'requests-per-minute 5'])
  assert.equal(
    (await say('projects', 'limit', 'default', '--concurrent-runs', 'none')).out,
    'requests-per-minute 5\n',
  )
  assert.equal(
    (await say('projects', 'limit', 'default', '--requests-per-minute', 'none')).out,
    'no limits\n',
  )
  assert.equal((await say('projects', 'limit', 'none')).code, 66)
  assert.equal((await say('keys', 'limit', 'key_none')).code, 66)
  const { id } = await keyOf(server)
  const five = ['requests-per-minute', 'concurrent-runs', 'tokens-per-day', 'body-bytes', 'thread-messages']
  for (const of of [
    ['projects', 'limit', 'default'],
    ['keys', 'limit', id],
  ]) {
    const all = await say(...of, ...five.flatMap((name, i) => [`--${name}`, String(i + 1)]))
    assert.deepEqual(
      all.out.trim().split('\n').toSorted(),
      five.map((name, i) => `${name} ${i + 1}`).toSorted(),
    )
    const none = await say(...of, ...five.flatMap((name) => [`--${name}`, 'none']))
    assert.equal(none.out, 'no limits\n')
  }
  const { code, err } = await say('projects', 'limit', 'default', '--concurrent-runs', '0')
  assert.equal(code, 64)
  assert.match(err, /--concurrent-runs must be a whole number from 1, or none/)
})
