import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import type OpenAI from 'openai'
import { createLog, reasonOf } from '../src/log.ts'
import { createDemoModel } from '../src/models/demo.ts'
import { ProjectModels } from '../src/models/project-models.ts'
import { parseWindows } from '../src/models/windows.ts'
import { gate, raw, startMockModel, status, text, type Answer, type MockModel } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { clientOf, keyOf, threadmillIn, type Said } from './support/keys.ts'
import type { ServerOptions, TestServer } from './support/server.ts'

// Projects with a model endpoint of their own: where it is, its key, and which models they may use.

const secretsKey = 'a secrets key of 32 characters and more'
const shopSecret = 'sk-of-the-shop-and-nobody-else'

interface Shop {
  server: TestServer
  /** A client of the project `shop`, and its key. */
  client: OpenAI
  key: string
  /** The endpoint of the shop. */
  model: MockModel
  /** `threadmill projects model shop ...` */
  set: (...words: string[]) => Promise<Said>
}

/** A server with a project that has a key, and a model endpoint beside the server's. */
async function shopOf(t: TestContext, options: ServerOptions = {}): Promise<Shop> {
  const env = { REQUIRE_KEYS: '1', SECRETS_KEY: secretsKey, ...options.env }
  const [server, model] = [await oneNode(t, { ...options, env }), await startMockModel()]
  t.after(() => model.close())
  const own = { DATABASE_URL: server.db.url, SECRETS_KEY: secretsKey, SHOP_KEY: shopSecret }
  assert.equal((await threadmillIn(own, 'projects', 'create', 'shop')).code, 0)
  const { key } = await keyOf(server, '--project', 'shop')
  const set = (...words: string[]) => threadmillIn(own, 'projects', 'model', 'shop', ...words)
  return { server, client: clientOf(server, key), key, model, set }
}

/** Resolves when `ask` answers true; changes take effect within a second. */
async function soon(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask())) await new Promise((resolve) => setTimeout(resolve, 20))
}

const names = async (client: OpenAI) => (await client.models.list()).data.map(({ id }) => id)

async function runOf(client: OpenAI, model = 'mock-model') {
  const { id: assistant_id } = await client.beta.assistants.create({ model })
  const thread = { messages: [{ role: 'user' as const, content: 'Good morning?' }] }
  return client.beta.threads.createAndRunPoll({ assistant_id, thread })
}

/** A list of models, as an endpoint answers it. */
const listOf = (...ids: string[]) =>
  status(200, { object: 'list', data: ids.map((id) => ({ id, object: 'model', created: 1, owned_by: 'x' })) })

test("a project's runs and its list of models go to its own endpoint with its own key, those of others to the server's", async (t) => {
  const { server, client, model, set } = await shopOf(t)
  model.models(listOf('shop-model'))
  const said = await set('--url', model.baseUrl, '--key-from', 'SHOP_KEY')
  assert.equal(said.code, 0, said.err)
  await soon(async () => (await names(client)).includes('shop-model'))
  assert.deepEqual(await names(client), ['shop-model', 'demo'])
  assert.equal((await runOf(client, 'shop-model')).status, 'completed')
  assert.equal(model.requests.at(-1)?.headers.authorization, `Bearer ${shopSecret}`)
  assert.equal(server.mock.requests.length, 0)
  const other = clientOf(server, (await keyOf(server)).key)
  assert.ok((await names(other)).includes('mock-model'))
  assert.equal((await runOf(other)).status, 'completed')
  assert.equal(server.mock.requests.at(-1)?.headers.authorization, 'Bearer sk-test-of-the-backend')
  assert.equal(model.requests.length, 1)
})

test("a project back at the server's endpoint uses it, on every node", async (t) => {
  const { server, client, key, model, set } = await shopOf(t)
  const env = { REQUIRE_KEYS: '1', SECRETS_KEY: secretsKey }
  const node = await anotherNode(t, server, {}, env)
  const there = clientOf({ ...server, app: node.app }, key)
  model.models(listOf('shop-model'))
  await set('--url', model.baseUrl)
  for (const one of [client, there]) await soon(async () => (await names(one)).includes('shop-model'))
  await set('--clear')
  for (const one of [client, there]) await soon(async () => (await names(one)).includes('mock-model'))
  assert.equal((await runOf(there)).status, 'completed')
  assert.equal(model.requests.length, 0)
})

test('a project may use the models that it was given, and others are not there for it', async (t) => {
  const { server, client, set } = await shopOf(t)
  server.mock.models(listOf('mock-model', 'dear-model'))
  await set('--models', 'mock-model')
  await soon(async () => !(await names(client)).includes('dear-model'))
  assert.deepEqual(await names(client), ['mock-model'])
  await assert.rejects(client.models.retrieve('dear-model'), { status: 404 })
  const refused = {
    status: 400,
    code: 'model_not_found',
    param: 'model',
    message: "400 The requested model 'dear-model' does not exist.",
  }
  await assert.rejects(runOf(client, 'dear-model'), refused)
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  const { id: thread } = await client.beta.threads.create()
  const asked = { assistant_id, model: 'dear-model' }
  await assert.rejects(client.beta.threads.runs.create(thread, asked), refused)
  await assert.rejects(client.beta.threads.runs.stream(thread, asked).finalRun(), refused)
  assert.equal(server.mock.requests.length, 0)
  assert.equal((await runOf(client)).status, 'completed')
  await set('--models', '*')
  await soon(async () => (await names(client)).includes('dear-model'))
  assert.equal((await runOf(client, 'dear-model')).status, 'completed')
})

test("the key of a project's endpoint is sealed, is told nowhere, and does not go to a new URL", async (t) => {
  const lines: string[] = []
  const log = createLog('debug', (line) => lines.push(line) > 0)
  const { server, client, model, set } = await shopOf(t, { log })
  const said = [await set('--url', model.baseUrl, '--key-from', 'SHOP_KEY'), await set()]
  assert.match(said[1]?.out ?? '', /key +its own/)
  // An endpoint that repeats what it was sent.
  model.when(() => true, status(500, { error: { message: `No: ${shopSecret}` } }))
  await soon(async () => (await runOf(client)).status === 'failed')
  const failed = await runOf(client)
  model.when(() => true, status(401, { error: { message: `Wrong key ${shopSecret}` } }))
  const refused = await runOf(client)
  assert.deepEqual([failed.status, refused.status], ['failed', 'failed'])
  const tables = await server.db.sql<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public'",
  )
  const rows = await Promise.all(tables.map(({ name }) => server.db.sql(`select t::text from ${name} t`)))
  const metrics = await (await fetch(`${server.app.url}/metrics`)).text()
  const everything = JSON.stringify([said, failed, refused, rows, lines, metrics])
  assert.ok(everything.includes('v1.') && everything.includes(model.baseUrl))
  assert.ok(!everything.includes(shopSecret) && !everything.includes(secretsKey))

  const other = await startMockModel()
  t.after(() => other.close())
  const moved = await set('--url', other.baseUrl)
  assert.match(moved.out, /key +none/)
  other.when(() => true, text('Here.'))
  await soon(async () => (await runOf(client)).status === 'completed')
  assert.ok(other.requests.length > 0)
  assert.ok(other.requests.every(({ headers }) => headers.authorization === undefined))
})

test('a key that was sealed for one project and one URL opens for no other, and nothing is sent without it', async (t) => {
  const { server, client, model, set } = await shopOf(t)
  await set('--url', model.baseUrl, '--key-from', 'SHOP_KEY')
  await soon(async () => (await runOf(client)).status === 'completed' && model.requests.length > 0)
  // Whoever can write to the database would have the key sent to them.
  const thief = await startMockModel()
  t.after(() => thief.close())
  await server.db.sql("update projects set model_url = $1 where id = 'shop'", [thief.baseUrl])
  await server.db.sql('update access_version set version = version + 1')
  await soon(async () => (await runOf(client)).status === 'failed')
  const run = await runOf(client)
  assert.match(run.last_error?.message ?? '', /cannot be read.*SECRETS_KEY/)
  assert.equal(thief.requests.length, 0)
  const before = server.mock.requests.length
  const node = await anotherNode(t, server, {}, { REQUIRE_KEYS: '1' })
  await assert.rejects(clientOf({ ...server, app: node.app }, await keyIn(server)).models.list(), {
    status: 502,
  })
  assert.equal(server.mock.requests.length, before)
})

const keyIn = async (server: TestServer) => (await keyOf(server, '--project', 'shop')).key

test('the command for an endpoint says what is wrong', async (t) => {
  const { server, model, set } = await shopOf(t)
  const faults: [string[], number, RegExp][] = [
    [['--url', 'ftp://a.example'], 64, /--url must be an http or https URL/],
    [['--url', 'http://me:secret@a.example/v1'], 64, /--url must not have a user/],
    [['--url', 'http://a.example/v1?key=secret'], 64, /--url must not have a user/],
    [['--key-from', 'NOT_SET'], 64, /"NOT_SET" is not set/],
    [['--models', 'a,,b'], 64, /--models must be at most 1000 names/],
    [['--models', '*,m1'], 64, /--models must be at most 1000 names.* and \* is none/],
    [['--models', 'm1\u001b[2J'], 64, /--models must be .* without control characters/],
  ]
  for (const [words, code, message] of faults) {
    const said = await set(...words)
    assert.equal(said.code, code, words.join(' '))
    assert.match(said.err, message)
    assert.ok(!said.err.includes('secret'))
  }
  const bare = { DATABASE_URL: server.db.url, SHOP_KEY: shopSecret }
  const broken = { ...bare, SHOP_KEY: `${shopSecret}\nand more` }
  const unsendable = await threadmillIn(broken, 'projects', 'model', 'shop', '--key-from', 'SHOP_KEY')
  assert.equal(unsendable.code, 64)
  assert.match(unsendable.err, /"SHOP_KEY" has characters that no header can carry/)
  assert.ok(!unsendable.err.includes(shopSecret))
  const unsealed = await threadmillIn(bare, 'projects', 'model', 'shop', '--key-from', 'SHOP_KEY')
  assert.equal(unsealed.code, 78)
  assert.match(unsealed.err, /SECRETS_KEY is not set/)
  const unknown = await threadmillIn(bare, 'projects', 'model', 'none', '--url', model.baseUrl)
  assert.equal(unknown.code, 66)
  const short = await threadmillIn({ ...bare, SECRETS_KEY: 'short' }, 'projects', 'list')
  assert.match(short.err, /SECRETS_KEY must have 32 characters or more/)
  assert.ok(!short.err.includes('"short"'))
})

test("what is wrong with a project's own endpoint names that, not the settings of the server, and nothing of its URL or key", async (t) => {
  const { server, client, model, set } = await shopOf(t)
  model.models(listOf('shop-model'))
  await set('--url', model.baseUrl, '--key-from', 'SHOP_KEY')
  await soon(async () => (await names(client)).includes('shop-model'))
  const failure = async () => {
    const run = await runOf(client, 'shop-model')
    assert.equal(run.last_error?.code, 'server_error')
    return run.last_error?.message ?? ''
  }
  const said: string[] = []
  model.next(status(401, { error: { message: `no such key: ${shopSecret}` } }))
  said.push(await failure())
  assert.match(said[0] ?? '', /HTTP 401.*check the key of the project's own model endpoint\.$/)
  model.next(raw(''))
  said.push(await failure())
  assert.match(said[1] ?? '', /check that the URL of the project's own model endpoint is the base of/)
  model.models(status(403))
  said.push(await client.models.list().then(String, (error: unknown) => reasonOf(error)))
  assert.match(said[2] ?? '', /check the key of the project's own model endpoint/)
  await model.close()
  said.push(await failure())
  assert.match(
    said[3] ?? '',
    /refused the connection.*that the URL of the project's own model endpoint is right/,
  )
  const { host } = new URL(model.baseUrl)
  for (const secret of ['OPENAI_', host, shopSecret]) assert.ok(!said.join().includes(secret), secret)
  // Of the server's own endpoint the names of its settings are told.
  server.mock.next(status(401))
  const { last_error } = await runOf(clientOf(server, (await keyOf(server)).key))
  assert.match(last_error?.message ?? '', /check OPENAI_API_KEY/)
})

test("connections to a project's endpoint end with the last call on it when it is replaced or taken away", async (t) => {
  const [model, other] = [await startMockModel(), await startMockModel()]
  t.after(() => Promise.all([model.close(), other.close()]))
  const demo = createDemoModel()
  const models = new ProjectModels({ server: demo, demo, aliases: new Map(), windows: parseWindows('') })
  t.after(() => models.close())
  const shopAt = (url: string) => models.replace([{ id: 'shop', model_url: url, key: null, models: null }])
  const call = () => {
    const request = { model: 'shop-model', messages: [{ role: 'user' as const, content: 'Hello' }] }
    return models.of('shop').complete(request, () => {}, new AbortController().signal)
  }
  const sockets: Socket[] = []
  const noted =
    (answer: Answer): Answer =>
    (exchange) => {
      sockets.push(exchange.response.socket as Socket)
      // By itself the client would keep it for so long.
      exchange.response.setHeader('keep-alive', 'timeout=600')
      return answer(exchange)
    }
  const ends = async () => {
    for (const socket of sockets.splice(0))
      if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(3_000) })
  }

  shopAt(model.baseUrl)
  model.next(noted(text('Done.')))
  await call()
  shopAt(model.baseUrl)
  assert.equal(sockets[0]?.closed, false)
  models.replace([])
  await ends()

  // One that asks again when its endpoint is not the project's any more.
  shopAt(model.baseUrl)
  const refused = gate()
  const refusal = status(400, { error: { message: 'unknown: stream_options' } })
  model.next(
    noted(async (exchange) => {
      await refused.opened
      await refusal(exchange)
    }),
    noted(text('Done.')),
  )
  const going = call()
  await model.received(1)
  shopAt(other.baseUrl)
  refused.open()
  assert.equal((await going).finish, 'stop')
  assert.equal(model.requests.length, 3)
  await ends()
  await call()
  assert.equal(other.requests.length, 1)
})
