import assert from 'node:assert/strict'
import OpenAI from 'openai'
import OpenAI6 from 'openai-6'
import { AssistantStream } from 'openai/lib/AssistantStream'
import { check, type Check } from './check.ts'
import { outputsOf, textOf, times, tool, type Run, type Target } from './target.ts'

// The helpers of the official Node SDK, unmodified, in both majors that are in use.

const clients: Record<string, (t: Target) => OpenAI> = {
  // The types of both are the same for what is used here.
  sdk6: (t) => new OpenAI6({ ...t.settings, baseURL: `${t.url}/v1` }) as unknown as OpenAI,
  sdk7: (t) => new OpenAI({ ...t.settings, baseURL: `${t.url}/v1` }),
}

type Stream = ReturnType<OpenAI['beta']['threads']['runs']['stream']>

/** What the helper derives from the events, in order. */
interface Derived {
  names: string[]
  text: string
  arguments: string[]
}

function derived(stream: Stream): Derived {
  const seen: Derived = { names: [], text: '', arguments: [] }
  const note = (name: string) => {
    if (seen.names.at(-1) !== name) seen.names.push(name)
  }
  stream
    .on('runStepCreated', () => note('runStepCreated'))
    .on('runStepDone', () => note('runStepDone'))
    .on('messageCreated', () => note('messageCreated'))
    .on('messageDone', () => note('messageDone'))
    .on('textCreated', () => note('textCreated'))
    .on('textDone', () => note('textDone'))
    .on('toolCallCreated', () => note('toolCallCreated'))
    .on('toolCallDone', (call) => {
      note('toolCallDone')
      if (call.type === 'function') seen.arguments.push(call.function.arguments)
    })
    .on('textDelta', ({ value }) => {
      note('textDelta')
      seen.text += value
    })
  return seen
}

const ofText = [
  'runStepCreated',
  'messageCreated',
  'textCreated',
  'textDelta',
  'textDone',
  'messageDone',
  'runStepDone',
]
const ofCalls = ['runStepCreated', 'toolCallCreated', 'toolCallDone', 'toolCallCreated', 'toolCallDone']

/** The outcome of a flow whose model was told "Hi.". */
async function assertHeard(t: Target, run: Run): Promise<void> {
  assert.equal(run.status, 'completed')
  assert.equal(textOf((await t.messages(run.thread_id)).at(-1)), 'Heard: Hi.')
}

const thread = { messages: [{ role: 'user' as const, content: 'Hi.' }] }
const helper = (name: string) => `SDK ${name}`

function polls(sdk: string, make: (t: Target) => OpenAI): Check[] {
  return [
    check(`${sdk}.runs.create-and-poll`, helper('runs.createAndPoll'), async (t) => {
      const ids = await t.ready('Hi.')
      const since = performance.now()
      await assertHeard(
        t,
        await make(t).beta.threads.runs.createAndPoll(ids.thread, { assistant_id: ids.assistant }),
      )
      assert.ok(performance.now() - since < 4_500, 'sooner than the SDK looks again by itself')
    }),
    check(`${sdk}.threads.create-and-run-poll`, helper('threads.createAndRunPoll'), async (t) => {
      const { id } = await t.assistant()
      await assertHeard(t, await make(t).beta.threads.createAndRunPoll({ assistant_id: id, thread }))
    }),
    check(`${sdk}.runs.poll`, helper('runs.poll'), async (t) => {
      const statuses = ['Hi.', '#status 500', '#length', '#calls f'].map(async (text) => {
        const run = await t.created(text, {}, { tools: [tool('f')] })
        return (await make(t).beta.threads.runs.poll(run.id, { thread_id: run.thread_id })).status
      })
      assert.deepEqual(await Promise.all(statuses), ['completed', 'failed', 'incomplete', 'requires_action'])
    }),
    check(`${sdk}.runs.submit-tool-outputs-and-poll`, helper('runs.submitToolOutputsAndPoll'), async (t) => {
      const asking = await t.asking('f', 'g')
      const run = await make(t).beta.threads.runs.submitToolOutputsAndPoll(asking.id, {
        thread_id: asking.thread_id,
        tool_outputs: outputsOf(asking),
      })
      assert.equal(run.status, 'completed')
    }),
    check(`${sdk}.messages.auto-paging`, [helper('messages.list auto-paging'), '§3 SDK needs'], async (t) => {
      const texts = times(5, (n) => `Message ${n}.`)
      const { id } = await t.thread(...texts)
      const seen: string[] = []
      const list = make(t).beta.threads.messages.list(id, { limit: 2, order: 'asc' })
      for await (const message of list) seen.push(textOf(message))
      assert.deepEqual(seen, texts)
    }),
    check(
      `${sdk}.steps.list-with-include`,
      [helper('steps.list with include'), '§1 Arrays in query'],
      async (t) => {
        const run = await t.ran('Hi.')
        const page = await make(t).beta.threads.runs.steps.list(run.id, {
          thread_id: run.thread_id,
          include: ['step_details.tool_calls[*].file_search.results[*].content'],
        })
        assert.equal(page.data.length, 1)
      },
    ),
  ]
}

function streams(sdk: string, make: (t: Target) => OpenAI): Check[] {
  return [
    check(`${sdk}.runs.stream`, helper('runs.stream'), async (t) => {
      const ids = await t.ready('Hi.')
      const stream = make(t).beta.threads.runs.stream(ids.thread, { assistant_id: ids.assistant })
      const seen = derived(stream)
      await assertHeard(t, await stream.finalRun())
      assert.deepEqual([seen.names, seen.text], [ofText, 'Heard: Hi.'])
      assert.deepEqual((await stream.finalMessages()).map(textOf), ['Heard: Hi.'])
      assert.equal((await stream.finalRunSteps()).length, 1)
    }),
    check(`${sdk}.runs.create-and-stream`, helper('runs.createAndStream'), async (t) => {
      const ids = await t.ready('Hi.')
      const stream = make(t).beta.threads.runs.createAndStream(ids.thread, { assistant_id: ids.assistant })
      await assertHeard(t, await stream.finalRun())
    }),
    check(`${sdk}.threads.create-and-run-stream`, helper('threads.createAndRunStream'), async (t) => {
      const { id } = await t.assistant()
      const stream = make(t).beta.threads.createAndRunStream({ assistant_id: id, thread })
      const first = Promise.withResolvers<string>()
      stream.on('event', ({ event }) => first.resolve(event))
      await assertHeard(t, await stream.finalRun())
      assert.equal(await first.promise, 'thread.created')
    }),
    check(`${sdk}.runs.stream-of-calls`, helper('runs.stream'), async (t) => {
      const ids = await t.ready('#calls f g', { tools: [tool('f'), tool('g')] })
      const stream = make(t).beta.threads.runs.stream(ids.thread, { assistant_id: ids.assistant })
      const seen = derived(stream)
      const run = await stream.finalRun()
      assert.deepEqual([run.status, seen.names], ['requires_action', ofCalls])
      assert.deepEqual(seen.arguments, ['{"n":1}', '{"n":1}'])
    }),
    check(`${sdk}.runs.submit-tool-outputs-stream`, helper('runs.submitToolOutputsStream'), async (t) => {
      const asking = await t.asking('f')
      const stream = make(t).beta.threads.runs.submitToolOutputsStream(asking.id, {
        thread_id: asking.thread_id,
        tool_outputs: outputsOf(asking),
      })
      let text = ''
      stream.on('textDelta', ({ value }) => (text += value))
      assert.equal((await stream.finalRun()).status, 'completed')
      assert.equal(text, 'Heard: #calls f')
    }),
    check(`${sdk}.runs.stream-that-fails`, helper('runs.stream'), async (t) => {
      const ids = await t.ready('#cut')
      const run = await make(t)
        .beta.threads.runs.stream(ids.thread, { assistant_id: ids.assistant })
        .finalRun()
      assert.deepEqual([run.status, run.last_error?.code], ['failed', 'server_error'])
    }),
    check(`${sdk}.runs.create-with-stream-true`, helper('create with stream: true'), async (t) => {
      const ids = await t.ready('Hi.')
      const body = { assistant_id: ids.assistant, stream: true } as const
      const names: string[] = []
      const stream = await make(t).beta.threads.runs.create(ids.thread, body)
      for await (const { event } of stream) names.push(event)
      assert.deepEqual([names[0], names.at(-1)], ['thread.run.created', 'thread.run.completed'])
    }),
  ]
}

export const sdkChecks: Check[] = [
  ...Object.entries(clients).flatMap(([sdk, make]) => [...polls(sdk, make), ...streams(sdk, make)]),
  check('sdk7.from-readable-stream', helper('AssistantStream.fromReadableStream'), async (t) => {
    const ids = await t.ready('Hi.')
    const body = { assistant_id: ids.assistant, stream: true } as const
    const stream = await t.client.beta.threads.runs.create(ids.thread, body)
    const relayed = AssistantStream.fromReadableStream(stream.toReadableStream())
    const seen = derived(relayed)
    await assertHeard(t, await relayed.finalRun())
    assert.equal(seen.text, 'Heard: Hi.')
  }),
]
