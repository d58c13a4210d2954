import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RunsApi, type OpenAIRun } from '../../client/src/index.ts'
import { called, json, silence, startStub, wireRun } from './stub-server.ts'

// What ends a call before its answer: time-outs, abort() and signals.

test('a time-out gives up the request, its own or the client’s', async (t) => {
  const stub = await startStub(t, silence)
  assert.equal(stub.client.timeout, 60_000)
  stub.client.timeout = 30
  const fault = {
    name: 'TimeoutError',
    code: 'ECONNABORTED',
    message: 'Timeout of 30ms exceeded',
    timeout: 30,
  }
  for (const base of [stub.url, `http://memgpt.localhost:${stub.port}`]) {
    stub.client.basePath = base
    const runs = new RunsApi(stub.client)
    await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r'), fault)
    await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', { timeout: 10 }), {
      timeout: 10,
    })
  }
})

test('a time-out of 0, or one longer than timers can count, never strikes', async (t) => {
  const stub = await startStub(t, json(wireRun))
  const runs = new RunsApi(stub.client)
  for (const timeout of [0, Infinity, 2 ** 40])
    assert.equal((await runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', { timeout })).id, 'run_1')
})

test('a time-out counts until the whole answer is there', async (t) => {
  const stub = await startStub(t, (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.write('{"id":')
  })
  const runs = new RunsApi(stub.client)
  await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', { timeout: 50 }), {
    name: 'TimeoutError',
  })
})

test('abort() ends a request: the callback is told once, the promise rejects', async (t) => {
  const closed: unknown[] = []
  const stub = await startStub(t, (response) => void response.on('close', () => closed.push(null)))
  const runs = new RunsApi(stub.client)
  const seen: unknown[] = []
  const handle = runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', (...args) => seen.push(args))
  const promised = runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')
  while (stub.requests.length < 2) await new Promise(setImmediate)
  handle.abort()
  promised.abort()
  promised.abort()
  await assert.rejects(promised, { name: 'AbortError', code: 'ABORTED' })
  while (closed.length < 2) await new Promise(setImmediate)
  assert.equal(seen.length, 1)
  assert.deepEqual((seen[0] as unknown[]).slice(1), [null, undefined])
})

test('an AbortSignal ends a request, also one that had fired before; an aborted request is not sent', async (t) => {
  const stub = await startStub(t, silence)
  const runs = new RunsApi(stub.client)
  const controller = new AbortController()
  const call = runs.listRunsV1ThreadsThreadIdRunsGet('t', { limit: 1, signal: controller.signal })
  while (stub.requests.length < 1) await new Promise(setImmediate)
  controller.abort('enough')
  await assert.rejects(call, { name: 'AbortError', cause: 'enough' })
  const { signal } = controller
  await assert.rejects(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', { signal }), {
    name: 'AbortError',
  })
  const [error] = await called<OpenAIRun>((callback) =>
    runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r', callback, { signal }),
  )
  assert.equal(error?.name, 'AbortError')
  assert.equal(stub.requests.length, 1)
})
