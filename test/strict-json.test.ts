import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { startServer } from './support/server.ts'

// Bodies that two readers would read differently are refused, and nothing of them is done.

const server = await startServer()

async function post(body: string): Promise<{ status: number; message: string; param: string | null }> {
  const response = await server.fetch('/v1/threads', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  })
  const { error } = (await response.json()) as { error?: { message: string; param: string | null } }
  return { status: response.status, message: error?.message ?? '', param: error?.param ?? null }
}

test('a key that is there twice in one object is refused by its name, however it is written', async () => {
  const bodies: [string, string][] = [
    ['{"metadata":{},"metadata":{}}', 'metadata'],
    ['{"metadata":{"a":"1","b":"2","a":"3"}}', 'a'],
    [String.raw`{"metadata":{"a":"1","\u0061":"3"}}`, 'a'],
    ['{"messages":[{"role":"user","content":"x","role":"assistant"}]}', 'role'],
    [String.raw`{"metadata":{"\"{:":"x","\"{:":"y"}}`, '"{:'],
  ]
  for (const [body, name] of bodies) {
    const { status, message, param } = await post(body)
    assert.deepEqual([status, param], [400, name], body)
    assert.match(message, /twice in one object/)
  }
  assert.deepEqual(await server.db.sql('select id from threads'), [])
})

test('the same key in two objects, and colons, braces and quotes in texts, are no such thing', async () => {
  const metadata = { a: 'a:b', 'b:c': '{"a":1,"a":2}', '"': '\\":', '}': ':{' }
  const body = { metadata, messages: ['a', 'b'].map((content) => ({ role: 'user', content, metadata })) }
  assert.equal((await post(JSON.stringify(body))).status, 200)
})

test('__proto__ is no key of a body, wherever and however it is written', async () => {
  for (const body of [
    '{"__proto__":{"role":"user"}}',
    '{"metadata":{"__proto__":"x"}}',
    String.raw`{"metadata":{"\u005f_proto__":"x"}}`,
    '{"messages":[{"role":"user","content":"x","metadata":{"__proto__":"y"}}]}',
  ]) {
    const { status, message, param } = await post(body)
    assert.deepEqual([status, param], [400, '__proto__'], body)
    assert.match(message, /'__proto__'/)
  }
  assert.equal(({} as { role?: string }).role, undefined)
})

test('constructor and prototype are keys like any other', async () => {
  const metadata = { constructor: 'a', prototype: 'b' }
  const thread = await server.client.beta.threads.create({ metadata })
  assert.deepEqual((await server.client.beta.threads.retrieve(thread.id)).metadata, metadata)
})

test('what JSON.stringify writes is never taken for a body with a key twice', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), async (json) => {
      if (json.includes('__proto__')) return
      assert.doesNotMatch((await post(json)).message, /twice/, json)
    }),
    { numRuns: 300, seed: 20261123 },
  )
})
