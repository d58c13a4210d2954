import assert from 'node:assert/strict'
import { test } from 'node:test'
import { text } from './support/mock-model.ts'
import { readyToRun, startServer, textOf } from './support/server.ts'

const server = await startServer()
const { client, mock } = server

test('createAndPoll completes a run and the answer is in the thread', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(text('Good', ' morning', '.'))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.deepEqual(run.usage, { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 })
  const messages = await client.beta.threads.messages.list(thread)
  assert.deepEqual(messages.data.map(textOf), ['Good morning.', 'Good morning?'])
})
