import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import Fastify from 'fastify'
import { Type } from 'typebox'
import { errorKinds } from '../src/contract/errors.ts'
import { exampleOf } from '../src/http/docs-example.ts'
import { Components } from '../src/http/openapi-schema.ts'
import { gatherRoutes } from '../src/http/openapi.ts'
import { describedBy } from './support/described.ts'
import { startServer } from './support/server.ts'

// /openapi.json in itself: a whole OpenAPI 3.1 document of the routes that there are. That it is true is proved by
// openapi-truth.test.ts, and how it differs from the published schema is told by openapi-published.test.ts.

const server = await startServer()
const described = await describedBy(server.app.url)
const { document, placed } = described

function* refsOf(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return
  for (const [key, part] of Object.entries(value)) {
    if (key === '$ref' && typeof part === 'string') yield part
    else yield* refsOf(part)
  }
}

test('/openapi.json is OpenAPI 3.1 of this version, as JSON that no cache keeps', async () => {
  const response = await fetch(`${server.app.url}/openapi.json`)
  assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  assert.equal(response.headers.get('cache-control'), 'no-store')
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  assert.equal(document.openapi, '3.1.0')
  assert.equal(document.info.version, version)
  assert.deepEqual(document.servers, [{ url: '/' }])
  const allowed = ['openapi', 'info', 'servers', 'tags', 'paths', 'components']
  assert.deepEqual(Object.keys(document).toSorted(), allowed.toSorted())
})

test('every reference of the document leads somewhere, and every component is referred to', () => {
  const refs = new Set(refsOf(document))
  const there = Object.entries(document.components).flatMap(([kind, parts]) =>
    Object.keys(parts).map((name) => `#/components/${kind}/${name}`),
  )
  assert.deepEqual([...refs].toSorted(), there.toSorted())
})

test('operationIds and tags of the document are told once, and every path parameter is declared', () => {
  const ids = placed.map(({ operation }) => operation.operationId)
  assert.equal(new Set(ids).size, ids.length)
  const tags = document.tags.map(({ name }) => name)
  assert.equal(new Set(tags).size, tags.length)
  assert.deepEqual(
    [...new Set(placed.flatMap(({ operation }) => operation.tags))].toSorted(),
    tags.toSorted(),
  )
  for (const { path, operation } of placed) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const declared = described.parameters(operation).filter((one) => one.in === 'path')
    assert.deepEqual(
      declared.map(({ name }) => name),
      inPath,
      path,
    )
    assert.ok(declared.every(({ required }) => required))
    const all = described.parameters(operation).map((one) => `${one.in} ${one.name}`)
    assert.equal(new Set(all).size, all.length, `${path} declares a parameter twice`)
  }
})

test('every schema of the document is a strict JSON Schema, and its own examples fit it', () => {
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    const validate = described.validator('components', 'schemas', name)
    described.check(validate, exampleOf(document, schema), `the example of ${name}`)
    for (const example of schema.examples ?? []) described.check(validate, example, `an example of ${name}`)
  }
  for (const { path, method, operation } of placed) {
    for (const [status, { content = {} }] of Object.entries(operation.responses)) {
      for (const type of Object.keys(content)) {
        assert.ok(described.validator('paths', path, method, 'responses', status, 'content', type, 'schema'))
      }
    }
    for (const [i, parameter] of (operation.parameters ?? []).entries()) {
      if ('$ref' in parameter) continue
      assert.ok(described.validator('paths', path, method, 'parameters', String(i), 'schema'))
    }
  }
})

test('every path of the document is a route of the server', async () => {
  for (const { path, method, operation } of placed) {
    const url = server.app.url + path.replaceAll(/\{\w+\}/g, 'nothing')
    const headers = described
      .parameters(operation)
      .filter((one) => one.in === 'header' && one.required)
      .map(({ name, schema }): [string, string] => [name, String(schema.const)])
    const response = await fetch(url, { method: method.toUpperCase(), headers })
    assert.doesNotMatch(await response.text(), /Unknown request URL/, `${method} ${path}`)
    const dialect = path.startsWith('/memgpt/') ? 'memgpt' : 'openai'
    assert.equal(response.headers.get('x-assistants-dialect'), dialect, `${method} ${path}`)
  }
})

test('a route that says nothing of itself cannot be registered, so that none is missing from the document', () => {
  const app = Fastify()
  const routes = gatherRoutes(app)
  assert.throws(() => app.get('/secret', async () => ''), /GET \/secret says nothing of itself/)
  const page = { id: 'getPage', summary: 'A page.', answers: {} }
  app.get('/page', { config: { page } }, async () => '')
  assert.deepEqual(routes.pages, [{ method: 'GET', path: '/page', page }])
})

test('both dialects are described, each operation once, and where an operation has a twin the header is asked for', () => {
  const memgpt = placed.filter(({ path }) => path.startsWith('/memgpt/v1/'))
  const seed = memgpt.filter(({ operation }) => operation.tags[0] === 'Runs (memgpt)')
  assert.equal(seed.length, 9)
  for (const { path, method, operation } of memgpt) {
    assert.ok(operation.tags.every((tag) => tag.endsWith(' (memgpt)')))
    const twin = document.paths[path.replace('/memgpt', '')]?.[method]
    if (!twin) continue
    const names = described.parameters(twin).filter((one) => one.required && one.in === 'header')
    assert.deepEqual(
      names.map(({ name }) => name),
      ['OpenAI-Beta'],
      `${method} ${path}`,
    )
  }
})

test('two schemas that differ cannot have one title', () => {
  const components = new Components()
  components.refer(Type.Object({ a: Type.String() }, { title: 'Thing' }))
  assert.deepEqual(components.refer(Type.Object({ a: Type.String() }, { title: 'Thing' })), {
    $ref: '#/components/schemas/Thing',
  })
  assert.throws(
    () => components.refer(Type.Object({ b: Type.String() }, { title: 'Thing' })),
    /called 'Thing'/,
  )
})

test('the errors of the registry are all told, and of each operation under the statuses that they have', () => {
  for (const key of Object.keys(errorKinds))
    assert.match(document.info.description, new RegExp(`\\| \`${key}\` \\|`))
  // What may come from any path, from none that is described, from /metrics alone, or from the admin API, which is not here.
  const admins = ['project_exists', 'secrets_key_missing']
  const ofTransport = ['headers_too_large', 'request_timeout', 'expectation_failed']
  const anywhere = [...ofTransport, 'operators_only', ...admins]
  const told = new Set<string>()
  for (const { path, operation } of placed.filter(({ path }) => path.includes('/v1/'))) {
    for (const [status, { description }] of Object.entries(operation.responses)) {
      if (status < '400') continue
      for (const [, key = ''] of description.matchAll(/`(\w+)`/g)) {
        told.add(key)
        const kind = errorKinds[key as keyof typeof errorKinds]
        if (!path.startsWith('/memgpt')) assert.equal(String(kind.status), status, `${path} ${key}`)
      }
    }
  }
  assert.deepEqual([...told, ...anywhere].toSorted(), Object.keys(errorKinds).toSorted())
})

test('a key that a body does not know is refused by the server exactly where the document closes it', async () => {
  let closed = 0
  for (const { path, method, operation } of placed) {
    const schema = operation.requestBody?.content['application/json']?.schema
    if (!schema) continue
    const body = { ...(exampleOf(document, schema) as object), colour: 'red' }
    const fits = described.bodyValidator({ path, method, operation })(body)
    const headers = { 'content-type': 'application/json', 'openai-beta': 'assistants=v2' }
    if (path.includes('/files')) headers['openai-beta'] = 'assistants=v1'
    const url = server.app.url + path.replaceAll(/\{(\w+?)_id\}/g, (_, kind: string) => idOf(kind))
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
    const text = await response.text()
    const refused = response.status === 400 && text.includes(`"code":"unknown_parameter"`)
    assert.equal(refused, !fits, `${path}: ${response.status} ${text}`)
    if (refused) closed += 1
    else assert.doesNotMatch(text, /extra_forbidden/)
  }
  assert.ok(closed >= 10)
})

/** An id of this kind that nothing has. */
function idOf(kind: string): string {
  const prefixes: Record<string, string> = { assistant: 'asst', message: 'msg' }
  return `${prefixes[kind] ?? kind}_0000000000000000`
}
