import assert from 'node:assert/strict'
import { inProgress, startServer, tool, type TestServer } from '../support/server.ts'
import type { Substitutes } from './example.ts'

// What the examples of the pages need: threads, runs in the right status, files. It is made by the official SDK, in
// the other dialect.

/** A server with the demo model, and for each method what its example needs. */
export interface World {
  server: TestServer
  substitutes(method: string): Promise<Substitutes>
}

/** Starts the server, with settings of its own if given. */
export async function startWorld(env: Record<string, string> = {}): Promise<World> {
  const server = await startServer({ demo: true, env })
  const { beta } = server.client
  const assistant_id = (await beta.assistants.create({ model: 'demo', name: 'Demo', tools: [tool('f')] })).id
  const talk = async (content: string) =>
    (await beta.threads.create({ messages: [{ role: 'user', content }] })).id
  const requests = {
    CreateRunRequest: `'${assistant_id}', ''`,
    CreateThreadRunRequest: `'${assistant_id}', { id: 'thread_new', created_at: 0 }, 'demo', ''`,
    CreateAssistantRequest: `'demo', 'Example', 'Be brief.'`,
    CreateMessageRequest: `'user', 'Hello!'`,
  }
  const made: Record<string, () => Promise<Substitutes>> = {
    cancelRun: async () => {
      const threadId = await talk('/slow 60')
      const { id: runId } = await beta.threads.runs.create(threadId, { assistant_id })
      await inProgress(server, threadId, runId)
      return { ids: { threadId, runId }, requests }
    },
    submitToolOutputsToRun: async () => {
      const threadId = await talk('/call f {}')
      const asked = await beta.threads.runs.createAndPoll(threadId, { assistant_id })
      const [call] = asked.required_action?.submit_tool_outputs.tool_calls ?? assert.fail(asked.status)
      const SubmitToolOutputsToRunRequest = `[{ tool_call_id: '${call?.id}', output: 'sunny' }]`
      return { ids: { threadId, runId: asked.id }, requests: { SubmitToolOutputsToRunRequest } }
    },
    listRuns: async () => {
      const threadId = await talk('Hello!')
      const ids: string[] = []
      for (let count = 0; count < 3; count += 1)
        ids.push((await beta.threads.runs.createAndPoll(threadId, { assistant_id })).id)
      return { ids: { threadId, after: ids[0] ?? '', before: ids[2] ?? '' }, requests }
    },
    listRunSteps: async () => {
      const { threadId, runId } = await finished('/call f {}')
      const steps = await beta.threads.runs.steps.list(runId, { thread_id: threadId, order: 'asc' })
      const [after = '', before = ''] = steps.data.map(({ id }) => id)
      return { ids: { threadId, runId, after, before }, requests }
    },
    retrieveRunStep: async () => {
      const { threadId, runId } = await finished('Hello!')
      const [step] = (await beta.threads.runs.steps.list(runId, { thread_id: threadId })).data
      return { ids: { threadId, runId, stepId: step?.id ?? '' }, requests }
    },
    listAssistants: async () => {
      const ids: string[] = []
      for (let count = 0; count < 3; count += 1)
        ids.push((await beta.assistants.create({ model: 'demo' })).id)
      return { ids: { after: ids[0] ?? '', before: ids[2] ?? '' }, requests }
    },
    listMessages: async () => {
      const threadId = await talk('one')
      const later = ['two', 'three'].map((content) => ({ role: 'user' as const, content }))
      for (const message of later) await beta.threads.messages.create(threadId, message)
      const { data } = await beta.threads.messages.list(threadId, { order: 'asc' })
      return { ids: { threadId, after: data[0]?.id ?? '', before: data[2]?.id ?? '' }, requests }
    },
  }

  const fileIds = async (count: number) => {
    const ids: string[] = []
    for (let at = 0; at < count; at += 1) {
      const file = new File([`File ${at}.`], `file-${at}.txt`)
      ids.push((await server.client.files.create({ file, purpose: 'assistants' })).id)
    }
    return ids
  }
  const withFiles = async () => {
    const ids = await fileIds(3)
    const { id } = await beta.assistants.create({
      model: 'demo',
      tools: [{ type: 'code_interpreter' }],
      tool_resources: { code_interpreter: { file_ids: ids } },
    })
    const [after = '', fileId = '', before = ''] = ids
    return { ids: { assistantId: id, after, fileId, before }, requests }
  }
  made['listAssistantFiles'] = withFiles
  made['retrieveAssistantFile'] = withFiles
  made['deleteAssistantFile'] = withFiles
  made['createAssistantFile'] = async () => {
    const { ids } = await withFiles()
    return { ids, requests: { CreateAssistantFileRequest: `'${(await fileIds(1))[0]}'` } }
  }
  made['retrieveMessageFile'] = async () => {
    const threadId = await talk('Hello!')
    const [fileId = ''] = await fileIds(1)
    const attachments = [{ file_id: fileId, tools: [{ type: 'code_interpreter' as const }] }]
    const message = await beta.threads.messages.create(threadId, {
      role: 'user',
      content: 'See.',
      attachments,
    })
    return { ids: { threadId, messageId: message.id, fileId }, requests }
  }

  /** A run that has ended; if it needed an output, it got one. */
  async function finished(content: string) {
    const thread_id = await talk(content)
    let run = await beta.threads.runs.createAndPoll(thread_id, { assistant_id })
    const tool_outputs = run.required_action?.submit_tool_outputs.tool_calls.map(({ id }) => ({
      tool_call_id: id,
      output: 'sunny',
    }))
    if (tool_outputs)
      run = await beta.threads.runs.submitToolOutputsAndPoll(run.id, { thread_id, tool_outputs })
    return { threadId: thread_id, runId: run.id }
  }

  /** What any other method may need. */
  async function usual(): Promise<Substitutes> {
    const { threadId, runId } = await finished('Hello!')
    const [message] = (await beta.threads.messages.list(threadId)).data
    const assistantId = (await beta.assistants.create({ model: 'demo', name: 'To be changed' })).id
    return { ids: { threadId, runId, messageId: message?.id ?? '', assistantId }, requests }
  }

  return {
    server,
    substitutes: (method) => {
      const verb = Object.keys(made).find((name) => new RegExp(`^${name}V1`).test(method))
      return (verb && made[verb] ? made[verb] : usual)()
    },
  }
}
