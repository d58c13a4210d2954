import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { readyToRun, startServer } from './support/server.ts'

// Which dialect a request is answered in (DESIGN.md §7), and that the answer says so.

const server = await startServer()
const fixed = await startServer({ env: { ASSISTANTS_DIALECT: 'openai' } })
const { thread } = await readyToRun(server)

interface Seen {
  status: number
  dialect: string | undefined
  body: string
}

/** A GET with exactly these headers; fetch would add a user agent and not let Host be set. */
function get(path: string, headers: Record<string, string> = {}, to = server): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const sent = request(to.app.url + path, { headers }, (response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => (body += chunk.toString()))
      response.on('end', () => {
        const dialect = response.headers['x-assistants-dialect'] as string | undefined
        resolve({ status: response.statusCode ?? 0, dialect, body })
      })
    })
    sent.on('error', reject)
    sent.end()
  })
}

const runs = `/v1/threads/${thread}/runs`
const seed = { 'user-agent': 'OpenAPI-Generator/0.1.0/Javascript' }

const cases: [string, string, Record<string, string>, string][] = [
  ['a Runs path without any sign', runs, {}, 'memgpt'],
  ['createThreadAndRun, asked with GET', '/v1/threads/runs', {}, 'memgpt'],
  ['the beta header', runs, { 'openai-beta': 'assistants=v2' }, 'openai'],
  ['the beta header of v1', runs, { 'openai-beta': 'assistants=v1' }, 'openai'],
  ['the beta header in a list', runs, { 'openai-beta': 'realtime=v1, assistants=v2' }, 'openai'],
  ['another beta', runs, { 'openai-beta': 'realtime=v1' }, 'memgpt'],
  ['any header of an SDK', runs, { 'x-stainless-lang': 'js' }, 'openai'],
  ['the key of Azure', runs, { 'api-key': 'x' }, 'openai'],
  ['the version of Azure', `${runs}?api-version=2024-05-01`, {}, 'openai'],
  ['the mount of Azure', `/openai/threads/${thread}/runs`, {}, 'openai'],
  ['the newer mount of Azure', `/openai/v1/threads/${thread}/runs`, {}, 'openai'],
  ['the mount of the dialect', `/memgpt/v1/threads/${thread}`, {}, 'memgpt'],
  ['the short mount of the dialect', `/memgpt/threads/${thread}`, {}, 'memgpt'],
  ['a sibling path without any sign', `/v1/threads/${thread}`, {}, 'openai'],
  ['a sibling path from the seed client', `/v1/threads/${thread}`, seed, 'memgpt'],
  ['messages from the seed client', `/v1/threads/${thread}/messages`, seed, 'memgpt'],
  ['assistants from the seed client', '/v1/assistants', seed, 'memgpt'],
  ['a sibling path of the seed host', '/v1/assistants', { host: 'memgpt.localhost' }, 'memgpt'],
  ['the seed host with a port', '/v1/assistants', { host: 'MemGPT.localhost:8283' }, 'memgpt'],
  ['a host that only begins like it', '/v1/assistants', { host: 'memgpt.localhost.example' }, 'openai'],
  ['the seed client with the beta header', runs, { ...seed, 'openai-beta': 'assistants=v2' }, 'openai'],
  ['what only v2 has, from the seed client', '/v1/files', seed, 'openai'],
  ['models, from the seed client', '/v1/models', seed, 'openai'],
  ['an override to v2', runs, { 'x-assistants-dialect': 'openai' }, 'openai'],
  [
    'an override against every other sign',
    runs,
    { 'x-assistants-dialect': 'memgpt', 'openai-beta': 'assistants=v2' },
    'memgpt',
  ],
  ['an override on a mount of Azure', '/openai/assistants', { 'x-assistants-dialect': 'memgpt' }, 'memgpt'],
]
for (const [what, path, headers, dialect] of cases) {
  test(`${what} is answered in ${dialect === 'openai' ? 'v2' : 'the memgpt dialect'}`, async () => {
    const seen = await get(path, headers)
    assert.equal(seen.dialect, dialect, seen.body)
    if (seen.status !== 200) return
    const isArray = seen.body.startsWith('[')
    if (path.includes('/runs')) assert.equal(isArray, dialect === 'memgpt')
  })
}

test('an override that names no dialect is refused', async () => {
  const seen = await get(runs, { 'x-assistants-dialect': 'latin' })
  assert.equal(seen.status, dialectFault)
  assert.match(seen.body, /Supported values are: 'openai', 'memgpt'/)
})
const dialectFault = 422

test('a setting fixes one dialect for the whole server, and only the override header goes before it', async () => {
  const path = '/v1/threads/thread_none/runs'
  const errorOf = async (headers: Record<string, string>) => (await get(path, headers, fixed)).body
  assert.match(await errorOf({}), /"error":/)
  assert.match(await errorOf({ 'x-assistants-dialect': 'memgpt' }), /"detail":/)
})

test('an unknown path is answered in the dialect of who asked', async () => {
  assert.match((await get('/v1/threads/runs/x/y/z')).body, /^\{"detail"/)
  assert.match((await get('/v1/nothing', { 'openai-beta': 'assistants=v2' })).body, /^\{"error"/)
})

test('caches are told what an answer depends on, and not to keep it', async () => {
  const { headers } = await server.fetch(`/v1/threads/${thread}`)
  assert.match(headers.get('vary') ?? '', /OpenAI-Beta.*X-Assistants-Dialect/)
  assert.equal(headers.get('cache-control'), 'no-store')
})
