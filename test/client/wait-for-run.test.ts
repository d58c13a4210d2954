import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RunsApi } from '../../client/src/index.ts'
import { json, silence, startStub, wireRun, type StubAnswer } from './stub-server.ts'

// waitForRun against a server that answers what the test says; client-live.test.ts has it against a real one.

/** Answers one after the other, the last of them for ever. */
function inTurn(...answers: StubAnswer[]): StubAnswer {
  let at = 0
  return (response, request) => {
    const answer = answers[Math.min(at, answers.length - 1)]
    at += 1
    answer?.(response, request)
  }
}

const soon = { 'openai-poll-after-ms': '0' }
const status = (name: string, headers: Record<string, string> = soon) =>
  json({ ...wireRun, required_action: null, status: name }, 200, headers)

test('waitForRun asks with polls that the server holds, until the run is no longer at work', async (t) => {
  const answers = ['queued', 'in_progress', 'cancelling', 'cancelled'].map((each) => status(each))
  const stub = await startStub(t, inTurn(...answers))
  const run = await new RunsApi(stub.client).waitForRun('t', 'r')
  assert.equal(run.status, 'cancelled')
  assert.equal(stub.requests.length, 4)
  for (const { method, url, headers } of stub.requests) {
    assert.equal(`${method} ${url}`, 'GET /v1/threads/t/runs/r')
    assert.equal(headers['x-stainless-poll-helper'], 'true')
    // Without it the other header would ask for the other dialect.
    assert.equal(headers['x-assistants-dialect'], 'memgpt')
  }
})

test('waitForRun returns a run that needs tool outputs', async (t) => {
  const stub = await startStub(t, inTurn(status('in_progress'), json(wireRun)))
  const run = await new RunsApi(stub.client).waitForRun('t', 'r')
  assert.equal(run.required_action?.submit_tool_outputs[0]?.id, 'call_1')
})

test('without a dialect waitForRun asks without holding, at the pace that the server names', async (t) => {
  const stub = await startStub(
    t,
    inTurn(status('queued', { 'openai-poll-after-ms': '120' }), status('completed')),
  )
  stub.client.dialect = null
  const began = performance.now()
  await new RunsApi(stub.client).waitForRun('t', 'r')
  assert.ok(performance.now() - began >= 110)
  assert.equal(stub.last().headers['x-stainless-poll-helper'], undefined)
})

test('a poll that was held is followed by the next at once', async (t) => {
  const held: StubAnswer = (response, request) =>
    void setTimeout(() => status('queued', { 'openai-poll-after-ms': '1000' })(response, request), 1_000)
  const stub = await startStub(t, inTurn(held, status('completed')))
  const began = performance.now()
  await new RunsApi(stub.client).waitForRun('t', 'r')
  assert.ok(performance.now() - began < 1_900)
})

test('a server that is away for a moment does not end the wait', async (t) => {
  const cut: StubAnswer = (response) => void response.destroy()
  const away = json({ detail: 'Starting.' }, 503, { 'retry-after': '0' })
  const stub = await startStub(t, inTurn(status('queued'), away, away, cut, status('completed')))
  const run = await new RunsApi(stub.client).waitForRun('t', 'r')
  assert.equal(run.status, 'completed')
  assert.equal(stub.requests.length, 5)
})

test('a server that says when to come again is asked then', async (t) => {
  const away = json({ detail: 'Starting.' }, 503, { 'retry-after': '0' })
  const stub = await startStub(t, inTurn(away, away, away, status('completed')))
  const began = performance.now()
  await new RunsApi(stub.client).waitForRun('t', 'r')
  // Left to itself it would have paused for 250, 500 and 1000 ms.
  assert.ok(performance.now() - began < 1_000)
})

test('an error that will not pass ends the wait at once', async (t) => {
  const stub = await startStub(t, json({ detail: 'No run found.' }, 404))
  await assert.rejects(new RunsApi(stub.client).waitForRun('t', 'r'), { name: 'ApiError', status: 404 })
  assert.equal(stub.requests.length, 1)
})

test('waitForRun gives up after its time-out, or when its signal fires, and its poll with it', async (t) => {
  let closed = 0
  const stub = await startStub(t, (response, request) => {
    response.on('close', () => (closed += 1))
    silence(response, request)
  })
  const runs = new RunsApi(stub.client)
  const fault = { name: 'TimeoutError', timeout: 40 }
  await assert.rejects(
    runs.waitForRun('t', 'r', { timeout: 40, signal: new AbortController().signal }),
    fault,
  )
  const controller = new AbortController()
  const waiting = runs.waitForRun('t', 'r', { signal: controller.signal })
  while (stub.requests.length < 2) await new Promise(setImmediate)
  controller.abort()
  await assert.rejects(waiting, { name: 'AbortError' })
  await assert.rejects(runs.waitForRun('t', 'r', { signal: controller.signal }), { name: 'AbortError' })
  while (closed < 2) await new Promise(setImmediate)
  assert.equal(stub.requests.length, 2)
})
