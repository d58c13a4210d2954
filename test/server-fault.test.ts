import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from './support/server.ts'

// wire.md §9 "server fault": what no client can cause.

const server = await startServer()

test('a fault of the server itself answers 500 with its request id and none of its details', async () => {
  await server.db.sql('alter table assistants rename to assistants_gone', [])
  const answer = await server.fetch('/v1/assistants')
  const { error } = (await answer.json()) as {
    error: { message: string; type: string; code: null; param: null }
  }
  const { message, ...rest } = error
  assert.equal(answer.status, 500)
  assert.deepEqual(rest, { type: 'server_error', code: null, param: null })
  assert.doesNotMatch(message, /assistants|relation|select|\bat /)
  assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
})
