import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import OpenAI from 'openai'
import { createLog } from '../src/log.ts'
import { describedBy } from './support/described.ts'
import { clientOf, until } from './support/keys.ts'
import { startMockModel, status } from './support/mock-model.ts'
import { oneNode } from './support/nodes.ts'
import type { ServerOptions, TestServer } from './support/server.ts'

// The admin API, used with the official SDK as far as it goes: its shapes are OpenAI's.

const adminAPIKey = 'an-admin-key-of-32-characters-and-more'
const env = { ADMIN_KEY: adminAPIKey, SECRETS_KEY: 'a secrets key of 32 characters and more' }

interface NewKey {
  id: string
  value: string
  redacted_value: string
  name: string
  expires_at: number | null
}

interface Administered {
  server: TestServer
  /** The SDK with the admin key. */
  sdk: OpenAI
  /** A new key of a project. */
  newKey: (project: string, body?: object) => Promise<NewKey>
}

async function administered(t: TestContext, options: ServerOptions = {}): Promise<Administered> {
  const server = await oneNode(t, { ...options, env })
  const described = await describedBy(server.app.url)
  const sdk = new OpenAI({
    baseURL: `${server.app.url}/v1`,
    apiKey: adminAPIKey,
    adminAPIKey,
    maxRetries: 0,
    fetch: described.fetch,
  })
  const newKey = (project: string, body: object = {}) =>
    sdk.post<NewKey>(`/organization/projects/${project}/api_keys`, { body })
  return { server, sdk, newKey }
}

test('projects and keys are made, listed, rotated, expired and revoked with the SDK, and a key works at once', async (t) => {
  const { server, sdk, newKey } = await administered(t)
  const { projects } = sdk.admin.organization
  const { id } = await projects.create({ name: 'The shop' })
  assert.equal((await projects.retrieve(id)).name, 'The shop')
  const listed: string[] = []
  for await (const project of projects.list({ limit: 1 })) listed.push(project.id)
  assert.deepEqual(listed.toSorted(), ['default', id].toSorted())

  const key = await newKey(id, { name: 'app', expires_in_seconds: 3_600 })
  assert.match(key.value, /^sk-tm-\w{43}$/)
  const client = clientOf(server, key.value)
  const { id: thread } = await client.beta.threads.create()
  const [row] = await server.db.sql<{ project_id: string }>('select project_id from threads where id = $1', [
    thread,
  ])
  assert.equal(row?.project_id, id)
  // With the first key nobody comes in without one.
  await assert.rejects(server.client.beta.threads.retrieve(thread), { status: 401 })

  const fresh = await sdk.post<NewKey>(`/organization/projects/${id}/api_keys/${key.id}/rotate`, {
    body: { grace_seconds: 60 },
  })
  assert.equal((await clientOf(server, fresh.value).beta.threads.retrieve(thread)).id, thread)
  const shown = await projects.apiKeys.retrieve(fresh.id, { project_id: id })
  assert.deepEqual([shown.name, shown.redacted_value], ['app', `${fresh.value.slice(0, 10)}...`])
  const all: string[] = []
  for await (const one of projects.apiKeys.list(id, { limit: 1 })) all.push(one.id)
  assert.deepEqual(all, [fresh.id, key.id])

  const asked = (value: string) => () =>
    fetch(`${server.app.url}/v1/assistants`, { headers: { authorization: `Bearer ${value}` } })
  await projects.apiKeys.update(key.id, { project_id: id, expires_in_seconds: 0 })
  await until(401, asked(key.value))
  await projects.apiKeys.delete(fresh.id, { project_id: id })
  await until(401, asked(fresh.value))
})

test('the admin API is for the admin key alone, which opens nothing else, and is not there without one', async (t) => {
  const { server, sdk, newKey } = await administered(t)
  const { value } = await newKey('default')
  const path = '/v1/organization/projects'
  const ask = (headers: Record<string, string>, url = path, base = server.app.url) =>
    fetch(base + url, { headers }).then(({ status }) => status)
  await until(401, () => fetch(`${server.app.url}/v1/assistants`))
  for (const base of ['', '/openai'])
    for (const headers of [
      {},
      { authorization: `Bearer ${value}` },
      { 'api-key': value },
      { authorization: `Bearer ${adminAPIKey}x` },
      { authorization: `Bearer ${adminAPIKey.slice(1)}` },
      { 'x-api-key': adminAPIKey },
    ] as Record<string, string>[])
      assert.equal(await ask(headers, base + path), 401, JSON.stringify(headers))
  assert.equal(await ask({ 'api-key': adminAPIKey }), 200)
  assert.equal(await ask({ 'api-key': adminAPIKey, authorization: `Bearer ${value}` }), 400)
  assert.equal(await ask({ 'api-key': adminAPIKey }, '/v1/assistants'), 401)
  await assert.rejects(sdk.models.list(), { status: 401 })
  const bare = await oneNode(t)
  assert.equal(await ask({ 'api-key': adminAPIKey }, path, bare.app.url), 404)
})

test('the admin API is described with its errors where it is, and takes no Idempotency-Key', async (t) => {
  const { server } = await administered(t)
  const { placed } = await describedBy(server.app.url)
  const admins = placed.filter(({ path }) => path.startsWith('/v1/organization'))
  assert.equal(admins.length, 17)
  const told = JSON.stringify(admins)
  assert.ok(told.includes('project_exists') && told.includes('secrets_key_missing'))
  assert.ok(!told.includes('Idempotency-Key') && !told.includes('idempotency_key'))
})

const unlimited = {
  requests_per_minute: null,
  concurrent_runs: null,
  tokens_per_day: null,
  body_bytes: null,
  thread_messages: null,
}

test('limits of projects and keys are read, set and taken back, and hold at once', async (t) => {
  const { server, sdk, newKey } = await administered(t)
  const { id, value } = await newKey('default')
  const ofProject = '/organization/projects/default/limits'
  const ofKey = `/organization/projects/default/api_keys/${id}/limits`
  const [project, key] = ['organization.project.limits', 'organization.project.api_key.limits']
  assert.deepEqual(await sdk.get(ofProject), { object: project, ...unlimited })
  const all = {
    requests_per_minute: 600,
    concurrent_runs: 5,
    tokens_per_day: 24,
    body_bytes: 100_000,
    thread_messages: 50,
  }
  assert.deepEqual(await sdk.post(ofProject, { body: all }), { object: project, ...all })
  const less = { thread_messages: 2, body_bytes: 1_000 }
  assert.deepEqual(await sdk.post(ofKey, { body: less }), { object: key, ...unlimited, ...less })
  const client = clientOf(server, value)
  const { threads } = client.beta
  const say = (content: string) => ({ role: 'user' as const, content })
  await assert.rejects(threads.create({ messages: [say('a'), say('b'), say('c')] }), { status: 400 })
  await assert.rejects(threads.create({ messages: [say('x'.repeat(1_000))] }), { status: 413 })
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  const run = await threads.createAndRunPoll({ assistant_id, thread: { messages: [say('a')] } })
  assert.equal(run.status, 'completed')
  await assert.rejects(threads.createAndRun({ assistant_id }), { status: 429, type: 'tokens' })
  const { response } = await threads.create().withResponse()
  assert.equal(response.headers.get('x-ratelimit-limit-requests'), '600')
  const one = { tokens_per_day: null, body_bytes: null }
  assert.deepEqual(await sdk.post(ofProject, { body: one }), { object: project, ...all, ...one })
  assert.deepEqual(await sdk.get(ofKey), { object: key, ...unlimited, ...less })
  await threads.createAndRun({ assistant_id })

  for (const [body, param] of [
    [{ tokens_per_day: 0 }, 'tokens_per_day'],
    [{ body_bytes: 1.5 }, 'body_bytes'],
    [{ thread_messages: '5' }, 'thread_messages'],
    [{ requests_per_minute: 1e16 }, 'requests_per_minute'],
    [{ tokens_per_month: 5 }, 'tokens_per_month'],
  ] as const)
    await assert.rejects(sdk.post(ofProject, { body }), { status: 400, param })
  for (const path of [
    '/organization/projects/none/limits',
    `/organization/projects/none/api_keys/${id}/limits`,
  ]) {
    await assert.rejects(sdk.get(path), { status: 404 })
    await assert.rejects(sdk.post(path, { body: less }), { status: 404 })
  }
  assert.deepEqual(await sdk.get(ofKey), { object: key, ...unlimited, ...less })
})

test('how long threads are kept is read and set, and taken back', async (t) => {
  const { server, sdk } = await administered(t)
  const path = '/organization/projects/default/thread_retention'
  const kept = (seconds: number | null) => ({ object: 'organization.project.thread_retention', seconds })
  assert.deepEqual(await sdk.get(path), kept(null))
  for (const seconds of [86_400, 0, null]) {
    assert.deepEqual(await sdk.post(path, { body: { seconds } }), kept(seconds))
    assert.deepEqual(await sdk.get(path), kept(seconds))
    const [row] = await server.db.sql<{ n: number | null }>(
      "select retain_threads_for::int as n from projects where id = 'default'",
    )
    assert.equal(row?.n, seconds)
  }
  await assert.rejects(sdk.post(path, { body: {} }), { status: 400, param: 'seconds' })
  await assert.rejects(sdk.post(path, { body: { seconds: -1 } }), { status: 400, param: 'seconds' })
  const none = '/organization/projects/none/thread_retention'
  await assert.rejects(sdk.get(none), { status: 404 })
  await assert.rejects(sdk.post(none, { body: { seconds: 0 } }), { status: 404 })
})

test('keys and endpoints of other projects are not there, and what is wrong is said', async (t) => {
  const { sdk, newKey } = await administered(t)
  const { projects } = sdk.admin.organization
  await sdk.post('/organization/projects', { body: { name: 'The shop', id: 'shop' } })
  const { id } = await newKey('default')
  const elsewhere = { project_id: 'shop' }
  await assert.rejects(projects.apiKeys.retrieve(id, elsewhere), { status: 404 })
  await assert.rejects(projects.apiKeys.update(id, { ...elsewhere, expires_in_seconds: 0 }), { status: 404 })
  await assert.rejects(projects.apiKeys.delete(id, elsewhere), { status: 404 })
  await assert.rejects(sdk.post(`/organization/projects/shop/api_keys/${id}/rotate`, { body: {} }), {
    status: 404,
  })
  await assert.rejects(newKey('none'), { status: 404 })
  await assert.rejects(projects.retrieve('none'), { status: 404 })
  await assert.rejects(sdk.get('/organization/projects/none/model_endpoint'), { status: 404 })
  const twice = { body: { name: 'Again', id: 'shop' } }
  await assert.rejects(sdk.post('/organization/projects', twice), { status: 400, code: 'project_exists' })
  // A key can be given nothing but a name and an end.
  await assert.rejects(newKey('shop', { project_id: 'default' }), { status: 400, code: 'unknown_parameter' })
  for (const name of ['a\u001b[2J', 'a\nb', '\u009b', 'a'.repeat(257), '']) {
    const refused = { status: 400, param: 'name' }
    await assert.rejects(newKey('shop', { name }), refused)
    await assert.rejects(sdk.post('/organization/projects', { body: { name, id: 'mill' } }), refused)
  }
  assert.equal((await newKey('shop', { name: 'Käse 🌾' })).name, 'Käse 🌾')
  const endpoints: [body: object, param: string][] = [
    [{ base_url: 'http://me:secret@a.example/v1' }, 'base_url'],
    [{ api_key: 'sk-\nbroken' }, 'api_key'],
    [{ api_key: 'sk-ä' }, 'api_key'],
    [{ models: ['*', 'm1'] }, 'models'],
    [{ models: ['m1\n'] }, 'models'],
  ]
  for (const [body, param] of endpoints) {
    await assert.rejects(sdk.post('/organization/projects/shop/model_endpoint', { body }), {
      status: 400,
      param,
    })
  }
})

test('what the admin API is given and answers is kept nowhere: no answer under an Idempotency-Key, no log, no table', async (t) => {
  const lines: string[] = []
  const log = createLog('debug', (line) => lines.push(line) > 0)
  const { server, sdk } = await administered(t, { log })
  const model = await startMockModel()
  t.after(() => model.close())
  model.models(
    status(200, { object: 'list', data: [{ id: 'shop-model', object: 'model', created: 1, owned_by: 'x' }] }),
  )
  const path = '/organization/projects/default'
  const api_key = 'sk-of-the-endpoint-of-the-project'
  const set = { base_url: model.baseUrl, api_key, models: ['shop-model'] }
  const endpoint = await sdk.post(`${path}/model_endpoint`, { body: set })
  assert.deepEqual(endpoint, {
    object: 'organization.project.model_endpoint',
    base_url: model.baseUrl,
    has_api_key: true,
    models: ['shop-model'],
  })
  assert.deepEqual(await sdk.get(`${path}/model_endpoint`), endpoint)
  const idempotencyKey = 'the-same'
  const first = await sdk.post<NewKey>(`${path}/api_keys`, { body: {}, idempotencyKey })
  const second = await sdk.post<NewKey>(`${path}/api_keys`, { body: {}, idempotencyKey })
  assert.notEqual(first.value, second.value)
  const client = clientOf(server, first.value)
  while ((await client.models.list()).data[0]?.id !== 'shop-model')
    await new Promise((resolve) => setTimeout(resolve, 20))
  const tables = await server.db.sql<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public'",
  )
  const rows = await Promise.all(tables.map(({ name }) => server.db.sql(`select t::text from ${name} t`)))
  const everything = JSON.stringify([rows, lines])
  assert.ok(everything.includes(first.id))
  for (const secret of [first.value, second.value, api_key, adminAPIKey, env.SECRETS_KEY])
    assert.ok(!everything.includes(secret), secret)
})
