import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { before, test } from 'node:test'
import { valueLimit } from '../src/http/body.ts'
import { text } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// wire.md §1: what surrounds the bodies, through raw HTTP where no SDK would send it.

const server = await startServer()
const { client, mock } = server
const json = { 'content-type': 'application/json' }

const ids = { assistant: '', thread: '' }
before(async () => {
  Object.assign(ids, await readyToRun(server, { tools: [tool('f')] }))
})

interface Told {
  error: { message: string; type: string; param: string | null; code: string | null }
}

function post(
  path: string,
  body: RequestInit['body'],
  headers: Record<string, string> = json,
): Promise<Response> {
  return server.fetch(path, { method: 'POST', headers, body })
}

/** Bytes as they are on a connection of their own; the answers until the server closes it. */
async function speak(...pieces: string[]): Promise<string> {
  const { port, hostname } = new URL(server.app.url)
  const socket = connect(Number(port), hostname)
  let heard = ''
  socket.setEncoding('utf8').on('data', (piece: string) => (heard += piece))
  await once(socket, 'connect')
  for (const piece of pieces) socket.write(piece)
  await once(socket, 'close')
  return heard
}

/** Status, headers and body of the last answer in a piece of HTTP. */
function lastAnswer(heard: string): { status: number; head: string; body: Told } {
  const [head = '', body = ''] = heard.slice(heard.lastIndexOf('HTTP/1.1 ')).split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), head: head.toLowerCase(), body: JSON.parse(body) as Told }
}

test('bytes that are no HTTP are answered 400 in the form of all errors, and the connection is closed', async () => {
  for (const bytes of [
    'no such thing\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
    'GET / HTTP/9.9\r\n\r\n',
  ]) {
    const { status, head, body } = lastAnswer(await speak(bytes))
    const message = 'The request is not valid HTTP.'
    assert.equal(status, 400)
    assert.deepEqual(body, { error: { message, type: 'invalid_request_error', param: null, code: null } })
    assert.match(head, /\r\nx-request-id: req_[0-9a-f]{32}\r\n/)
    assert.match(head, /\r\nconnection: close/)
  }
})

test('a request without a host is refused in the form of all errors, and one of HTTP/1.0 is not', async () => {
  const refused = lastAnswer(await speak('GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n'))
  assert.deepEqual([refused.status, refused.body.error.message], [400, 'The request has no Host header.'])
  assert.match(await speak('GET /healthz HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 OK/)
})

test('after a good request on the same connection, bytes that are no HTTP get their own answer', async () => {
  const heard = await speak('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n', 'nonsense\r\n\r\n')
  assert.match(heard, /^HTTP\/1\.1 (200 OK|400 Bad Request)\r\n/)
  assert.equal(lastAnswer(heard).status, 400)
})

test('headers that are too long are answered 431 in the form of all errors, and the connection is closed', async () => {
  const request = `GET /v1/models HTTP/1.1\r\nhost: localhost\r\ncookie: ${'a'.repeat(20_000)}\r\n\r\n`
  const { status, head, body } = lastAnswer(await speak(request))
  assert.equal(status, 431)
  assert.deepEqual(body.error, {
    message: 'The request has too many or too long headers, or too long a URL.',
    type: 'invalid_request_error',
    param: null,
    code: null,
  })
  assert.match(head, /\r\ncontent-type: application\/json/)
  assert.match(head, /\r\nconnection: close/)
})

test('what a request expects other than 100-continue is refused in the form of all errors, and the connection goes on', async () => {
  const headers = 'host: localhost\r\nopenai-beta: assistants=v2\r\ncontent-type: application/json\r\n'
  const refused = `POST /v1/threads HTTP/1.1\r\n${headers}expect: tea\r\ncontent-length: 2\r\n\r\n{}`
  const { status, head, body } = lastAnswer(
    await speak(refused.replace('expect', 'connection: close\r\nexpect')),
  )
  assert.deepEqual(
    [status, body.error],
    [
      417,
      {
        message: "This server does not do what the header Expect asks for: 'tea'.",
        type: 'invalid_request_error',
        param: null,
        code: null,
      },
    ],
  )
  assert.match(head, /\r\nx-request-id: req_[0-9a-f]{32}\r\n/)
  const next = 'GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
  assert.equal(lastAnswer(await speak(refused, next)).status, 200)
  const memgpt = refused.replace('expect', 'x-assistants-dialect: memgpt\r\nconnection: close\r\nexpect')
  assert.deepEqual(lastAnswer(await speak(memgpt)).body, { detail: body.error.message })
  const usual = refused.replace('expect: tea', 'connection: close\r\nexpect: 100-continue')
  assert.match(await speak(usual), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/)
})

test('a route that is not there is told before its body is read', async () => {
  for (const [body, headers] of [
    ['{"broken', json],
    ['x', { 'content-type': 'text/plain' }],
    [gzipSync('{}'), { ...json, 'content-encoding': 'gzip' }],
  ] as const) {
    const answer = await post('/v1/nowhere', body as RequestInit['body'], headers)
    const { error } = (await answer.json()) as Told
    assert.deepEqual([answer.status, error.code], [404, 'unknown_url'])
    assert.equal(error.message, 'Unknown request URL: POST /v1/nowhere.')
  }
})

test('PUT and PATCH are no way to change something', async () => {
  for (const method of ['PUT', 'PATCH']) {
    const answer = await server.fetch(`/v1/threads/${ids.thread}`, { method, headers: json, body: '{}' })
    assert.equal(answer.status, 404)
  }
})

test('JSON is taken under its content type in every spelling, and with a byte order mark', async () => {
  const body = '{"metadata":{"a":"ü"}}'
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'Application/JSON; Charset=utf8',
  ]) {
    const answer = await post('/v1/threads', body, { 'content-type': type })
    const thread = (await answer.json()) as { metadata: object }
    assert.deepEqual([answer.status, thread.metadata], [200, { a: 'ü' }], type)
  }
  assert.equal((await post('/v1/threads', `\ufeff${body}`)).status, 200)
})

test('other content types, other charsets and compressed bodies are refused with 415, naming them', async () => {
  const form = new FormData()
  form.set('metadata', '{}')
  const utf16 = Buffer.from('{}', 'utf16le')
  const cases: [RequestInit['body'], Record<string, string>, RegExp][] = [
    ['{}', { 'content-type': 'text/json' }, /^Unsupported content type 'text\/json': /],
    ['{}', { 'content-type': 'application/jsonp' }, /^Unsupported content type 'application\/jsonp': /],
    ['{}', { 'content-type': 'application/vnd.api+json' }, /^Unsupported content type /],
    [form, {}, /^Unsupported content type 'multipart\/form-data; boundary=/],
    [utf16, { 'content-type': 'application/json; charset=utf-16' }, /^Unsupported charset 'utf-16': /],
    ['{}', { 'content-type': 'application/json; charset=iso-8859-1' }, /^Unsupported charset 'iso-8859-1': /],
    [gzipSync('{}'), { ...json, 'content-encoding': 'gzip' }, /^Unsupported content encoding 'gzip': /],
  ]
  for (const [body, headers, message] of cases) {
    const answer = await post('/v1/threads', body, headers)
    const { error } = (await answer.json()) as Told
    assert.equal(answer.status, 415)
    assert.match(error.message, message)
  }
})

test('every answer carries its request id, the API version and how long it took', async () => {
  const good = await server.fetch('/v1/assistants')
  const bad = await server.fetch('/v1/assistants?limit=0')
  mock.next(text('Hi.'))
  const stream = await post(
    `/v1/threads/${ids.thread}/runs`,
    JSON.stringify({ assistant_id: ids.assistant, stream: true }),
  )
  await stream.text()
  const longest = Math.max(
    ...[good, bad, stream].map(({ headers }) => Number(headers.get('openai-processing-ms'))),
  )
  assert.ok(longest > 0, 'not always 0')
  for (const { headers } of [good, bad, stream]) {
    assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
    assert.match(headers.get('openai-processing-ms') ?? '', /^\d+$/)
    assert.equal(headers.get('openai-version'), '2020-10-01')
  }
  for (const { headers } of [good, bad]) {
    assert.match(headers.get('content-type') ?? '', /^application\/json/)
  }
  assert.equal(stream.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.match(stream.headers.get('cache-control') ?? '', /no-cache|no-store/)
  assert.equal(stream.headers.get('x-accel-buffering'), 'no')
})

test('the body alone decides whether an answer streams, never the Accept header', async () => {
  const { assistant, thread } = await readyToRun(server)
  const body = (stream: boolean) => JSON.stringify({ assistant_id: assistant, stream })
  const streamed = await post(`/v1/threads/${thread}/runs`, body(true), {
    ...json,
    accept: 'application/json',
  })
  assert.match(streamed.headers.get('content-type') ?? '', /^text\/event-stream/)
  await streamed.text()
  const plain = await post(`/v1/threads/${thread}/runs`, body(false), {
    ...json,
    accept: 'text/event-stream',
  })
  assert.match(plain.headers.get('content-type') ?? '', /^application\/json/)
  assert.equal(((await plain.json()) as { status: string }).status, 'queued')
})

test('the beta header is never required, and other tokens beside it are no reason to refuse', async () => {
  for (const beta of [
    'assistants=v2',
    'assistants=v2,responses=v1',
    'realtime=v1, assistants=v2',
    'assistants=v1',
  ]) {
    const answer = await server.fetch(`/v1/threads/${ids.thread}`, { headers: { 'openai-beta': beta } })
    assert.equal(answer.status, 200, beta)
  }
  const answer = await fetch(`${server.app.url}/v1/threads/${ids.thread}`)
  assert.equal(((await answer.json()) as { object: string }).object, 'thread')
})

test('include is read with and without brackets and repeated, and takes the one value that there is', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Done.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const steps = `/v1/threads/${thread}/runs/${run.id}/steps`
  const [step] = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread })).data
  const content = 'step_details.tool_calls[*].file_search.results[*].content'
  const encoded = encodeURIComponent(content)
  for (const query of [
    `include[]=${encoded}`,
    `include%5B%5D=${encoded}`,
    `include=${encoded}`,
    `include[]=${encoded}&include[]=${encoded}`,
    'include[]=',
  ]) {
    for (const path of [steps, `${steps}/${step?.id}`]) {
      assert.equal((await server.fetch(`${path}?${query}`)).status, 200, query)
    }
  }
  await client.beta.threads.runs.steps.list(run.id, { thread_id: thread, include: [content] })
  for (const [path, init] of [
    [steps, {}],
    [`${steps}/${step?.id}`, {}],
    [
      `/v1/threads/${thread}/runs`,
      { method: 'POST', headers: json, body: JSON.stringify({ assistant_id: assistant }) },
    ],
  ] as const) {
    const answer = await server.fetch(`${path}?include[]=${encoded}&include[]=usage`, init)
    const { error } = (await answer.json()) as Told
    const message = `Invalid value: 'usage'. Supported values are: '${content}'.`
    assert.deepEqual(
      [answer.status, error],
      [400, { message, type: 'invalid_request_error', param: 'include[1]', code: 'invalid_value' }],
    )
  }
})

test('a page of another origin may read the errors too', async () => {
  const origin = 'http://localhost:3000'
  for (const [path, headers] of [
    ['/v1/nowhere', {}],
    ['/v1/assistants?limit=0', {}],
    ['/v1/assistants', { 'x-assistants-dialect': 'klingon' }],
  ] as const) {
    const answer = await server.fetch(path, { headers: { origin, ...headers } })
    assert.ok(answer.status >= 400)
    assert.equal(answer.headers.get('access-control-allow-origin'), origin, path)
    // A cache must not give one page's answer to another.
    assert.match(answer.headers.get('vary') ?? '', /^Origin, OpenAI-Beta/, path)
    assert.match(answer.headers.get('access-control-expose-headers') ?? '', /x-request-id/)
    await answer.text()
  }
})

test('UNKNOWN_PARAMETERS=ignore overlooks unknown keys at any depth and nothing else', async () => {
  const lenient = await startServer({ env: { UNKNOWN_PARAMETERS: 'ignore' } })
  const send = async (path: string, body: object) => {
    const answer = await lenient.fetch(path, { method: 'POST', headers: json, body: JSON.stringify(body) })
    return [answer.status, await answer.json()] as [number, Told & Record<string, unknown>]
  }
  const tools = [
    { type: 'function', colour: 1, function: { name: 'f', colour: 1, parameters: { colour: 1 } } },
  ]
  const [status, assistant] = await send('/v1/assistants', {
    model: 'm',
    colour: 1,
    tools,
    metadata: { colour: 'red' },
  })
  assert.equal(status, 200)
  assert.deepEqual(assistant['tools'], [
    { type: 'function', function: { name: 'f', parameters: { colour: 1 } } },
  ])
  assert.deepEqual(assistant['metadata'], { colour: 'red' })
  const content = [
    { type: 'text', text: 'x', colour: 1 },
    { type: 'image_url', image_url: { url: 'https://x', colour: 1 } },
  ]
  const [threadStatus] = await send('/v1/threads', { messages: [{ role: 'user', content, colour: 1 }] })
  assert.equal(threadStatus, 200)
  const [, { error }] = await send('/v1/assistants', {
    model: 'm',
    colour: 1,
    tools: [{ type: 'browser', colour: 1 }],
  })
  assert.equal(error.code, 'invalid_value')
  assert.equal((await send('/v1/assistants', { modle: 'm' }))[1].error.code, 'missing_required_parameter')
})

test('a body with as many values as may be is stored, and commas inside of strings do not count', async () => {
  const inMetadata = { a: ','.repeat(500) }
  const parameters = { many: Array.from({ length: valueLimit - 20 }, () => 0) }
  const tools = [{ type: 'function' as const, function: { name: 'f', parameters } }]
  const { id } = await client.beta.assistants.create({ model: 'mock-model', tools, metadata: inMetadata })
  assert.deepEqual((await client.beta.assistants.retrieve(id)).tools, tools)
})

test('of a key that is too long to be shown an error shows the beginning', async () => {
  const answer = await post('/v1/threads', JSON.stringify({ ['k'.repeat(100_000)]: 1 }))
  const { error } = (await answer.json()) as Told
  assert.equal(answer.status, 400)
  assert.equal(error.param, `${'k'.repeat(200)}...`)
})
