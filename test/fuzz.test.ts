import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Document } from '../src/http/openapi.ts'
import { fuzz } from './support/fuzz/campaign.ts'
import { startServer } from './support/server.ts'

// A small part of `npm run fuzz`.

test('malformed requests over every route are refused in the form of all errors, and none is a fault of the server', async (t) => {
  const server = await startServer({ demo: true })
  const document = (await (await fetch(`${server.app.url}/openapi.json`)).json()) as Document
  const { faults, statuses, slowestMs } = await fuzz(server.app.url, document, { requests: 3_000, seed: 7 })
  t.diagnostic(
    `${[...statuses].map(([status, count]) => `${status}: ${count}`).join(', ')}; the slowest took ${Math.round(slowestMs)} ms`,
  )
  assert.deepEqual(faults.slice(0, 30), [])
  // It reaches what lies behind the first check.
  for (const status of [200, 400, 404, 415]) assert.ok(statuses.has(status), `${status}`)
  await server.client.beta.assistants.list()
})
