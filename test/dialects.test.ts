import assert from 'node:assert/strict'
import { request, type IncomingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import { readyToRun, startServer } from './support/server.ts'
import { assertMemgptAnswer } from './support/memgpt-shapes.ts'

// Which dialect a request is answered in (DESIGN.md §7), and that the answer says so.

const server = await startServer({ env: { ALLOWED_HOSTS: 'memgpt.localhost.example' } })
const inV2 = await startServer({ env: { ASSISTANTS_DIALECT: 'openai' } })
const inMemgpt = await startServer({ env: { ASSISTANTS_DIALECT: 'memgpt' } })
const { assistant, thread } = await readyToRun(server)

interface Seen {
  status: number
  dialect: string | undefined
  headers: IncomingHttpHeaders
  body: string
}

/** A request with exactly these headers; fetch would add a user agent and not let Host be set. */
function send(
  method: string,
  path: string,
  headers: Record<string, string> = {},
  { to = server, body = '' } = {},
): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const url = to.app.url + path
    const type = body === '' ? {} : { 'content-type': 'application/json' }
    const sent = request(url, { method, headers: { ...headers, ...type } }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => {
        const dialect = response.headers['x-assistants-dialect'] as string | undefined
        const seen = { status: response.statusCode ?? 0, dialect, headers: response.headers, body: text }
        if (dialect === 'memgpt') assertMemgptAnswer(method, url, seen.status, JSON.parse(text))
        resolve(seen)
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const runs = `/v1/threads/${thread}/runs`
const seed = { 'user-agent': 'OpenAPI-Generator/0.1.0/Javascript' }
const override = (dialect: string) => ({ 'x-assistants-dialect': dialect })

const cases: [string, string, Record<string, string>, string][] = [
  ['a Runs path without any sign', runs, {}, 'memgpt'],
  ['a Runs path that ends in a slash', `${runs}/`, {}, 'memgpt'],
  ['a Runs path with a query', `${runs}?limit=1`, {}, 'memgpt'],
  ['a Runs path from curl', runs, { 'user-agent': 'curl/8.5.0', accept: '*/*' }, 'memgpt'],
  ['a Runs path with a key', runs, { authorization: 'Bearer sk-1' }, 'memgpt'],
  ['the beta header', runs, { 'openai-beta': 'assistants=v2' }, 'openai'],
  ['the beta header of v1', runs, { 'openai-beta': 'assistants=v1' }, 'openai'],
  ['the beta header in a list', runs, { 'openai-beta': 'realtime=v1, assistants=v2' }, 'openai'],
  ['another beta', runs, { 'openai-beta': 'realtime=v1' }, 'memgpt'],
  ['a header of an SDK', runs, { 'x-stainless-lang': 'js' }, 'openai'],
  ['another header of an SDK', runs, { 'X-Stainless-Poll-Helper': 'true' }, 'openai'],
  ['the key of Azure', runs, { 'api-key': 'x' }, 'openai'],
  ['an empty key of Azure', runs, { 'api-key': '' }, 'openai'],
  ['the version of Azure', `${runs}?api-version=2024-05-01`, {}, 'openai'],
  ['the version of Azure behind other parameters', `${runs}?limit=1&api-version=2024-05-01`, {}, 'openai'],
  ['another version', `${runs}?x-api-version=2024-05-01`, {}, 'memgpt'],
  ['the mount of Azure', `/openai/threads/${thread}/runs`, {}, 'openai'],
  ['the newer mount of Azure', `/openai/v1/threads/${thread}/runs`, {}, 'openai'],
  ['the seed client at the mount of Azure', '/openai/assistants', seed, 'openai'],
  ['the mount of the dialect', `/memgpt/v1/threads/${thread}`, {}, 'memgpt'],
  ['the short mount of the dialect', `/memgpt/threads/${thread}/runs`, {}, 'memgpt'],
  ['an SDK at the mount of the dialect', '/memgpt/v1/assistants', { 'x-stainless-lang': 'js' }, 'memgpt'],
  ['a sibling path without any sign', `/v1/threads/${thread}`, {}, 'openai'],
  ['assistants without any sign', '/v1/assistants', {}, 'openai'],
  ['messages without any sign', `/v1/threads/${thread}/messages`, {}, 'openai'],
  ['a thread from the seed client', `/v1/threads/${thread}`, seed, 'memgpt'],
  ['messages from the seed client', `/v1/threads/${thread}/messages`, seed, 'memgpt'],
  ['assistants from the seed client', '/v1/assistants', seed, 'memgpt'],
  ['an assistant from the seed client', `/v1/assistants/${assistant}`, seed, 'memgpt'],
  ['files of an assistant from the seed client', `/v1/assistants/${assistant}/files`, seed, 'memgpt'],
  ['another generated client', '/v1/assistants', { 'user-agent': 'x OpenAPI-Generator/1' }, 'openai'],
  ['a sibling path of the seed host', '/v1/assistants', { host: 'memgpt.localhost' }, 'memgpt'],
  ['the seed host with a port', '/v1/assistants', { host: 'MemGPT.localhost:8283' }, 'memgpt'],
  ['a host that only begins like it', '/v1/assistants', { host: 'memgpt.localhost.example' }, 'openai'],
  ['the seed client with the beta header', runs, { ...seed, 'openai-beta': 'assistants=v2' }, 'openai'],
  ['the seed client with a key of Azure', '/v1/assistants', { ...seed, 'api-key': 'x' }, 'openai'],
  ['files, which the dialect has not, from the seed client', '/v1/files', seed, 'openai'],
  ['models, which the dialect has not, from the seed client', '/v1/models', seed, 'openai'],
  ['files, which the dialect has not, at its mount', '/memgpt/v1/files', {}, 'openai'],
  ['models, which the dialect has not, by override', '/v1/models', override('memgpt'), 'openai'],
  ['an override to v2', runs, override('openai'), 'openai'],
  ['an override to v2 at the mount of the dialect', '/memgpt/v1/assistants', override('openai'), 'openai'],
  ['an override to v2 of the seed client', '/v1/assistants', { ...seed, ...override('openai') }, 'openai'],
  [
    'an override to the dialect against all signs of v2',
    `${runs}?api-version=2024-05-01`,
    { ...override('memgpt'), 'openai-beta': 'assistants=v2', 'x-stainless-lang': 'js', 'api-key': 'x' },
    'memgpt',
  ],
  ['an override to the dialect at the mount of Azure', '/openai/assistants', override('memgpt'), 'memgpt'],
]
for (const [what, path, headers, dialect] of cases) {
  test(`${what}: is answered in ${dialect === 'openai' ? 'v2' : 'the memgpt dialect'}`, async () => {
    const seen = await send('GET', path, headers)
    assert.deepEqual([seen.dialect, seen.status], [dialect, 200], seen.body)
    const { object } = JSON.parse(seen.body) as { object?: string }
    const isList = /(runs|assistants|files|models|messages)\/?(\?|$)/.test(path)
    if (isList) assert.equal(object === 'list', dialect === 'openai')
  })
}

const run = `${runs}/run_example`
const nine: [string, string][] = [
  ['POST', `${run}/cancel`],
  ['POST', runs],
  ['POST', '/v1/threads/runs'],
  ['GET', `${run}/steps`],
  ['GET', runs],
  ['POST', run],
  ['GET', `${run}/steps/step_example`],
  ['GET', run],
  ['POST', `${run}/submit_tool_outputs`],
]
for (const [method, path] of nine) {
  test(`${method} ${path.replace(thread, '{thread_id}')} is the seed's unless a sign says otherwise, also in its errors`, async () => {
    const options = { body: method === 'POST' ? '{}' : '' }
    const seen = await send(method, path, {}, options)
    assert.equal(seen.dialect, 'memgpt')
    assert.match(seen.body, /^(\{"detail":|\[)/)
    const marked = await send(method, path, { 'openai-beta': 'assistants=v2' }, options)
    assert.equal(marked.dialect, 'openai')
    assert.match(marked.body, /^\{"(error|object)":/)
  })
}

test('an override that names no dialect is 400, in the form that the request would have without it', async () => {
  const text = "Invalid value: 'latin'. Supported values are: 'openai', 'memgpt'."
  const unmarked = await send('GET', runs, override('latin'))
  assert.deepEqual([unmarked.status, unmarked.dialect], [400, 'memgpt'])
  assert.deepEqual(JSON.parse(unmarked.body), { detail: text })
  const marked = await send('GET', runs, { ...override('latin'), 'api-key': 'x' })
  assert.deepEqual([marked.status, marked.dialect], [400, 'openai'])
  assert.deepEqual(JSON.parse(marked.body), {
    error: {
      message: text,
      type: 'invalid_request_error',
      param: 'x-assistants-dialect',
      code: 'invalid_value',
    },
  })
  for (const word of ['', 'MemGPT', 'openai, memgpt']) {
    assert.equal((await send('GET', runs, override(word))).status, 400, word)
  }
})

const none = '/v1/threads/thread_none/runs'

test('a server that is set to v2 answers all in v2, and only the override header goes before that', async () => {
  const ask = async (path: string, headers: Record<string, string>) =>
    (await send('GET', path, headers, { to: inV2 })).dialect
  assert.equal(await ask(none, {}), 'openai')
  assert.equal(await ask('/v1/assistants', seed), 'openai')
  assert.equal(await ask('/memgpt/v1/assistants', {}), 'openai')
  assert.equal(await ask(none, override('memgpt')), 'memgpt')
})

test('a server that is set to the memgpt dialect answers in it whatever has a form there', async () => {
  const ask = async (path: string, headers: Record<string, string>) =>
    (await send('GET', path, headers, { to: inMemgpt })).dialect
  assert.equal(await ask(none, { 'openai-beta': 'assistants=v2' }), 'memgpt')
  assert.equal(await ask('/v1/assistants', { 'x-stainless-lang': 'js' }), 'memgpt')
  assert.equal(await ask('/openai/assistants?api-version=2024-05-01', { 'api-key': 'x' }), 'memgpt')
  assert.equal(await ask('/v1/files', {}), 'openai')
  assert.equal(await ask(none, override('openai')), 'openai')
})

test('an operation without a form in the dialect is answered in v2, its errors too, and says so', async () => {
  const path = `/v1/threads/${thread}/messages/msg_none`
  const seen = await send('DELETE', path, seed)
  assert.deepEqual([seen.status, seen.dialect], [404, 'openai'])
  assert.match(seen.body, /^\{"error"/)
})

test('a path that nothing answers to is 404 in the dialect of who asked', async () => {
  const unmarked = await send('GET', '/v1/threads/runs/x/y/z')
  assert.deepEqual([unmarked.status, unmarked.dialect], [404, 'memgpt'])
  assert.match(unmarked.body, /^\{"detail":"Unknown request URL/)
  const broken = await send('GET', '/v1/threads/%E0%A4%A/runs')
  assert.deepEqual([broken.status, broken.dialect], [404, 'memgpt'])
  const other = await send('GET', '/v1/nothing')
  assert.deepEqual([other.status, other.dialect], [404, 'openai'])
  assert.match(other.body, /^\{"error"/)
})

test('a stream says that it is v2', async () => {
  const body = JSON.stringify({ assistant_id: assistant, stream: true })
  const seen = await send('POST', runs, { 'openai-beta': 'assistants=v2' }, { body })
  assert.deepEqual([seen.status, seen.dialect], [200, 'openai'])
  assert.match(seen.headers['content-type'] ?? '', /^text\/event-stream/)
  assert.match(seen.body, /event: thread\.run\.completed/)
})

test('a stream that is asked for in the memgpt dialect is refused, and nothing runs', async () => {
  const { id } = await server.client.beta.threads.create()
  const body = JSON.stringify({ assistant_id: assistant, instructions: '', stream: true })
  const seen = await send('POST', `/v1/threads/${id}/runs`, {}, { body })
  assert.deepEqual([seen.status, seen.dialect], [422, 'memgpt'])
  assert.deepEqual((await server.client.beta.threads.runs.list(id)).data, [])
})

test('caches are told what an answer depends on, and not to keep it', async () => {
  const { headers } = await send('GET', `/v1/threads/${thread}`)
  assert.match(String(headers['vary']), /OpenAI-Beta.*X-Assistants-Dialect/)
  assert.equal(headers['cache-control'], 'no-store')
})
