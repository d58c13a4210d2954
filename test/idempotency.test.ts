import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readyToRun, startServer } from './support/server.ts'

// A request with an Idempotency-Key is done once, and whoever sends it again gets the same answer.

const server = await startServer()

interface Answer {
  status: number
  text: string
  replayed: string | null
  headers: Headers
}

let keys = 0
const newKey = () => `key ${(keys += 1)}`

async function post(path: string, body: object, key: string, headers = {}): Promise<Answer> {
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
    body: JSON.stringify(body),
  })
  const replayed = response.headers.get('idempotent-replayed')
  return { status: response.status, text: await response.text(), replayed, headers: response.headers }
}

test('a message that is posted twice with one key is in the thread once, and both answers are the same bytes', async () => {
  const { thread } = await readyToRun(server)
  const key = newKey()
  const path = `/v1/threads/${thread}/messages`
  const first = await post(path, { role: 'user', content: 'once' }, key)
  const second = await post(path, { content: 'once', role: 'user' }, key)
  assert.deepEqual([first.status, first.replayed], [200, null])
  assert.deepEqual([second.status, second.replayed], [200, 'true'])
  assert.equal(second.text, first.text)
  assert.equal((await server.client.beta.threads.messages.list(thread)).data.length, 2)
  const other = await post(path, { role: 'user', content: 'twice' }, key)
  assert.equal(other.status, 400)
  assert.match(other.text, /idempotency_key_reused/)
})

test('a run that is created twice with one key is one run, with the headers of the first answer', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [{ type: 'code_interpreter' }] })
  const key = newKey()
  const path = `/v1/threads/${thread}/runs`
  const first = await post(path, { assistant_id: assistant }, key)
  const second = await post(path, { assistant_id: assistant }, key)
  assert.equal(first.status, 200)
  assert.equal(second.text, first.text)
  assert.equal(second.replayed, 'true')
  for (const name of ['x-tools-not-run', 'openai-poll-after-ms', 'content-type'])
    assert.equal(second.headers.get(name), first.headers.get(name), name)
  assert.equal(first.headers.get('x-tools-not-run'), 'code_interpreter')
  assert.equal((await server.client.beta.threads.runs.list(thread)).data.length, 1)
})
