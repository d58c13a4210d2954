import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { AzureOpenAI } from 'openai'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { isApiKey } from '../src/contract/api-keys.ts'
import { createDatabase } from './support/database.ts'
import { hang, text } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { clientOf, keyOf, threadmill, until } from './support/keys.ts'

// API keys: who comes in, into which project, and for how long. They are made by the commands, as an operator makes them.

test('without a key everyone comes in; with the first one nobody does without', async (t) => {
  const server = await oneNode(t)
  await server.client.beta.assistants.list()
  const { key } = await keyOf(server)
  assert.ok(isApiKey(key))
  await until(401, () => server.fetch('/v1/assistants'))
  const answer = await server.fetch('/v1/assistants')
  const { error } = (await answer.json()) as { error: Record<string, unknown> }
  assert.deepEqual([error['type'], error['code'], error['param']], ['invalid_request_error', null, null])
  assert.equal(answer.headers.get('www-authenticate'), 'Bearer')
  await assert.rejects(server.client.beta.assistants.list(), { status: 401, code: 'invalid_api_key' })
  assert.deepEqual((await clientOf(server, key).beta.assistants.list()).data, [])
})

test('a key is shown once and stored as an HMAC: it is in no table and in no list', async (t) => {
  const server = await oneNode(t)
  const { key, id } = await keyOf(server, '--name', 'for the shop', '--expires-in', '90d')
  const rows = await server.db.sql('select * from api_keys')
  assert.ok(!JSON.stringify(rows).includes(key.slice(10)))
  const { out } = await threadmill(server.db.url, 'keys', 'list')
  assert.ok(out.includes(id) && out.includes('for the shop') && !out.includes(key.slice(10)), out)
})

test('every way to send a key leads to the same project, and two different ones at once are refused', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' } })
  const { key } = await keyOf(server)
  const { id } = await clientOf(server, key).beta.threads.create()
  const azure = new AzureOpenAI({ endpoint: server.app.url, apiKey: key, apiVersion: '2024-05-01-preview' })
  assert.equal((await azure.beta.threads.retrieve(id)).id, id)
  const ask = (headers: Record<string, string>, path = `/v1/threads/${id}`) =>
    fetch(server.app.url + path, { headers: { 'openai-beta': 'assistants=v2', ...headers } })
  assert.equal((await ask({ authorization: `bearer ${key}` })).status, 200)
  assert.equal((await ask({ 'api-key': key, authorization: `Bearer ${key}` })).status, 200)
  const both = await ask({ 'api-key': key, authorization: 'Bearer sk-tm-other' })
  assert.equal(both.status, 400)
  assert.equal(((await both.json()) as { error: { code: string } }).error.code, 'conflicting_credentials')
  // Two headers of one name, as fetch would not send them.
  const twice = async (...keys: string[]) => {
    const headers = ['host', 'localhost', 'openai-beta', 'assistants=v2']
    for (const one of keys) headers.push('authorization', `Bearer ${one}`)
    const [answer] = (await once(get(`${server.app.url}/v1/threads/${id}`, { headers }), 'response')) as [
      IncomingMessage,
    ]
    answer.resume()
    return answer.statusCode
  }
  assert.equal(await twice(key, key), 200)
  assert.equal(await twice(key, 'sk-tm-other'), 400)
  assert.equal(await twice('sk-tm-other', key), 400)
  const wrongs: Record<string, string>[] = [
    {},
    { authorization: `Basic ${key}` },
    { 'api-key': `${key}x` },
    { 'x-api-key': key },
  ]
  for (const wrong of wrongs) assert.equal((await ask(wrong)).status, 401, JSON.stringify(wrong))
  const memgpt = await fetch(`${server.app.url}/v1/threads/${id}/runs`)
  assert.deepEqual([memgpt.status, await memgpt.json()], [401, { detail: 'Unauthorized' }])
  // Nobody learns without a key which URLs there are.
  assert.equal((await ask({}, '/v1/nothing')).status, 401)
  // It tells of all projects.
  await threadmill(server.db.url, 'projects', 'create', 'shop')
  const shop = await keyOf(server, '--project', 'shop')
  const metrics = async (headers: Record<string, string>) => (await ask(headers, '/metrics')).status
  assert.equal(await metrics({}), 401)
  assert.equal(await metrics({ 'api-key': shop.key }), 403)
  assert.equal(await metrics({ 'api-key': key }), 200)
  for (const path of ['/healthz', '/readyz', '/openapi.json']) assert.equal((await ask({}, path)).status, 200)
})

test('a request without a valid key is refused before its body is read', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' } })
  const answer = await server.fetch('/v1/threads', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"broken',
  })
  assert.equal(answer.status, 401)
})

test('a project sees nothing of another, and the same Idempotency-Key is two keys in two projects', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' } })
  await threadmill(server.db.url, 'projects', 'create', 'shop', 'The shop')
  const [mine, theirs] = [await keyOf(server), await keyOf(server, '--project', 'shop')]
  const [a, b] = [clientOf(server, mine.key), clientOf(server, theirs.key)]
  const options = { idempotencyKey: 'the-same' }
  const [threadA, threadB] = [
    await a.beta.threads.create({}, options),
    await b.beta.threads.create({}, options),
  ]
  assert.notEqual(threadA.id, threadB.id)
  const assistant = await a.beta.assistants.create({ model: 'mock-model' })
  await assert.rejects(b.beta.threads.retrieve(threadA.id), { status: 404 })
  await assert.rejects(b.beta.threads.runs.create(threadB.id, { assistant_id: assistant.id }), {
    status: 404,
  })
  assert.deepEqual((await b.beta.assistants.list()).data, [])
  const run = await a.beta.threads.runs.createAndPoll(threadA.id, { assistant_id: assistant.id })
  assert.equal(run.status, 'completed')
  await assert.rejects(b.beta.threads.runs.retrieve(run.id, { thread_id: threadA.id }), { status: 404 })
  await assert.rejects(b.beta.threads.messages.list(threadA.id), { status: 404 })
})

test('a revoked key lets nobody in on any node, and the streams that it opened break off', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' }, tuning: { drainMs: 0 } })
  const { key, id } = await keyOf(server)
  const client = clientOf(server, key)
  const other = await anotherNode(t, server, { drainMs: 0 })
  const assistant = await client.beta.assistants.create({ model: 'mock-model' })
  server.mock.next(hang())
  const stream = client.beta.threads.createAndRunStream({ assistant_id: assistant.id })
  const broken = assert.rejects(stream.finalRun())
  await server.mock.received(0)
  const revoked = performance.now()
  assert.equal((await threadmill(server.db.url, 'keys', 'revoke', id)).code, 0)
  await broken
  const ask = (url: string) => () =>
    fetch(`${url}/v1/assistants`, { headers: { authorization: `Bearer ${key}` } })
  await until(401, ask(server.app.url))
  await until(401, ask(other.app.url))
  const took = performance.now() - revoked
  assert.ok(took < 5_000, `${took} ms`)
  // The last key is revoked, and still nobody comes in without one.
  assert.equal((await server.fetch('/v1/assistants')).status, 401)
})

test('a key in the place of another works at once, and the old one until its grace is over', async (t) => {
  const server = await oneNode(t)
  const old = await keyOf(server, '--name', 'shop')
  const { code, out, err } = await threadmill(server.db.url, 'keys', 'rotate', old.id, '--grace', '1h')
  assert.equal(code, 0, err)
  const asked = (key: string) => () =>
    fetch(`${server.app.url}/v1/assistants`, { headers: { authorization: `Bearer ${key}` } })
  for (const key of [old.key, out.trim()]) await until(200, asked(key))
  const [, fresh] = await server.db.sql<{ name: string; expires_at: number | null }>(
    'select name, expires_at from api_keys order by seq',
  )
  assert.deepEqual(fresh, { name: 'shop', expires_at: null })
  await server.db.advanceClock(3_601)
  await server.app.store.beat()
  await until(401, asked(old.key))
  assert.equal((await asked(out.trim())()).status, 200)
})

test('a key expires when it was said to, and when it is told to', async (t) => {
  const server = await oneNode(t)
  const [first, second] = [await keyOf(server, '--expires-in', '1h'), await keyOf(server)]
  const asked = (key: string) => () =>
    fetch(`${server.app.url}/v1/assistants`, { headers: { authorization: `Bearer ${key}` } })
  await until(200, asked(first.key))
  await server.db.advanceClock(3_601)
  await server.app.store.beat()
  await until(401, asked(first.key))
  assert.equal((await threadmill(server.db.url, 'keys', 'expire', second.id)).code, 0)
  await until(401, asked(second.key))
})

test('a flood of wrong keys is not passed on to the database', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' } })
  const spy = t.mock.method(server.app.store.pool, 'query')
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, i) =>
      fetch(`${server.app.url}/v1/assistants`, { headers: { authorization: `Bearer sk-tm-${i}` } }),
    ),
  )
  assert.ok(answers.every(({ status }) => status === 401))
  const names = spy.mock.calls.map((call) => (call.arguments as unknown as [{ name: string }])[0].name)
  assert.ok(names.filter((name) => /key|access/.test(name)).length < 60, names.join(' '))
})

test('ALLOW_ANONYMOUS lets in whoever has no key of ours, and a key still leads to its project', async (t) => {
  const server = await oneNode(t, { env: { ALLOW_ANONYMOUS: '1' } })
  await threadmill(server.db.url, 'projects', 'create', 'shop')
  const { key } = await keyOf(server, '--project', 'shop')
  const { id } = await server.client.beta.threads.create()
  await until(404, () =>
    fetch(`${server.app.url}/v1/threads/${id}`, {
      headers: { authorization: `Bearer ${key}`, 'openai-beta': 'assistants=v2' },
    }),
  )
  assert.equal((await server.client.beta.threads.retrieve(id)).id, id)
  await assert.rejects(clientOf(server, 'sk-tm-wrong').beta.threads.retrieve(id), { status: 401 })
})

test('without a key the server does not start where others reach it; with one, with ALLOW_ANONYMOUS or on loopback it does', async (t) => {
  const env = { HOST: '0.0.0.0' }
  const { url } = await createDatabase()
  const start = () => startApp(readConfig({ ...env, PORT: '0', DATABASE_URL: url }), createLog('silent'))
  await assert.rejects(start(), /HOST is "0\.0\.0\.0".*`threadmill keys create`/)
  await oneNode(t, { env: { ...env, ALLOW_ANONYMOUS: '1' } })
  await oneNode(t, { env: { ...env, REQUIRE_KEYS: '1' } })
})

test('the commands say what is wrong, and keys can be made before the first start', async () => {
  const { url } = await createDatabase()
  const { code, out } = await threadmill(url, 'keys', 'create')
  assert.equal(code, 0)
  assert.ok(isApiKey(out.trim()))
  const faults: [string[], number, RegExp][] = [
    [['keys', 'create', '--project', 'none'], 66, /no project "none".*projects create none/],
    [['keys', 'create', '--expires-in', 'soon'], 64, /--expires-in must be a time such as 90d/],
    [['keys', 'revoke', 'key_none'], 66, /no key "key_none"/],
    [['keys', 'rotate', 'key_none'], 66, /no key "key_none"/],
    [['keys', 'expire', 'key_none'], 66, /no key "key_none"/],
    [['keys', 'list', '--project', 'none'], 66, /no project "none".*projects list/],
    [['keys', 'create', '--name', ''], 64, /--name must have 1 to 256 characters/],
    [['keys', 'create', '--name', 'a'.repeat(257)], 64, /--name must have 1 to 256 characters/],
    [['keys', 'create', '--name', 'a\u001b[2Jb'], 64, /--name must have .*no control characters/],
    [['projects', 'create', 'shop', 'a\nb'], 64, /NAME must have .*no control characters/],
    [['projects', 'create', 'shop', '🌾'.repeat(257)], 64, /NAME must have 1 to 256 characters/],
    [['projects', 'create', 'Not So'], 64, /small letters, digits and hyphens/],
    [['projects', 'create', 'default'], 77, /a project "default" already/],
    [['projects', 'retain', 'none', '90d'], 66, /no project "none"/],
    [['projects', 'retain', 'default', 'long'], 64, /TIME must be a time such as 90d/],
  ]
  for (const [words, code, message] of faults) {
    const said = await threadmill(url, ...words)
    assert.equal(said.code, code, words.join(' '))
    assert.match(said.err, message)
  }
  assert.match((await threadmill(url, 'projects', 'list')).out, /default +Default project/)
  assert.equal((await threadmill(url, 'projects', 'create', 'mill', '🌾'.repeat(256))).code, 0)
  const none = await threadmill(url, 'keys', 'list', '--project', 'mill')
  assert.deepEqual([none.code, none.out.split('\n').length], [0, 2])
})

test('a key that is revoked does not expire any more, and the command says so', async () => {
  const db = await createDatabase()
  const { err } = await threadmill(db.url, 'keys', 'create')
  const id = /key_\w+/.exec(err)?.[0] ?? ''
  assert.equal((await threadmill(db.url, 'keys', 'revoke', id)).code, 0)
  const said = await threadmill(db.url, 'keys', 'expire', id, '--in', '7d')
  assert.deepEqual([said.code, said.err], [77, `threadmill: ${id} is revoked, and so not valid any more.\n`])
  assert.deepEqual(await db.sql('select expires_at from api_keys'), [{ expires_at: null }])
})

test('names that were stored otherwise cannot steer the terminal that lists them', async () => {
  const db = await createDatabase()
  assert.equal((await threadmill(db.url, 'keys', 'create')).code, 0)
  for (const table of ['api_keys', 'projects'])
    await db.sql(`update ${table} set name = $1`, ['a\u001b[2J\nb\u009b1m'])
  for (const what of ['keys', 'projects']) {
    const { out } = await threadmill(db.url, what, 'list')
    assert.ok(out.includes('  a\ufffd[2J\ufffdb\ufffd1m  '), JSON.stringify(out))
    assert.equal(out.split('\n').length, 3)
  }
})

test('what is under way for a key is done in its project to the end', async (t) => {
  const server = await oneNode(t, { env: { REQUIRE_KEYS: '1' } })
  await threadmill(server.db.url, 'projects', 'create', 'shop')
  const { key } = await keyOf(server, '--project', 'shop')
  const client = clientOf(server, key)
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  server.mock.next(text('Done.'))
  const run = await client.beta.threads.createAndRunPoll({ assistant_id })
  assert.equal(run.status, 'completed')
  const rows = await server.db.sql<{ project_id: string }>('select distinct project_id from messages')
  assert.deepEqual(rows, [{ project_id: 'shop' }])
})
