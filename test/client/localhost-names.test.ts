import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { ApiClient, RunsApi } from '../../client/src/index.ts'
import { json, startStub, wireRun } from './stub-server.ts'

// Names under .localhost are this machine's (RFC 6761 §6.3), in Node too, whose resolver often does not know them.

test('original defect: http://memgpt.localhost is reached in Node, under that name', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const runs = new RunsApi(new ApiClient(`http://memgpt.localhost:${stub.port}`))
  const run = await runs.modifyRunV1ThreadsThreadIdRunsRunIdPost('t', 'r', { metadata: { größe: 'ä' } })
  assert.equal(run.id, 'run_1')
  const { headers, body, method, url } = stub.last()
  assert.equal(headers.host, `memgpt.localhost:${stub.port}`)
  assert.deepEqual([method, url, body], ['POST', '/v1/threads/t/runs/r', '{"metadata":{"größe":"ä"}}'])
  assert.equal(headers['content-length'], String(Buffer.byteLength(body)))
})

test('a server that listens on ::1 alone is reached by such a name too', async (t) => {
  const stub = await startStub(t, json(wireRun), '::1')
  const runs = new RunsApi(new ApiClient(`http://memgpt.localhost:${stub.port}`))
  assert.equal((await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')).id, 'run_1')
})

test('connections are kept and used again, by such a name and by an address', async (t) => {
  const stub = await startStub(t, json(wireRun))
  for (const base of [`http://memgpt.localhost:${stub.port}`, stub.url]) {
    const runs = new RunsApi(new ApiClient(base))
    stub.requests.length = 0
    for (let count = 0; count < 10; count += 1) await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')
    // fetch hands an answer over before its connection is free again, so that a second one may come about.
    const connections = new Set(stub.requests.map(({ port }) => port)).size
    assert.ok(connections <= 2, `${connections} connections to ${base}`)
  }
})

test('answers without a body are read by such a name', async (t) => {
  const stub = await startStub(t, (response) => response.writeHead(204).end())
  const runs = new RunsApi(new ApiClient(`http://memgpt.localhost:${stub.port}`))
  assert.equal(await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), null)
})

test('such a name is reached where Node has no getBuiltinModule, as before 20.16', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const original = Object.getOwnPropertyDescriptor(process, 'getBuiltinModule') ?? {}
  Reflect.set(process, 'getBuiltinModule', undefined)
  t.after(() => Object.defineProperty(process, 'getBuiltinModule', original))
  const runs = new RunsApi(new ApiClient(`http://memgpt.localhost:${stub.port}`))
  assert.equal((await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')).id, 'run_1')
})

test('a kept connection does not keep the process', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const index = new URL('../../client/src/index.ts', import.meta.url).href
  const text = `import { ApiClient, RunsApi } from '${index}'
    const runs = new RunsApi(new ApiClient('http://memgpt.localhost:${stub.port}'))
    console.log((await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')).id)`
  const args = ['--input-type=module-typescript', '--eval', text]
  const { promise, resolve } = Promise.withResolvers<string>()
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.on('close', () => resolve(output))
  assert.equal(await promise, 'run_1\n')
})
