import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI, { AzureOpenAI } from 'openai'
import { AzureOpenAI as AzureOpenAI6 } from 'openai-6'
import { judgingFetch } from './support/contract.ts'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { inProgress, startServer, textOf, tool } from './support/server.ts'

// The Azure mounts, driven by AzureOpenAI of the official SDK in both majors; test/azure-v1.test.ts has the older client.

const server = await startServer()
const { mock } = server

const apiVersion = '2025-04-01-preview'
const settings = () => ({ endpoint: server.app.url, apiKey: 'azure-key', apiVersion, maxRetries: 0 })
/** The paths and headers of what a client sent. */
const sent: { url: string; headers: Headers }[] = []
const watchingFetch: typeof fetch = (input, init) => {
  const url = input instanceof Request ? input.url : input.toString()
  // With a URL of its own the SDK finds out what this fetch can do.
  if (!url.startsWith('data:')) sent.push({ url, headers: new Headers(init?.headers) })
  return judgingFetch(input, init)
}

/** The clients, whose types are the same for what is used here. */
const clients: Record<string, () => OpenAI> = {
  'openai 7 AzureOpenAI': () => new AzureOpenAI({ ...settings(), fetch: watchingFetch }),
  'openai 6 AzureOpenAI': () =>
    new AzureOpenAI6({ ...settings(), fetch: watchingFetch }) as unknown as OpenAI,
  'openai 7 at /openai/v1': () =>
    new OpenAI({ baseURL: `${server.app.url}/openai/v1`, apiKey: 'k', maxRetries: 0, fetch: watchingFetch }),
}

for (const [name, make] of Object.entries(clients)) {
  test(`${name}: assistants, threads, messages, polls, tools, streams, cancels and files`, async () => {
    sent.length = 0
    const client = make()
    const { assistants, threads } = client.beta
    const assistant = await assistants.create({ model: 'mock-model', tools: [tool('f')] })
    const renamed = await assistants.update(assistant.id, { name: 'Miller' })
    assert.deepEqual(await assistants.retrieve(assistant.id), renamed)
    assert.equal((await assistants.list({ limit: 1 })).data[0]?.id, assistant.id)
    const thread = await threads.create({ metadata: { a: 'b' } })
    const key = { thread_id: thread.id }
    await threads.messages.create(thread.id, { role: 'user', content: 'Hello?' })

    mock.next(text('Hello.'))
    const polled = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id })
    assert.equal(polled.status, 'completed')
    assert.equal(textOf((await threads.messages.list(thread.id)).data[0]), 'Hello.')
    assert.equal((await threads.runs.steps.list(polled.id, key)).data.length, 1)

    mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]))
    const asking = await threads.runs.stream(thread.id, { assistant_id: assistant.id }).finalRun()
    assert.equal(asking.status, 'requires_action')
    mock.next(text('So ', 'it is.'))
    const answers = threads.runs.submitToolOutputsStream(asking.id, {
      ...key,
      tool_outputs: [{ tool_call_id: 'call_a', output: 'yes' }],
    })
    let heard = ''
    answers.on('textDelta', ({ value }) => (heard += value))
    assert.equal((await answers.finalRun()).status, 'completed')
    assert.equal(heard, 'So it is.')

    const held = gate()
    mock.next(text('Never', held.opened))
    const run = await threads.runs.create(thread.id, { assistant_id: assistant.id })
    await inProgress({ ...server, client }, thread.id, run.id)
    await threads.runs.cancel(run.id, key)
    assert.equal((await threads.runs.poll(run.id, key)).status, 'cancelled')
    held.open()

    const file = await client.files.create({ file: new File(['corn'], 'corn.txt'), purpose: 'assistants' })
    assert.equal(await (await client.files.content(file.id)).text(), 'corn')
    assert.equal((await client.files.list({ purpose: 'assistants' })).data[0]?.id, file.id)
    assert.equal((await client.files.delete(file.id)).deleted, true)
    const whole = await threads.createAndRunPoll({ assistant_id: assistant.id, thread: {} })
    assert.equal(whole.status, 'completed')
    await threads.delete(thread.id)
    await assistants.delete(assistant.id)
    const gone = { status: 404, message: `404 No thread found with id '${thread.id}'.` }
    await assert.rejects(threads.retrieve(thread.id), gone)

    for (const { url, headers } of sent) {
      assert.match(new URL(url).pathname, /^\/openai\//)
      if (name.endsWith('AzureOpenAI')) {
        assert.equal(new URL(url).searchParams.get('api-version'), apiVersion)
        assert.equal(headers.get('api-key'), 'azure-key')
      }
    }
  })
}

test('what one mount made, the other and /v1 show', async () => {
  const azure = new AzureOpenAI(settings())
  const { id } = await azure.beta.threads.create({ metadata: { a: 'b' } })
  assert.deepEqual((await server.client.beta.threads.retrieve(id)).metadata, { a: 'b' })
  for (const path of [
    `/openai/threads/${id}`,
    `/openai/v1/threads/${id}`,
    `/openai/threads/${id}?api-version=x`,
  ]) {
    // Nothing but the path tells these what they are asked by.
    const answer = await fetch(server.app.url + path)
    assert.deepEqual(((await answer.json()) as { metadata: object }).metadata, { a: 'b' }, path)
  }
  const unknown = await fetch(`${server.app.url}/openai/nowhere?api-version=x&key=secret`)
  const { error } = (await unknown.json()) as { error: { message: string } }
  assert.equal(error.message, 'Unknown request URL: GET /openai/nowhere.')
})
