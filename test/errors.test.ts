import assert from 'node:assert/strict'
import { request } from 'node:http'
import { before, test } from 'node:test'
import { bodyLimit, depthLimit } from '../src/http/body.ts'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

const server = await startServer()
const { client, mock } = server
const { threads } = client.beta

interface Told {
  status: number
  message: string
  type?: string
  code?: string | null
  param?: string | null
}

const ids = { thread: '', assistant: '', message: '', run: '', step: '' }
/** A thread whose run waits for outputs of call_a and call_b. */
const waiting = { thread: '', run: '' }
const none = '000000000000000000000000'

before(async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.next(text('Done.'))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const [message] = (await threads.messages.list(thread)).data
  const [step] = (await threads.runs.steps.list(run.id, { thread_id: thread })).data
  Object.assign(ids, { thread, assistant, message: message?.id, run: run.id, step: step?.id })

  const other = await readyToRun(server, { tools: [tool('f')] })
  const calls = ['call_a', 'call_b'].map((id) => ({ id, name: 'f', arguments: '{}' }))
  mock.next(toolCalls(calls))
  const asking = await threads.runs.createAndPoll(other.thread, { assistant_id: other.assistant })
  assert.equal(asking.status, 'requires_action')
  Object.assign(waiting, { thread: other.thread, run: asking.id })
})

/** Rows of every table that a request may write, and the threads' locks and counters. */
async function rows(): Promise<unknown> {
  return server.db
    .sql(`select (select count(*) from assistants) as assistants, (select count(*) from threads) as threads,
    (select count(*) from messages) as messages, (select count(*) from runs) as runs,
    (select count(*) from run_steps) as steps, (select sum(next_seq) from threads) as numbers,
    (select count(active_run_id) from threads) as held, (select sum(version) from runs) as versions,
    (select md5(string_agg(t::text, '' order by id)) from threads t) as thread_rows,
    (select md5(string_agg(a::text, '' order by id)) from assistants a) as assistant_rows,
    (select md5(string_agg(m::text, '' order by id)) from messages m) as message_rows`)
}

type Body = object | string | Uint8Array

/** Asks for an error, compares it whole, and sees that nothing was written. */
async function refused(
  method: string,
  path: string,
  body: Body | null,
  told: Told,
  headers = {},
): Promise<void> {
  const before = await rows()
  const raw = typeof body === 'string' || body instanceof Uint8Array || body === null
  const answer = await server.fetch(path, {
    method,
    headers: { ...(body === null ? {} : { 'content-type': 'application/json' }), ...headers },
    body: raw ? (body as string | Uint8Array<ArrayBuffer> | null) : JSON.stringify(body),
  })
  const { status, message, type = 'invalid_request_error', code = null, param = null } = told
  assert.deepEqual([answer.status, await answer.json()], [status, { error: { message, type, param, code } }])
  assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
  assert.deepEqual(await rows(), before, 'a refused request writes nothing')
}

const unknown = (noun: string, id: string): Told => ({
  status: 404,
  message: `No ${noun} found with id '${id}'.`,
})

test('an unknown id is answered 404 with its noun and id', async () => {
  const idOf = (prefix: string) => `${prefix}_${none}`
  const [asst, thread, msg] = [idOf('asst'), idOf('thread'), idOf('msg')]
  const [run, step] = [idOf('run'), idOf('step')]
  const inThread = `/v1/threads/${ids.thread}`
  const content = { role: 'user', content: 'x' }
  const cases: [string, string, Body | null, string, string][] = [
    ['GET', `/v1/assistants/${asst}`, null, 'assistant', asst],
    ['POST', `/v1/assistants/${asst}`, { name: 'x' }, 'assistant', asst],
    ['DELETE', `/v1/assistants/${asst}`, null, 'assistant', asst],
    ['GET', `/v1/threads/${thread}`, null, 'thread', thread],
    ['POST', `/v1/threads/${thread}`, { metadata: { a: 'b' } }, 'thread', thread],
    ['DELETE', `/v1/threads/${thread}`, null, 'thread', thread],
    ['GET', `/v1/threads/${thread}/messages`, null, 'thread', thread],
    ['POST', `/v1/threads/${thread}/messages`, content, 'thread', thread],
    ['GET', `${inThread}/messages/${msg}`, null, 'message', msg],
    ['POST', `${inThread}/messages/${msg}`, { metadata: { a: 'b' } }, 'message', msg],
    ['DELETE', `${inThread}/messages/${msg}`, null, 'message', msg],
    ['GET', `/v1/threads/${thread}/runs`, null, 'thread', thread],
    ['POST', `/v1/threads/${thread}/runs`, { assistant_id: ids.assistant }, 'thread', thread],
    ['POST', `${inThread}/runs`, { assistant_id: asst }, 'assistant', asst],
    ['POST', `${inThread}/runs`, { assistant_id: asst, stream: true }, 'assistant', asst],
    ['POST', '/v1/threads/runs', { assistant_id: asst }, 'assistant', asst],
    ['GET', `${inThread}/runs/${run}`, null, 'run', run],
    ['POST', `${inThread}/runs/${run}`, { metadata: { a: 'b' } }, 'run', run],
    ['POST', `${inThread}/runs/${run}/cancel`, null, 'run', run],
    ['POST', `${inThread}/runs/${run}/submit_tool_outputs`, { tool_outputs: [] }, 'run', run],
    ['GET', `${inThread}/runs/${run}/steps`, null, 'run', run],
    ['GET', `${inThread}/runs/${ids.run}/steps/${step}`, null, 'run step', step],
    // There, but not under this thread.
    ['GET', `/v1/threads/${waiting.thread}/runs/${ids.run}`, null, 'run', ids.run],
    ['POST', `/v1/threads/${ids.thread}/runs/${waiting.run}/cancel`, null, 'run', waiting.run],
    ['GET', `/v1/threads/${waiting.thread}/messages/${ids.message}`, null, 'message', ids.message],
    [
      'GET',
      `/v1/threads/${waiting.thread}/runs/${waiting.run}/steps/${ids.step}`,
      null,
      'run step',
      ids.step,
    ],
  ]
  for (const [method, path, body, noun, id] of cases) await refused(method, path, body, unknown(noun, id))
})

test('an id of the wrong kind is answered 400 with the prefix that was expected', async () => {
  const malformed = (param: string, value: string, prefix: string): Told => ({
    status: 400,
    message: `Invalid '${param}': '${value}'. Expected an ID that begins with '${prefix}'.`,
    code: 'invalid_value',
    param,
  })
  const run = { assistant_id: 'nope' }
  const cases: [string, string, Body | null, Told][] = [
    ['GET', '/v1/assistants/nope', null, malformed('assistant_id', 'nope', 'asst')],
    ['GET', `/v1/threads/${ids.run}`, null, malformed('thread_id', ids.run, 'thread')],
    ['GET', `/v1/threads/${ids.thread}/messages/x`, null, malformed('message_id', 'x', 'msg')],
    ['POST', `/v1/threads/${ids.thread}/runs/x/cancel`, null, malformed('run_id', 'x', 'run')],
    ['GET', `/v1/threads/${ids.thread}/runs/${ids.run}/steps/x`, null, malformed('step_id', 'x', 'step')],
    ['POST', `/v1/threads/${ids.thread}/runs`, run, malformed('assistant_id', 'nope', 'asst')],
    ['POST', '/v1/threads/runs', { assistant_id: '' }, malformed('assistant_id', '', 'asst')],
    ['GET', '/v1/threads/thread_%00', null, malformed('thread_id', 'thread_\0', 'thread')],
    ['GET', '/v1/threads/thread_%F0%9F%8C%BE', null, malformed('thread_id', 'thread_🌾', 'thread')],
  ]
  for (const [method, path, body, told] of cases) await refused(method, path, body, told)
})

test('an unknown route is answered 404 with its method and path, without the query', async () => {
  const told = (what: string): Told => ({
    status: 404,
    message: `Unknown request URL: ${what}.`,
    code: 'unknown_url',
  })
  await refused('GET', '/v1/nowhere?key=secret', null, told('GET /v1/nowhere'))
  await refused('PUT', `/v1/threads/${ids.thread}`, {}, told(`PUT /v1/threads/${ids.thread}`))
  await refused('DELETE', '/v1/threads', null, told('DELETE /v1/threads'))
  const unreadable = {
    status: 404,
    message: 'Unknown request URL: its path cannot be read or has too long an id.',
    code: 'unknown_url',
  }
  await refused('GET', '/v1/threads/%ZZ', null, unreadable)
  await refused('GET', `/v1/threads/thread_${'a'.repeat(300)}`, null, unreadable)
})

test('list parameters out of bounds are named', async () => {
  const limit = (bound: string, got: string, code: string): Told => ({
    status: 400,
    message: `Invalid 'limit': integer ${bound}, but got ${got} instead.`,
    code,
    param: 'limit',
  })
  const above = 'above maximum value. Expected a value <= 100'
  const below = 'below minimum value. Expected a value >= 1'
  const inThread = `/v1/threads/${ids.thread}`
  for (const path of [
    '/v1/assistants',
    `${inThread}/messages`,
    `${inThread}/runs`,
    `${inThread}/runs/${ids.run}/steps`,
  ]) {
    await refused('GET', `${path}?limit=101`, null, limit(above, '101', 'integer_above_max_value'))
    await refused('GET', `${path}?limit=0`, null, limit(below, '0', 'integer_below_min_value'))
    await refused('GET', `${path}?limit=-5`, null, limit(below, '-5', 'integer_below_min_value'))
    for (const odd of ['ten', '1.5', '1e1', '0x10']) {
      const message = `Invalid type for 'limit': expected an integer, but got a string instead.`
      await refused('GET', `${path}?limit=${odd}`, null, {
        status: 400,
        message,
        code: 'invalid_type',
        param: 'limit',
      })
    }
    for (const param of ['after', 'before']) {
      await refused('GET', `${path}?${param}=%00`, null, {
        status: 400,
        message: `Invalid '${param}': the text contains the NUL character.`,
        code: 'invalid_value',
        param,
      })
    }
    const message = "Invalid value: 'up'. Supported values are: 'asc', 'desc'."
    await refused('GET', `${path}?order=up`, null, {
      status: 400,
      message,
      code: 'invalid_value',
      param: 'order',
    })
  }
})

test('bodies that are not JSON are refused', async () => {
  const cases: [Body, RegExp][] = [
    ['{"metadata":', /^The request body is not valid JSON: /],
    ['{"a":1,}', /^The request body is not valid JSON: /],
    ["{'a':1}", /^The request body is not valid JSON: /],
    [new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d]), /^The request body is not valid UTF-8\.$/],
    ['['.repeat(100_000), /^The request body is nested deeper than 200 levels\.$/],
    [`[${'[],'.repeat(50_000)}0]`, /^The request body has more than 100000 values\.$/],
    [`{"a":1${',"b":1'.repeat(100_000)}}`, /^The request body has more than 100000 values\.$/],
  ]
  const before = await rows()
  for (const [body, message] of cases) {
    const headers = { 'content-type': 'application/json' }
    const answer = await server.fetch('/v1/threads', {
      method: 'POST',
      headers,
      body: body as string | Uint8Array<ArrayBuffer>,
    })
    const { error } = (await answer.json()) as { error: { message: string } }
    assert.equal(answer.status, 400)
    assert.match(error.message, message)
    assert.deepEqual(
      { ...error, message: '' },
      { message: '', type: 'invalid_request_error', param: null, code: null },
    )
  }
  assert.deepEqual(await rows(), before)
})

test('a body nested as deep as the limit is stored, and brackets inside of strings do not count', async () => {
  // Around the value: the body, tools, the tool, function and parameters.
  const levels = depthLimit - 6
  const deep = JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`) as unknown
  const parameters = { deep, text: `\\"${'[{'.repeat(500)}` }
  const tools = [{ type: 'function' as const, function: { name: 'f', parameters } }]
  const { id } = await client.beta.assistants.create({ model: 'mock-model', tools })
  assert.deepEqual((await client.beta.assistants.retrieve(id)).tools, tools)
  const deeper = [{ type: 'function', function: { name: 'f', parameters: { deep: [[deep]] } } }]
  await refused(
    'POST',
    '/v1/assistants',
    { model: 'm', tools: deeper },
    {
      status: 400,
      message: `The request body is nested deeper than ${depthLimit} levels.`,
    },
  )
})

test('a body that is not an object is refused', async () => {
  for (const [body, what] of [
    ['[]', 'an array'],
    ['"x"', 'a string'],
    ['7', 'an integer'],
  ] as const) {
    const message = `Invalid type for the request body: expected an object, but got ${what} instead.`
    await refused('POST', '/v1/threads', body, { status: 400, message, code: 'invalid_type' })
  }
})

test('characters that cannot be stored are refused, naming the field', async () => {
  const told = (param: string | null, what: string): Told => ({
    status: 400,
    message: `Invalid ${param === null ? 'the request body' : `'${param}'`}: the text contains ${what}.`,
    code: 'invalid_value',
    param,
  })
  const nul = 'the NUL character'
  const half = 'half a surrogate pair'
  await refused('POST', '/v1/assistants', { model: 'm', name: 'a\0b' }, told('name', nul))
  await refused('POST', '/v1/assistants', { model: 'm', metadata: { 'a\0': 'b' } }, told('metadata', nul))
  await refused('POST', '/v1/assistants', { model: 'm', metadata: { k: '\ud83c' } }, told('metadata.k', half))
  await refused('POST', '/v1/assistants', '{"\\uDC00":1}', told(null, half))
  const part = (value: string) => ({ role: 'user', content: [{ type: 'text', text: value }] })
  const path = `/v1/threads/${ids.thread}/messages`
  await refused('POST', path, part('\udf3e'), told('content[0].text', half))
  await refused(
    'POST',
    '/v1/threads',
    { messages: [part('ok'), part('\0')] },
    told('messages[1].content[0].text', nul),
  )
  // An escaped backslash before u0000, and a whole pair, are ordinary text.
  const fine = await threads.create({ metadata: { a: '\\u0000', b: '\ud83c\udf3e' } })
  assert.deepEqual((await threads.retrieve(fine.id)).metadata, { a: '\\u0000', b: '🌾' })
})

test('a content type other than JSON is refused with 415', async () => {
  for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
    const message = `Unsupported content type '${type}': send the request body as 'application/json'.`
    await refused('POST', '/v1/threads', '{}', { status: 415, message }, { 'content-type': type })
  }
  const bytes = new TextEncoder().encode('{}')
  const answer = await server.fetch('/v1/threads', { method: 'POST', body: bytes })
  assert.equal(answer.status, 415)
})

test('a body above the limit is refused with 413 before it is read, naming the limit', async () => {
  const before = await rows()
  const headers = { 'content-type': 'application/json', 'content-length': bodyLimit + 1 }
  const { promise, resolve, reject } = Promise.withResolvers<[number | undefined, unknown, unknown]>()
  const call = request(`${server.app.url}/v1/threads`, { method: 'POST', headers }, (response) => {
    const pieces: Buffer[] = []
    response.on('data', (piece: Buffer) => pieces.push(piece))
    response.on('end', () => {
      const body: unknown = JSON.parse(Buffer.concat(pieces).toString())
      resolve([response.statusCode, body, response.headers['x-request-id']])
    })
  })
  call.on('error', reject)
  call.flushHeaders()
  const [status, body, id] = await promise
  call.destroy()
  const message = `The request body is larger than the limit of ${bodyLimit} bytes.`
  assert.equal(status, 413)
  assert.deepEqual(body, { error: { message, type: 'invalid_request_error', param: null, code: null } })
  assert.match(String(id), /^req_[0-9a-f]{32}$/)
  assert.deepEqual(await rows(), before)
})

test('while a run is active messages and runs are refused, naming both', async () => {
  const { thread, run } = waiting
  const content = { role: 'user', content: 'x' }
  const path = `/v1/threads/${thread}`
  const blocked = (message: string): Told => ({ status: 400, message })
  const already = blocked(`Thread ${thread} already has an active run ${run}.`)
  await refused(
    'POST',
    `${path}/messages`,
    content,
    blocked(`Can't add messages to ${thread} while a run ${run} is active.`),
  )
  const [message] = (await threads.messages.list(thread)).data
  const noDelete = blocked(`Can't delete messages of ${thread} while a run ${run} is active.`)
  await refused('DELETE', `${path}/messages/${message?.id}`, null, noDelete)
  await refused('POST', `${path}/runs`, { assistant_id: ids.assistant }, already)
  await refused('POST', `${path}/runs`, { assistant_id: ids.assistant, stream: true }, already)
  const withMessages = { assistant_id: ids.assistant, additional_messages: [content] }
  await refused('POST', `${path}/runs`, withMessages, already)
})

test('outputs that are not those that the run asks for are refused, listing both', async () => {
  const path = `/v1/threads/${waiting.thread}/runs/${waiting.run}/submit_tool_outputs`
  const wrong: [string[], string][] = [
    [['call_a'], "['call_a']"],
    [[], '[]'],
    [['call_a', 'call_a'], "['call_a', 'call_a']"],
    [['call_a', 'call_c'], "['call_a', 'call_c']"],
    [['call_a', 'call_b', 'call_c'], "['call_a', 'call_b', 'call_c']"],
    [['call_a', 'call_b', 'call_b'], "['call_a', 'call_b', 'call_b']"],
  ]
  for (const [given, shown] of wrong) {
    const tool_outputs = given.map((tool_call_id) => ({ tool_call_id, output: 'x' }))
    const message = `Expected tool outputs for call_ids ['call_a', 'call_b'], got ${shown}`
    await refused('POST', path, { tool_outputs }, { status: 400, message })
    await refused('POST', path, { tool_outputs, stream: true }, { status: 400, message })
  }
})

test('outputs and cancels in a status that does not take them are refused, naming it', async () => {
  const path = `/v1/threads/${ids.thread}/runs/${ids.run}`
  const noOutputs = (status: string) => `Runs in status "${status}" do not accept tool outputs.`
  const outputs = { tool_outputs: [{ tool_call_id: 'call_a', output: 'x' }] }
  await refused('POST', `${path}/submit_tool_outputs`, outputs, {
    status: 400,
    message: noOutputs('completed'),
  })
  const cannot = "Cannot cancel run with status 'completed'."
  await refused('POST', `${path}/cancel`, null, { status: 400, message: cannot })

  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(hang())
  const run = await threads.runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  const submit = threads.runs.submitToolOutputs(run.id, { thread_id: thread, ...outputs })
  await assert.rejects(submit, (error: { status: number; message: string }) => {
    return error.status === 400 && /^400 Runs in status "(queued|in_progress)" do not/.test(error.message)
  })
  await threads.runs.cancel(run.id, { thread_id: thread })
  await threads.runs.poll(run.id, { thread_id: thread })
  const again = `/v1/threads/${thread}/runs/${run.id}/cancel`
  await refused('POST', again, null, { status: 400, message: "Cannot cancel run with status 'cancelled'." })
})
