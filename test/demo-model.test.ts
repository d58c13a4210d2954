import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer, textOf, tool } from './support/server.ts'

// Without a key and without a setting: a newcomer sees every status through the built-in demo model.

const server = await startServer({ demo: true })
const { client } = server

async function ask(content: string) {
  const assistant = await client.beta.assistants.create({ model: 'demo', tools: [tool('get_weather')] })
  const thread = await client.beta.threads.create({ messages: [{ role: 'user', content }] })
  return { assistant_id: assistant.id, thread: thread.id }
}

async function runOf(content: string) {
  const { assistant_id, thread } = await ask(content)
  return client.beta.threads.runs.createAndPoll(thread, { assistant_id })
}

test('a plain question is answered, and the answer says that it is scripted', async () => {
  const run = await runOf('Hello!')
  assert.equal(run.status, 'completed')
  const messages = await client.beta.threads.messages.list(run.thread_id)
  assert.match(textOf(messages.data[0]), /scripted/)
})

test('/call asks for the named tool and answers with its output', async () => {
  const run = await runOf('/call get_weather {"city":"Paris"}')
  assert.equal(run.status, 'requires_action')
  const [call] = run.required_action?.submit_tool_outputs.tool_calls ?? []
  assert.deepEqual(call?.function, { name: 'get_weather', arguments: '{"city":"Paris"}' })
  const done = await client.beta.threads.runs.submitToolOutputsAndPoll(run.id, {
    thread_id: run.thread_id,
    tool_outputs: [{ tool_call_id: call?.id ?? '', output: '22 degrees' }],
  })
  assert.equal(done.status, 'completed')
  const messages = await client.beta.threads.messages.list(run.thread_id)
  assert.match(textOf(messages.data[0]), /22 degrees/)
})

test('/fail, /cut, /filter fail and /length is incomplete', async () => {
  const seen = await Promise.all(['/fail 429', '/fail 500', '/cut', '/filter', '/length'].map(runOf))
  assert.deepEqual(
    seen.map((run) => [run.status, run.last_error?.code ?? run.incomplete_details?.reason]),
    [
      ['failed', 'rate_limit_exceeded'],
      ['failed', 'server_error'],
      ['failed', 'server_error'],
      ['failed', 'invalid_prompt'],
      ['incomplete', 'max_completion_tokens'],
    ],
  )
})

test('/slow can be watched in progress, cancelled on the way, and seen to expire', async () => {
  const { assistant_id, thread } = await ask('/slow 60')
  const run = await client.beta.threads.runs.create(thread, { assistant_id })
  assert.equal(run.status, 'queued')
  const statusOf = async () => (await client.beta.threads.runs.retrieve(run.id, { thread_id: thread })).status
  while ((await statusOf()) === 'queued') await new Promise(setImmediate)
  assert.equal(await statusOf(), 'in_progress')
  assert.equal((await client.beta.threads.runs.cancel(run.id, { thread_id: thread })).status, 'cancelling')
  assert.equal((await client.beta.threads.runs.poll(run.id, { thread_id: thread })).status, 'cancelled')

  const second = await client.beta.threads.runs.create(thread, { assistant_id })
  await server.db.advanceClock(601)
  await server.app.engine.sweep()
  assert.equal((await client.beta.threads.runs.poll(second.id, { thread_id: thread })).status, 'expired')
})

test('without a backend every model name is answered by the demo model, and GET /v1/models lists it', async () => {
  const assistant = await client.beta.assistants.create({ model: 'gpt-4o' })
  const run = await client.beta.threads.createAndRunPoll({
    assistant_id: assistant.id,
    thread: { messages: [{ role: 'user', content: 'Hello' }] },
  })
  assert.deepEqual([run.status, run.model], ['completed', 'gpt-4o'])
  assert.deepEqual(
    (await client.models.list()).data.map((model) => model.id),
    ['demo'],
  )
})
