import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { Agent } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  ApiClient,
  ApiRequest,
  OpenAIRun,
  RunsApi,
  type ApiResponse,
  type CollectionFormat,
} from '../../client/src/index.ts'
import type { DataType } from '../../client/src/convert.ts'
import { json, startStub, wireRun } from './stub-server.ts'

// The ApiClient of memgpt-dialect.md §6, method by method.

test('a new client has the settings of the original', () => {
  const client = new ApiClient()
  assert.equal(client.basePath, 'http://memgpt.localhost')
  assert.equal(new ApiClient('http://a.test/x//').basePath, 'http://a.test/x')
  assert.deepEqual(client.authentications, { HTTPBearer: { type: 'bearer' } })
  assert.deepEqual(client.defaultHeaders, { 'User-Agent': 'OpenAPI-Generator/0.1.0/Javascript' })
  assert.deepEqual([client.timeout, client.cache, client.enableCookies], [60_000, true, false])
  assert.deepEqual([client.requestAgent, client.plugins, client.dialect], [null, null, 'memgpt'])
  assert.ok(client.agent)
  assert.ok(ApiClient.instance instanceof ApiClient)
  assert.equal(new RunsApi().apiClient, ApiClient.instance)
  assert.equal(new RunsApi(client).apiClient, client)
})

test('host settings name six servers, and an index outside of them throws', () => {
  const client = new ApiClient()
  assert.deepEqual(
    client.hostSettings().map(({ url }) => url),
    [
      'http://memgpt.localhost',
      'http://localhost:8283',
      'http://localhost:8083',
      'http://127.0.0.1:8283',
      'http://127.0.0.1:5173',
      'http://localhost:5173',
    ],
  )
  assert.equal(client.getBasePathFromSettings(1), 'http://localhost:8283')
  const text = 'when selecting the host settings. Must be less than 6'
  assert.throws(() => client.getBasePathFromSettings(6), { message: `Invalid index 6 ${text}` })
  assert.throws(() => client.getBasePathFromSettings(-1), { message: `Invalid index -1 ${text}` })
})

test('parameters become text', () => {
  const client = new ApiClient()
  const texts: [unknown, string][] = [
    [undefined, ''],
    [null, ''],
    [1, '1'],
    [false, 'false'],
    [new Date(0), '1970-01-01T00:00:00.000Z'],
    [{ a: 1 }, '{"a":1}'],
    [[1, 2], '1,2'],
  ]
  for (const [param, text] of texts) assert.equal(client.paramToString(param), text)
  assert.equal(ApiClient.canBeJsonified({}), true)
  assert.equal(ApiClient.canBeJsonified(Object.create(null)), false)
  assert.equal(ApiClient.canBeJsonified(1), false)
})

test('addresses are built with encoded parameters, and a base of their own if one is given', () => {
  const client = new ApiClient('http://a.test')
  const path = 'v1/{thread_id}/{other}'
  assert.equal(client.buildUrl(path, { thread_id: 't/1 x' }), 'http://a.test/v1/t%2F1%20x/%7Bother%7D')
  assert.equal(client.buildUrl('/v1', {}, 'http://b.test'), 'http://b.test/v1')
})

test('JSON is known among content types, and preferred', () => {
  const client = new ApiClient()
  for (const type of ['application/json', 'application/json; charset=UTF8', 'APPLICATION/JSON'])
    assert.equal(client.isJsonMime(type), true)
  assert.deepEqual([client.isJsonMime('application/jsonp'), client.isJsonMime(null)], [false, false])
  assert.equal(client.jsonPreferredMime(['text/plain', 'application/json']), 'application/json')
  assert.equal(client.jsonPreferredMime(['text/plain', 'text/html']), 'text/plain')
  assert.equal(client.jsonPreferredMime([]), undefined)
})

test('parameters are normalised: nothing left out, files and arrays as they are', () => {
  const client = new ApiClient()
  const file = new Blob(['x'])
  const given = { a: undefined, b: null, c: 0, d: [1], file }
  assert.deepEqual(client.normalizeParams(given), { c: '0', d: [1], file })
  assert.equal(client.isFileParam(Buffer.from('x')), true)
  assert.equal(client.isFileParam('x'), false)
  assert.equal(client.isFileParam({}), false)
})

test('collections are joined by their format', () => {
  const client = new ApiClient()
  const joined = (format: string) => client.buildCollectionParam([1, 'b'], format as CollectionFormat)
  assert.deepEqual(['csv', 'ssv', 'tsv', 'pipes'].map(joined), ['1,b', '1 b', '1\tb', '1|b'])
  assert.deepEqual(joined('multi'), ['1', 'b'])
  assert.deepEqual(joined('passthrough'), [1, 'b'])
  assert.equal(client.buildCollectionParam(null, 'csv'), null)
  assert.throws(() => joined('xml'), { message: 'Unknown collection format: xml' })
  const separators = { CSV: ',', SSV: ' ', TSV: '\t', PIPES: '|', MULTI: 'multi' }
  assert.deepEqual(ApiClient.CollectionFormatEnum, separators)
})

test('authentications add their headers or their query, and an unknown one throws', () => {
  const client = new ApiClient()
  client.authentications = {
    bearer: { type: 'bearer', accessToken: () => 'made' },
    oauth: { type: 'oauth2', accessToken: 'token' },
    basic: { type: 'basic', username: 'jürgen', password: 'x' },
    inHeader: { type: 'apiKey', in: 'header', name: 'api-key', apiKey: 'k', apiKeyPrefix: 'Key' },
    inQuery: { type: 'apiKey', in: 'query', name: 'key', apiKey: 'k' },
    empty: { type: 'bearer' },
    odd: { type: 'hmac' },
  }
  const request = (...names: string[]) => {
    const made = new ApiRequest('GET', 'http://a.test/')
    client.applyAuthToRequest(made, names)
    return made
  }
  assert.deepEqual(request('bearer').header, { Authorization: 'Bearer made' })
  assert.deepEqual(request('oauth').header, { Authorization: 'Bearer token' })
  assert.deepEqual(request('basic').header, { Authorization: 'Basic asO8cmdlbjp4' })
  assert.deepEqual(request('inHeader').header, { 'api-key': 'Key k' })
  assert.equal(request('inQuery').url, 'http://a.test/?key=k')
  assert.deepEqual(request('empty').header, {})
  assert.throws(() => request('odd'), { message: 'Unknown authentication type: hmac' })
  assert.throws(() => request('missing'), { message: 'Unknown authentication type: none named missing' })
})

test('values are converted to the type that is asked for', () => {
  const convertToType = (data: unknown, type: DataType) => ApiClient.convertToType(data, type)
  assert.deepEqual([convertToType(null, 'String'), convertToType(undefined, 'Number')], [null, undefined])
  assert.deepEqual([convertToType(1, 'Boolean'), convertToType('12.7', 'Integer')], [true, 12])
  assert.deepEqual([convertToType('1.5', 'Number'), convertToType(1, 'String')], [1.5, '1'])
  assert.deepEqual(convertToType('2020-01-01T00:00:00Z', 'Date'), new Date(Date.UTC(2020, 0)))
  assert.deepEqual(ApiClient.parseDate('86400000'), new Date(86_400_000))
  const same = {}
  assert.equal(convertToType(same, Object), same)
  assert.equal(convertToType(same, 'Blob'), same)
  assert.ok(convertToType({}, OpenAIRun) instanceof OpenAIRun)
  assert.deepEqual(convertToType([1, 2], ['String']), ['1', '2'])
  assert.deepEqual(convertToType({ a: '1' }, { String: 'Integer' }), { a: 1 })
  const [list, map] = [[] as unknown[], {}]
  ApiClient.constructFromObject(['1'], list, 'Number')
  ApiClient.constructFromObject({ a: '1' }, map, 'Number')
  assert.deepEqual([list, map], [[1], { a: 1 }])
})

test('an answer is deserialised; none, no type and 204 give null', () => {
  const client = new ApiClient()
  const response = { status: 200, body: wireRun, text: '' } as unknown as ApiResponse
  assert.ok(client.deserialize(response, OpenAIRun) instanceof OpenAIRun)
  assert.equal(client.deserialize(response, null), null)
  assert.equal(client.deserialize(null, OpenAIRun), null)
  assert.equal(client.deserialize({ ...response, status: 204 }, OpenAIRun), null)
  assert.equal(client.deserialize({ ...response, body: null, text: 'x' }, 'String'), 'x')
  assert.throws(() => client.deserialize({ ...response, body: [] }, OpenAIRun), TypeError)
})

/** callApi with what a test does not care about left out. */
function callApi(
  client: ApiClient,
  call: {
    method?: string
    form?: object
    type?: string
    accept?: string
    query?: object
    body?: unknown
    returns?: DataType
  },
) {
  const { method = 'POST', form = {}, query = {}, body = null, type, accept, returns = Object } = call
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  client.callApi(
    ...(['/x', method, {}, { ...query }, {}, { ...form }, body, ['HTTPBearer'], type ? [type] : []] as const),
    ...([accept ? [accept] : [], returns, null] as const),
    (error, data) => (error ? reject(error) : resolve(data)),
  )
  return promise
}

test('callApi takes the 13 arguments of the original: query arrays, headers, authentication', async (t) => {
  const stub = await startStub(t, json({}))
  stub.client.authentications['HTTPBearer'] = { type: 'bearer', accessToken: 'secret' }
  await callApi(stub.client, { method: 'GET', query: { a: [1, 'b c'], d: null }, accept: 'text/plain' })
  assert.equal(stub.last().url, '/x?a=1&a=b%20c')
  assert.equal(stub.last().headers.authorization, 'Bearer secret')
  assert.equal(stub.last().headers.accept, 'text/plain')
})

test('callApi sends forms, with files where there are any', async (t) => {
  const stub = await startStub(t, json({}))
  await callApi(stub.client, {
    type: 'application/x-www-form-urlencoded',
    form: { a: 'b c', n: [1, 2], none: null },
  })
  assert.equal(stub.last().body, 'a=b+c&n=1&n=2')
  assert.equal(stub.last().headers['content-type'], 'application/x-www-form-urlencoded')

  const here = fileURLToPath(import.meta.url)
  const form = {
    a: 'b',
    blob: new Blob(['of a blob']),
    bytes: Buffer.from('of bytes'),
    file: createReadStream(here),
  }
  await callApi(stub.client, { type: 'multipart/form-data', form })
  const { body, headers } = stub.last()
  assert.match(headers['content-type'] ?? '', /^multipart\/form-data; boundary=/)
  for (const part of [
    'name="a"\r\n\r\nb\r\n',
    'of a blob',
    'of bytes',
    'filename="api-client.test.ts"',
    'of the original',
  ])
    assert.ok(body.includes(part), part)
})

test('callApi sends text and bytes as they are, and returns text or a Blob where that is asked for', async (t) => {
  const stub = await startStub(t, json({ a: 1 }))
  assert.equal(await callApi(stub.client, { body: '{"b":2}', returns: 'String' }), '{"a":1}')
  assert.equal(stub.last().body, '{"b":2}')
  assert.equal(stub.last().headers['content-type'], 'application/json')
  const blob = await callApi(stub.client, { body: new Blob(['x'], { type: 'text/x' }), returns: 'Blob' })
  assert.equal(stub.last().headers['content-type'], 'text/x')
  assert.ok(blob instanceof Blob)
  assert.equal(await blob.text(), '{"a":1}')
})

test('without a cache each GET has an address of its own', async (t) => {
  const stub = await startStub(t, json({}))
  stub.client.cache = false
  await callApi(stub.client, { method: 'GET' })
  assert.match(stub.last().url, /^\/x\?_=\d+$/)
  await callApi(stub.client, { method: 'POST' })
  assert.equal(stub.last().url, '/x')
})

test('cookies are kept and sent back only where they are enabled', async (t) => {
  const stub = await startStub(t, (response, request) => {
    const cookies = request.method === 'DELETE' ? ['a=; Max-Age=0'] : ['a=1; Path=/', 'b=2']
    response.setHeader('set-cookie', cookies)
    json({})(response, request)
  })
  await callApi(stub.client, {})
  await callApi(stub.client, {})
  assert.equal(stub.last().headers.cookie, undefined)
  stub.client.enableCookies = true
  for (const base of [stub.url, `http://memgpt.localhost:${stub.port}`]) {
    stub.client.basePath = base
    await callApi(stub.client, {})
    await callApi(stub.client, { method: 'DELETE' })
    assert.equal(stub.last().headers.cookie, 'a=1; b=2')
    await callApi(stub.client, {})
    assert.equal(stub.last().headers.cookie, 'b=2')
  }
})

test('a request agent of the caller carries the requests', async (t) => {
  const stub = await startStub(t, json({}))
  const agent = new Agent({ keepAlive: false })
  stub.client.requestAgent = agent
  await callApi(stub.client, {})
  assert.equal(stub.last().headers.connection, 'close')
})

test('plugins see a request before it is sent, and what they throw is thrown', async (t) => {
  const stub = await startStub(t, json({}))
  stub.client.plugins = [(request) => void request.set('x-mine', request.method).query({ p: 1 })]
  await callApi(stub.client, {})
  assert.equal(stub.last().headers['x-mine'], 'POST')
  assert.equal(stub.last().url, '/x?p=1')
  stub.client.plugins = [
    () => {
      throw new Error('of the plugin')
    },
  ]
  assert.throws(() => new RunsApi(stub.client).cancelRunV1ThreadsThreadIdRunsRunIdCancelPost('t', 'r'), {
    message: 'of the plugin',
  })
})

test('headers of one call come on top of the client’s, whatever their case', async (t) => {
  const stub = await startStub(t, json(wireRun))
  stub.client.defaultHeaders['X-Mine'] = 'client'
  const runs = new RunsApi(stub.client)
  await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', { headers: { 'x-mine': 'call' } })
  assert.equal(stub.last().headers['x-mine'], 'call')
})
