import assert from 'node:assert/strict'
import { AssistantsClient } from '@azure/openai-assistants'
import OpenAI, { AzureOpenAI } from 'openai'
import { check, shows, type Check } from './check.ts'
import { outputsOf, textOf, tool, type Target } from './target.ts'

// Clients of Azure OpenAI: the official class, its newer base path, and the client of the API's first version.

const apiVersion = '2025-04-01-preview'

const clients: Record<string, (t: Target) => OpenAI> = {
  'azure-class': (t) => new AzureOpenAI({ ...t.settings, endpoint: t.url, apiVersion }),
  'openai-v1': (t) => new OpenAI({ ...t.settings, baseURL: `${t.url}/openai/v1` }),
}
const rowOf = (name: string) => (name === 'azure-class' ? 'Azure AzureOpenAI' : 'Azure mounts')

const first = (t: Target) =>
  new AssistantsClient(t.url, { key: t.options.apiKey }, { allowInsecureConnection: true })

function checksOf(name: string, make: (t: Target) => OpenAI): Check[] {
  return [
    check(`azure.${name}.resources`, rowOf(name), async (t) => {
      const { assistants, threads } = make(t).beta
      const { id } = await assistants.create({ model: t.options.modelName, name: 'Miller' })
      shows(await assistants.retrieve(id), { name: 'Miller' })
      shows(await assistants.update(id, { name: 'Baker' }), { name: 'Baker' })
      assert.ok((await assistants.list({ limit: 1 })).data.length === 1)
      const thread = await threads.create({ metadata: { a: 'b' } })
      const message = await threads.messages.create(thread.id, { role: 'user', content: 'Hi.' })
      assert.deepEqual((await threads.messages.list(thread.id)).data, [message])
      // What one mount made, the other shows.
      assert.deepEqual(await t.client.beta.threads.retrieve(thread.id), thread)
      shows(await threads.delete(thread.id), { deleted: true })
      shows(await assistants.delete(id), { deleted: true })
      await assert.rejects(threads.retrieve(thread.id), { status: 404, type: 'invalid_request_error' })
    }),
    check(`azure.${name}.runs`, rowOf(name), async (t) => {
      const { threads } = make(t).beta
      const { assistant, thread } = await t.ready('#calls f', { tools: [tool('f')] })
      const asking = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
      assert.equal(asking.status, 'requires_action')
      const body = { thread_id: thread, tool_outputs: outputsOf(asking) }
      const run = await threads.runs.submitToolOutputsAndPoll(asking.id, body)
      assert.equal(run.status, 'completed')
      assert.equal((await threads.runs.steps.list(run.id, { thread_id: thread })).data.length, 2)
      assert.equal((await threads.runs.list(thread)).data[0]?.id, run.id)
    }),
    check(`azure.${name}.streams`, rowOf(name), async (t) => {
      const { threads } = make(t).beta
      const { assistant, thread } = await t.ready('Hi.')
      const stream = threads.runs.stream(thread, { assistant_id: assistant })
      assert.equal(textOf((await stream.finalMessages())[0]), 'Heard: Hi.')
      assert.equal((await stream.finalRun()).status, 'completed')
    }),
    check(`azure.${name}.files`, rowOf(name), async (t) => {
      const { files } = make(t)
      const { id } = await files.create({ file: new File(['Corn.'], 'corn.txt'), purpose: 'assistants' })
      assert.equal(await (await files.content(id)).text(), 'Corn.')
      shows(await files.delete(id), { deleted: true })
    }),
  ]
}

export const azureChecks: Check[] = [
  ...Object.entries(clients).flatMap(([name, make]) => checksOf(name, make)),
  check('azure.by-the-path-alone', 'Azure mounts', async (t) => {
    const { id } = await t.thread()
    const { json } = await t.raw<{ object: string }>('GET', `/openai/threads/${id}/runs`, undefined, {})
    assert.equal(json.object, 'list')
  }),
  check('azure.first-version.assistants', 'Azure first version', async (t) => {
    const client = first(t)
    const { id: file } = await t.file()
    const made = await client.createAssistant({
      model: t.options.modelName,
      name: 'Miller',
      tools: [{ type: 'retrieval' }, { type: 'code_interpreter' }],
      fileIds: [file],
    })
    assert.deepEqual(
      [made.tools, made.fileIds],
      [[{ type: 'retrieval' }, { type: 'code_interpreter' }], [file]],
    )
    assert.deepEqual(await client.getAssistant(made.id), made)
    assert.deepEqual(await client.deleteAssistant(made.id), { id: made.id, deleted: true })
  }),
  check('azure.first-version.runs', 'Azure first version', async (t) => {
    const client = first(t)
    const parameters = { type: 'object', properties: {} }
    const { id: assistantId } = await client.createAssistant({
      model: t.options.modelName,
      tools: [{ type: 'function', function: { name: 'f', description: 'Finds.', parameters } }],
    })
    const thread = await client.createThread()
    await client.createMessage(thread.id, 'user', '#calls f')
    const { id } = await client.createRun(thread.id, { assistantId })
    const stopped = () => t.stopped({ id, thread_id: thread.id } as OpenAI.Beta.Threads.Run)
    const toolOutputs = outputsOf(await stopped()).map(({ tool_call_id, output }) => ({
      toolCallId: tool_call_id,
      output,
    }))
    assert.equal((await client.getRun(thread.id, id)).status, 'requires_action')
    await client.submitToolOutputsToRun(thread.id, id, toolOutputs)
    await stopped()
    assert.equal((await client.getRun(thread.id, id)).status, 'completed')
    assert.equal((await client.listRunSteps(thread.id, id)).data.length, 2)
    assert.equal((await client.listMessages(thread.id)).data.length, 2)
  }),
  check('azure.first-version.files', 'Azure first version', async (t) => {
    const client = first(t)
    const [file, { id }] = await Promise.all([
      t.file(),
      client.createAssistant({ model: t.options.modelName }),
    ])
    await client.createAssistantFile(id, file.id)
    assert.deepEqual(
      (await client.listAssistantFiles(id)).data.map((one) => one.id),
      [file.id],
    )
    const { id: thread } = await client.createThread()
    const message = await client.createMessage(thread, 'user', 'Read.', { fileIds: [file.id] })
    assert.deepEqual(message.fileIds, [file.id])
    assert.deepEqual(await client.deleteAssistantFile(id, file.id), { id: file.id, deleted: true })
  }),
]
