import assert from 'node:assert/strict'
import { connect } from 'node:net'
import OpenAI from 'openai'
import { check, shows, type Check } from './check.ts'
import { runPath, runsPath, tool, v2, type ErrorFields, type Run } from './target.ts'

// wire.md §1 and §2: what surrounds the bodies.

const json = { 'content-type': 'application/json' }
const wanted =
  'authorization, content-type, openai-beta, x-stainless-lang, api-key, x-assistants-dialect, idempotency-key, last-event-id'

/** What a server answers to these bytes, until it has sent `enough`. */
function spoken(url: string, bytes: string, enough: RegExp): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let heard = ''
    socket.setTimeout(5_000, () =>
      socket.destroy(new Error(`the server answered only: ${heard.slice(0, 200)}`)),
    )
    socket.setEncoding('utf8').on('data', (piece: string) => {
      heard += piece
      if (!enough.test(heard)) return
      resolve(heard)
      socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(heard))
    socket.write(bytes)
  })
}

export const transportChecks: Check[] = [
  check('transport.base', '§1 Base', async (t) => {
    const thread = await t.client.beta.threads.create()
    for (const path of ['/v1/threads/', '/openai/threads/', '/openai/v1/threads/']) {
      const query = path === '/openai/threads/' ? '?api-version=2024-05-01-preview' : ''
      const { status, json: same } = await t.get(`${path}${thread.id}${query}`)
      assert.deepEqual([status, same], [200, thread], path)
    }
  }),
  check('transport.any-key-or-none', '§1 Auth', async (t) => {
    const { id } = await t.thread()
    const without = await fetch(`${t.url}/v1/threads/${id}`, { headers: v2 })
    const text = await without.text()
    // A server with keys was given one of them.
    if (t.options.apiKey !== 'unused') assert.equal(without.status, 401)
    else assert.ok(without.status === 200 && text.includes(id), text)
    assert.equal((await t.client.beta.threads.retrieve(id)).id, id)
  }),
  check('transport.beta-header-is-not-required', '§1 OpenAI-Beta: assistants=v2', async (t) => {
    const [assistant, thread, file] = await Promise.all([t.assistant(), t.thread(), t.file()])
    const paths = [`/v1/assistants/${assistant.id}`, `/v1/threads/${thread.id}`, `/v1/files/${file.id}`]
    for (const path of paths) {
      const { status, json: seen } = await t.raw<{ id: string }>('GET', path, undefined, {})
      assert.deepEqual([status, seen.id], [200, path.split('/').at(-1)])
    }
    assert.equal((await t.raw('GET', '/v1/models', undefined, {})).status, 200)
  }),
  check('transport.beta-header-in-a-list', '§1 OpenAI-Beta: assistants=v2', async (t) => {
    const { id } = await t.thread()
    const headers = { 'openai-beta': 'realtime=v1, assistants=v2, other=x' }
    const { status, json: page } = await t.raw<{ object: string }>('GET', runsPath(id), undefined, headers)
    assert.deepEqual([status, page.object], [200, 'list'])
  }),
  check('transport.empty-body-without-content-type', '§1 Empty POST bodies', async (t) => {
    const run = await t.hanging()
    const path = `${runPath(run)}/cancel`
    const bytes = `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${t.options.apiKey}\r\nopenai-beta: assistants=v2\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`
    assert.match(await spoken(t.url, bytes, /"cancelling"/), /^HTTP\/1\.1 200/)
    await t.stopped(run)
  }),
  check('transport.empty-body-with-content-type', '§1 Empty POST bodies', async (t) => {
    const run = await t.hanging()
    const { status, text } = await t.raw('POST', `${runPath(run)}/cancel`, '', { ...v2, ...json })
    assert.equal(status, 200, text)
    await t.stopped(run)
  }),
  check('transport.threads-from-nothing', '§1 POST /threads', async (t) => {
    for (const [body, headers] of [
      ['{}', json],
      [undefined, {}],
      ['', json],
    ] as const) {
      const { status, json: thread } = await t.raw<{ object: string }>('POST', '/v1/threads', body, {
        ...v2,
        ...headers,
      })
      assert.deepEqual([status, thread.object], [200, 'thread'], `body ${body}`)
    }
  }),
  check(
    'transport.unknown-keys-are-refused-everywhere',
    ['§1 Unknown body keys', '§9 unknown field'],
    async (t) => {
      const [run, { id: assistant }] = await Promise.all([t.asking('f'), t.assistant()])
      const { id: thread } = await t.thread('Hi.')
      const [message] = await t.messages(thread)
      const bodies: [string, object][] = [
        ['/v1/assistants', { model: 'm' }],
        [`/v1/assistants/${assistant}`, {}],
        ['/v1/threads', {}],
        [`/v1/threads/${thread}`, {}],
        ['/v1/threads/runs', { assistant_id: assistant }],
        [`/v1/threads/${thread}/messages`, { role: 'user', content: 'x' }],
        [`/v1/threads/${thread}/messages/${message?.id}`, {}],
        [runsPath(thread), { assistant_id: assistant }],
        [runPath(run), {}],
        [`${runPath(run)}/submit_tool_outputs`, { tool_outputs: [] }],
      ]
      const expected = { code: 'unknown_parameter', param: 'foo', text: "Unknown parameter: 'foo'." }
      for (const [path, body] of bodies) await t.refused('POST', path, { ...body, foo: 1 }, expected)
      await t.cancelled(run)
    },
  ),
  check('transport.response-headers', ['§1 Response headers', '§2 request'], async (t) => {
    const { headers } = await t.get('/v1/assistants?limit=1')
    assert.match(headers.get('content-type') ?? '', /^application\/json/)
    assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
    assert.equal(headers.get('openai-version'), '2020-10-01')
    assert.match(headers.get('openai-processing-ms') ?? '', /^\d+$/)
    const refused = await t.get('/v1/assistants/asst_none')
    assert.match(refused.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
    assert.notEqual(refused.headers.get('x-request-id'), headers.get('x-request-id'))
  }),
  check('transport.poll-after', '§1 openai-poll-after-ms', async (t) => {
    const { assistant, thread } = await t.ready('#hang')
    const created = await t.post<Run>(runsPath(thread), { assistant_id: assistant })
    const run = await t.until(created.json, ({ status }) => status === 'in_progress')
    for (const { headers } of [created, await t.get(runPath(run))]) {
      const wait = headers.get('openai-poll-after-ms') ?? ''
      assert.match(wait, /^\d+$/)
      assert.ok(Number(wait) >= 100 && Number(wait) <= 500, wait)
    }
    await t.cancelled(run)
  }),
  check(
    'transport.conflicts-are-not-retried',
    ['§1 Retry control', '§9 conflicts are never 409'],
    async (t) => {
      const run = await t.asking('f')
      let count = 0
      const counting: typeof fetch = (input, init) => {
        count++
        return fetch(input, init)
      }
      const client = new OpenAI({ ...t.settings, baseURL: `${t.url}/v1`, maxRetries: 2, fetch: counting })
      const { runs, messages } = client.beta.threads
      const { thread_id, assistant_id } = run
      for (const conflict of [
        () => runs.create(thread_id, { assistant_id }),
        () => messages.create(thread_id, { role: 'user', content: 'x' }),
        () => runs.submitToolOutputs(run.id, { thread_id, tool_outputs: [] }),
      ]) {
        count = 0
        await assert.rejects(conflict(), { status: 400 })
        assert.equal(count, 1)
      }
      await t.cancelled(run)
      await assert.rejects(runs.cancel(run.id, { thread_id }), { status: 400 })
    },
  ),
  check('transport.cors-of-this-machine', '§1 CORS', async (t) => {
    const origin = 'http://localhost:5173'
    const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': wanted }
    const allowed = await fetch(`${t.url}/v1/threads`, { method: 'OPTIONS', headers: { origin, ...asked } })
    assert.ok(allowed.status === 204 || allowed.status === 200)
    assert.equal(allowed.headers.get('access-control-allow-origin'), origin)
    const headers = (allowed.headers.get('access-control-allow-headers') ?? '').toLowerCase()
    for (const name of wanted.split(', ')) assert.ok(headers.includes(name), `${name} in ${headers}`)
    const { headers: answer } = await t.raw('POST', '/v1/threads', {}, { ...v2, origin })
    assert.equal(answer.get('access-control-allow-origin'), origin)
    const exposed = (answer.get('access-control-expose-headers') ?? '').toLowerCase()
    for (const name of ['x-request-id', 'openai-poll-after-ms', 'retry-after-ms'])
      assert.ok(exposed.includes(name), name)
  }),
  check('transport.cors-of-strangers', '§1 CORS', async (t) => {
    const { id } = await t.thread()
    const allowed = async (origin: string) => {
      const { headers, status } = await t.raw('GET', `/v1/threads/${id}`, undefined, { ...v2, origin })
      // A page that may not read the answer may as well be refused.
      const read = headers.get('access-control-allow-origin')
      assert.equal(status, read === null && status === 403 ? 403 : 200)
      return read
    }
    assert.equal(await allowed('http://127.0.0.1:3000'), 'http://127.0.0.1:3000')
    assert.equal(await allowed('https://stranger.example'), null)
    assert.equal(await allowed('http://localhost.stranger.example'), null)
  }),
  check('transport.put-and-patch-change-nothing', '§1 HTTP verbs', async (t) => {
    const { id } = await t.thread()
    for (const method of ['PUT', 'PATCH']) {
      const { status } = await t.raw(method, `/v1/threads/${id}`, { metadata: { a: 'b' } })
      assert.ok(status === 404 || status === 405, `${method} ${status}`)
    }
    assert.deepEqual((await t.client.beta.threads.retrieve(id)).metadata, {})
  }),
  check('transport.body-limit', '§1 body limit', async (t) => {
    // The length alone tells.
    const bytes = `POST /v1/threads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${t.options.apiKey}\r\ncontent-type: application/json\r\ncontent-length: 4000000000\r\n\r\n`
    const heard = await spoken(t.url, bytes, /\r\n\r\n.*\}\s*$/s)
    assert.match(heard, /^HTTP\/1\.1 413/)
    const { error } = JSON.parse(heard.split('\r\n\r\n')[1] ?? '') as { error: ErrorFields }
    assert.equal(error.type, 'invalid_request_error')
    assert.match(error.message, /\d/, 'the limit is named')
  }),
  check('ids.prefixes', '§2 thread / message / run / step / assistant', async (t) => {
    const run = await t.ran('Hi.')
    const [[message], [step]] = await Promise.all([t.messages(run.thread_id), t.steps(run)])
    const ids = {
      thread: run.thread_id,
      run: run.id,
      asst: run.assistant_id,
      msg: message?.id,
      step: step?.id,
    }
    for (const [prefix, id] of Object.entries(ids))
      assert.match(id ?? '', new RegExp(`^${prefix}_[A-Za-z0-9]{24}$`))
  }),
  check('ids.tool-calls', '§2 tool call', async (t) => {
    const run = await t.ran('#calls f f', {}, { tools: [tool('f')] })
    const ids = run.required_action?.submit_tool_outputs.tool_calls.map(({ id }) => id) ?? []
    assert.equal(new Set(ids).size, 2)
    for (const id of ids) assert.match(id, /^call_/)
    await t.cancelled(run)
  }),
  check('ids.files', '§2 file', async (t) => {
    assert.match((await t.file()).id, /^file-[A-Za-z0-9]{22,24}$/)
  }),
  check('ids.times-are-seconds', '§2 time', async (t) => {
    const run = await t.ran('Hi.')
    for (const at of [run.created_at, run.started_at, run.completed_at]) {
      assert.ok(Number.isInteger(at) && Math.abs((at ?? 0) - Date.now() / 1000) < 300, String(at))
    }
  }),
  check('transport.a-second-cancel', '§1 Retry control', async (t) => {
    const run: Run = await t.hanging()
    const path = `${runPath(run)}/cancel`
    shows(await t.post(path), { status: 200 })
    const again = await t.post<{ error: ErrorFields }>(path)
    assert.equal(again.status, 400)
    assert.match(again.json.error.message, /^Cannot cancel run with status '(cancelling|cancelled)'\.$/)
    await t.stopped(run)
  }),
]
