import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import OpenAiAssistantsApi, { type OpenAIRun } from '../../client/src/index.ts'
import { readResponse } from '../../client/src/api-response.ts'
import { freePort } from '../support/npm-start.ts'
import { called, json, silence, startStub, wireRun, wireStep } from './stub-server.ts'

// How calls behave (memgpt-dialect.md §6), against a server that answers what the test says.

const { ApiClient, ApiError, RunsApi } = OpenAiAssistantsApi

test('each of the nine methods sends its request and returns its model', async (t) => {
  const stub = await startStub(t, (response, { url }) => {
    const isList = /\/(runs|steps)\?/.test(url)
    const one = url.includes('/steps') ? wireStep : wireRun
    json(isList ? [one, one] : one)(response, stub.last())
  })
  const runs = new RunsApi(stub.client)
  const opts = { limit: 2, order: 'desc', after: 'a', before: 'b' }
  const body = { metadata: { a: 'b' } }
  const { OpenAIRun, OpenAIRunStep } = OpenAiAssistantsApi
  const nine: [PromiseLike<unknown>, string, object | null, typeof OpenAIRun | typeof OpenAIRunStep][] = [
    [
      runs.cancelRunV1ThreadsThreadIdRunsRunIdCancelPost('t', 'r'),
      'POST /v1/threads/t/runs/r/cancel',
      null,
      OpenAIRun,
    ],
    [
      runs.createRunV1ThreadsThreadIdRunsPost('t', new OpenAiAssistantsApi.CreateRunRequest('asst_1', '')),
      'POST /v1/threads/t/runs',
      { assistant_id: 'asst_1', instructions: '' },
      OpenAIRun,
    ],
    [
      runs.createThreadAndRunV1ThreadsRunsPost({
        assistant_id: 'asst_1',
        model: 'demo',
        instructions: '',
        thread: { id: 't', created_at: 1 },
      }),
      'POST /v1/threads/runs',
      { assistant_id: 'asst_1', model: 'demo', instructions: '', thread: { id: 't', created_at: 1 } },
      OpenAIRun,
    ],
    [
      runs.listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet('t', 'r', opts),
      'GET /v1/threads/t/runs/r/steps?limit=2&order=desc&after=a&before=b',
      null,
      OpenAIRunStep,
    ],
    [
      runs.listRunsV1ThreadsThreadIdRunsGet('t', opts),
      'GET /v1/threads/t/runs?limit=2&order=desc&after=a&before=b',
      null,
      OpenAIRun,
    ],
    [
      runs.modifyRunV1ThreadsThreadIdRunsRunIdPost('t', 'r', body),
      'POST /v1/threads/t/runs/r',
      body,
      OpenAIRun,
    ],
    [
      runs.retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet('t', 'r', 's'),
      'GET /v1/threads/t/runs/r/steps/s',
      null,
      OpenAIRunStep,
    ],
    [runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), 'GET /v1/threads/t/runs/r', null, OpenAIRun],
    [
      runs.submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost('t', 'r', {
        tools_outputs: [{ tool_call_id: 'call_1', output: '{}' }],
      }),
      'POST /v1/threads/t/runs/r/submit_tool_outputs',
      { tools_outputs: [{ tool_call_id: 'call_1', output: '{}' }] },
      OpenAIRun,
    ],
  ]
  for (const [call, line, sent, Model] of nine) {
    const [data] = [await call].flat()
    assert.ok(data instanceof Model, line)
    const request = stub.requests.find(({ method, url }) => `${method} ${url}` === line) ?? assert.fail(line)
    assert.deepEqual(request.body === '' ? null : JSON.parse(request.body), sent, line)
    assert.equal(request.headers['content-type'], sent ? 'application/json' : undefined, line)
  }
  assert.equal(stub.requests.length, 9)
})

test('a request carries the headers of the original, and the dialect unless that is switched off', async (t) => {
  const stub = await startStub(t, (response, request) =>
    json(request.url.includes('?') ? [] : wireRun)(response, request),
  )
  stub.client.authentications['HTTPBearer'] = { type: 'bearer', accessToken: 'secret' }
  const runs = new RunsApi(stub.client)
  await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t/1 x', 'r')
  const { headers, url } = stub.last()
  assert.equal(url, '/v1/threads/t%2F1%20x/runs/r')
  assert.equal(headers['user-agent'], 'OpenAPI-Generator/0.1.0/Javascript')
  assert.equal(headers.accept, 'application/json')
  assert.equal(headers['x-assistants-dialect'], 'memgpt')
  assert.equal(headers.authorization, undefined)
  assert.equal(headers['openai-beta'], undefined)

  stub.client.dialect = null
  stub.client.defaultHeaders['Authorization'] = 'Bearer mine'
  await runs.listRunsV1ThreadsThreadIdRunsGet('t', { order: "'asc'" })
  assert.equal(stub.last().headers['x-assistants-dialect'], undefined)
  assert.equal(stub.last().headers.authorization, 'Bearer mine')
  assert.equal(new URLSearchParams(stub.last().url.split('?')[1]).get('order'), "'asc'")
})

test('list options may be undefined, null, left out, or a callback; defaults are not sent', async (t) => {
  const stub = await startStub(t, json([wireRun]))
  const runs = new RunsApi(stub.client)
  await runs.listRunsV1ThreadsThreadIdRunsGet('t')
  await runs.listRunsV1ThreadsThreadIdRunsGet('t', undefined)
  await runs.listRunsV1ThreadsThreadIdRunsGet('t', null)
  await called<OpenAIRun[]>((callback) => runs.listRunsV1ThreadsThreadIdRunsGet('t', callback))
  await called<OpenAIRun[]>((callback) => runs.listRunsV1ThreadsThreadIdRunsGet('t', null, callback))
  assert.deepEqual(
    stub.requests.map(({ url }) => url),
    Array.from({ length: 5 }, () => '/v1/threads/t/runs'),
  )
  // The seed page prints the order in quotes inside the string.
  await runs.listRunsV1ThreadsThreadIdRunsGet('t', { limit: 0, order: "'asc'" })
  assert.equal(stub.last().url, '/v1/threads/t/runs?limit=0&order=asc')
})

test('a missing parameter is thrown at once, in the order of the arguments, and nothing is sent', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const runs = new RunsApi(stub.client)
  const missing = (parameter: string, method: string) => ({
    name: 'Error',
    message: `Missing the required parameter '${parameter}' when calling ${method}`,
  })
  const none = undefined as unknown as string
  const cancel = 'cancelRunV1ThreadsThreadIdRunsRunIdCancelPost'
  assert.throws(() => runs[cancel](none, none), missing('threadId', cancel))
  assert.throws(() => runs[cancel]('t', null as unknown as string), missing('runId', cancel))
  const submit = 'submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost'
  assert.throws(() => runs[submit]('t', 'r', none as never), missing('submitToolOutputsToRunRequest', submit))
  const both = 'createThreadAndRunV1ThreadsRunsPost'
  assert.throws(() => runs[both](none as never), missing('createThreadRunRequest', both))
  assert.equal(stub.requests.length, 0)
})

test('every method of the four classes has the name that its missing parameter is reported with', () => {
  const { AssistantsApi, MessagesApi, ThreadsApi } = OpenAiAssistantsApi
  const helpers = ['constructor', 'waitForRun', 'streamEvents', 'listAssistantsV1AssistantsGet']
  let count = 0
  for (const Api of [RunsApi, AssistantsApi, MessagesApi, ThreadsApi]) {
    const object = new Api() as unknown as Record<string, () => unknown>
    for (const name of Object.getOwnPropertyNames(Api.prototype).filter((each) => !helpers.includes(each))) {
      assert.throws(() => object[name]?.(), new RegExp(`^Error: Missing .* when calling ${name}$`))
      count += 1
    }
  }
  assert.equal(count, 27)
})

test('a callback gets null, the model and the whole answer', async (t) => {
  const stub = await startStub(t, json(wireRun, 200, { 'x-request-id': 'req_1' }))
  const runs = new RunsApi(stub.client)
  const [error, data, response] = await called<OpenAIRun>((callback) =>
    runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', callback),
  )
  assert.equal(error, null)
  assert.ok(data instanceof OpenAiAssistantsApi.OpenAIRun)
  assert.ok(response)
  assert.deepEqual([response.status, response.statusCode, response.ok], [200, 200, true])
  assert.deepEqual(
    [response.type, response.headers['content-type']],
    ['application/json', 'application/json; charset=utf-8'],
  )
  assert.equal(response.header, response.headers)
  assert.deepEqual(response.body, wireRun)
  assert.equal(response.text, JSON.stringify(wireRun))
  assert.equal(response.requestId, 'req_1')
})

test('original defect: without a callback the outcome is not lost but promised', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const handle = new RunsApi(stub.client).retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')
  const run = await handle
  assert.equal(run.id, 'run_1')
  const { data, response } = await handle.withResponse()
  assert.deepEqual([data, response.status], [run, 200])
  assert.equal(await handle.then((each) => each.status).finally(() => undefined), 'requires_action')
})

test('original defect: then does not send the request again', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const handle = new RunsApi(stub.client).cancelRunV1ThreadsThreadIdRunsRunIdCancelPost('t', 'r')
  await handle
  await handle
  await handle.then()
  assert.equal(stub.requests.length, 1)
})

test('with a callback the handle is no promise, so that awaiting it does not wait', async (t) => {
  const stub = await startStub(t, silence)
  const handle = new RunsApi(stub.client).retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', () => {})
  assert.equal('then' in handle, false)
  handle.abort()
})

test('an HTTP error carries status, body, request id and answer, and its message is the phrase', async (t) => {
  const body = { detail: "No run found with id 'r'." }
  const stub = await startStub(t, json(body, 404, { 'x-request-id': 'req_2' }))
  const runs = new RunsApi(stub.client)
  const [error, data, response] = await called<OpenAIRun>((callback) =>
    runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', callback),
  )
  assert.ok(error instanceof ApiError && error instanceof Error)
  assert.deepEqual([error.message, error.status, error.requestId], ['Not Found', 404, 'req_2'])
  assert.deepEqual(error.body, body)
  assert.equal(error.response, response)
  assert.equal(error.validationError, undefined)
  assert.equal(data, null)
  await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), {
    name: 'ApiError',
    status: 404,
  })
})

test('original defect: what did not fit the schema can be read from the error', async (t) => {
  const detail = [{ type: 'missing', loc: ['body', 'assistant_id'], msg: 'Field required', input: {} }]
  const stub = await startStub(t, json({ detail }, 422))
  const [error] = await called<OpenAIRun>((callback) =>
    new RunsApi(stub.client).createRunV1ThreadsThreadIdRunsPost(
      't',
      new OpenAiAssistantsApi.CreateRunRequest(),
      callback,
    ),
  )
  assert.equal(stub.last().body, '{}')
  assert.ok(error instanceof ApiError)
  assert.equal(error.message, 'Unprocessable Entity')
  assert.deepEqual(error.validationError?.detail?.[0]?.loc, ['body', 'assistant_id'])
})

test('an error whose body is not JSON shows the text', async (t) => {
  const stub = await startStub(t, (response) => response.writeHead(502).end('<h1>Bad gateway</h1>'))
  const runs = new RunsApi(stub.client)
  await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), {
    message: 'Bad Gateway',
    status: 502,
    body: '<h1>Bad gateway</h1>',
  })
})

test('the message of an error is the phrase that the server sent, else the usual one of the status', async () => {
  const phrase = async (status: number, statusText?: string) =>
    (await readResponse(new Response('', { status, ...(statusText ? { statusText } : {}) }))).statusText
  assert.equal(await phrase(422, 'Of the server'), 'Of the server')
  // HTTP/2 has no phrases.
  assert.equal(await phrase(422), 'Unprocessable Entity')
  assert.equal(await phrase(599), 'HTTP status 599')
})

test('original defect: an answer in another shape is refused with what the server sent', async (t) => {
  const stub = await startStub(t, json({ object: 'list', data: [], has_more: false }))
  const runs = new RunsApi(stub.client)
  const [error, data, response] = await called<OpenAIRun[]>((callback) =>
    runs.listRunsV1ThreadsThreadIdRunsGet('t', callback),
  )
  assert.ok(error instanceof TypeError)
  assert.match(error.message, /^Expected an array of OpenAIRun and the server sent: \{"object":"list"/)
  assert.deepEqual([data, response?.status], [null, 200])
  const other = await startStub(t, (response) => response.end('hello'))
  await assert.rejects(new RunsApi(other.client).retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), {
    name: 'TypeError',
    message: 'Expected an object OpenAIRun and the server sent: hello',
  })
})

test('a server that is not there is ECONNREFUSED, without data and answer', async () => {
  const free = await freePort()
  for (const host of ['127.0.0.1', 'localhost', 'memgpt.localhost']) {
    const runs = new RunsApi(new ApiClient(`http://${host}:${free}`))
    const [error, data, response] = await called<OpenAIRun>((callback) =>
      runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', callback),
    )
    assert.ok(error)
    assert.equal(Reflect.get(error, 'code'), 'ECONNREFUSED', host)
    assert.match(error.message, /ECONNREFUSED/)
    assert.deepEqual([error.name, data, response], ['NetworkError', null, undefined])
  }
})

test('a connection that breaks within an answer is a network error', async (t) => {
  const stub = await startStub(t, (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    response.write('{"id":')
    setImmediate(() => response.destroy())
  })
  for (const base of [stub.url, `http://memgpt.localhost:${stub.port}`]) {
    const runs = new RunsApi(new ApiClient(base))
    await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), { name: 'NetworkError' })
  }
})

/** Runs a program that has `runs`, of a server that is not there. */
function program(text: string) {
  const index = new URL('../../client/src/index.ts', import.meta.url).href
  const start = `import { ApiClient, RunsApi } from '${index}'
    const runs = new RunsApi(new ApiClient('http://memgpt.localhost:1'))\n`
  const args = ['--input-type=module-typescript', '--eval', start + text]
  return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 })
}

test('original defect: an error of the callback escapes, once, and is not called back with', () => {
  const { stdout, status } = program(`
    process.on('uncaughtException', (error, origin) => console.log(origin, error.message))
    let calls = 0
    runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', () => {
      calls += 1
      throw new Error('of the callback ' + calls)
    })`)
  assert.equal(stdout, 'uncaughtException of the callback 1\n')
  assert.equal(status, 0)
})

test('a failed request that nobody awaits ends no process', () => {
  const { stdout, status } = program(`
    runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')
    process.on('exit', () => console.log('lived'))`)
  assert.deepEqual([stdout, status], ['lived\n', 0])
})
