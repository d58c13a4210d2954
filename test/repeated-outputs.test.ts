import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { hang, text, toolCalls } from './support/mock-model.ts'
import { asMemgpt } from './support/memgpt.ts'
import { postStream, readEvents } from './support/run-events.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// Outputs that are submitted again because their first answer was lost: the run has them, and the client is told so.

const server = await startServer()
const { client, mock } = server
const { runs } = client.beta.threads

const calls = ['call_a', 'call_b'].map((id) => ({ id, name: 'f', arguments: '{}' }))
const outputs = [
  { tool_call_id: 'call_a', output: '1' },
  { tool_call_id: 'call_b', output: '"thread.run.requires_action"' },
]
const refused = (error: unknown) =>
  error instanceof OpenAI.BadRequestError &&
  /do not accept tool outputs|Expected tool outputs/.test(error.message)

/** A run that waits for `calls`; the turn behind them hangs. */
async function asking(): Promise<{ run: string; thread_id: string; path: string }> {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls(calls, { text: 'Let me look.' }))
  const run = await runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'requires_action')
  return { run: run.id, thread_id: thread, path: `/v1/threads/${thread}/runs/${run.id}/submit_tool_outputs` }
}

const submit = ({ run, thread_id }: { run: string; thread_id: string }, tool_outputs = outputs) =>
  runs.submitToolOutputs(run, { thread_id, tool_outputs })

test('the same outputs once more return the run, while it works on them and when it has ended, in any order', async () => {
  const asked = await asking()
  mock.next(hang())
  await submit(asked)
  await mock.received(1)
  const again = await submit(asked, outputs.toReversed())
  assert.equal(again.id, asked.run)
  assert.ok(['queued', 'in_progress'].includes(again.status), again.status)
  await runs.cancel(asked.run, asked)
  await runs.poll(asked.run, asked)
  assert.equal((await submit(asked)).status, 'cancelled')
  assert.equal(mock.requests.length, 2)
  const steps = await runs.steps.list(asked.run, asked)
  assert.equal(steps.data.filter(({ type }) => type === 'tool_calls').length, 1)
})

test('other outputs for calls that were answered are refused, and so is a part of them, or none', async () => {
  const asked = await asking()
  mock.next(text('Done.'))
  await submit(asked)
  await runs.poll(asked.run, asked)
  const [a, b] = outputs
  assert.ok(a && b)
  for (const other of [
    [a, { ...b, output: '3' }],
    [a],
    [a, a],
    [],
    [a, b, { tool_call_id: 'call_c', output: '' }],
  ])
    await assert.rejects(submit(asked, other), refused)
  assert.equal((await submit(asked)).status, 'completed')
})

test('outputs of an earlier round are refused when the run has asked again, waiting or answered', async () => {
  const asked = await asking()
  mock.next(toolCalls([{ id: 'call_c', name: 'f', arguments: '{}' }]), text('Done.'))
  await submit(asked)
  assert.equal((await runs.poll(asked.run, asked)).status, 'requires_action')
  await assert.rejects(submit(asked), refused)
  const later = [{ tool_call_id: 'call_c', output: '' }]
  await submit(asked, later)
  await runs.poll(asked.run, asked)
  await assert.rejects(submit(asked), refused)
  assert.equal((await submit(asked, later)).status, 'completed')
})

test('outputs of calls that were cancelled before an answer came are refused', async () => {
  const asked = await asking()
  await runs.cancel(asked.run, asked)
  await assert.rejects(submit(asked), refused)
})

test('of 10 identical submits at once each returns the run, and the model is called once', async () => {
  const asked = await asking()
  mock.next(text('Done.'))
  const answers = await Promise.all(Array.from({ length: 10 }, () => submit(asked)))
  assert.deepEqual(new Set(answers.map(({ id }) => id)), new Set([asked.run]))
  assert.equal((await runs.poll(asked.run, asked)).status, 'completed')
  assert.equal(mock.requests.length, 2)
})

test('in the memgpt dialect the same outputs once more return the run too', async () => {
  const asked = await asking()
  mock.next(text('Done.'))
  await submit(asked)
  await runs.poll(asked.run, asked)
  const again = async (tool_outputs: object[]) => {
    const headers = { 'content-type': 'application/json', ...asMemgpt }
    return server.fetch(asked.path, {
      method: 'POST',
      headers,
      body: JSON.stringify({ tools_outputs: tool_outputs }),
    })
  }
  const shown = outputs.map(({ tool_call_id, output }) => ({ tool_call_id, output }))
  const answer = await again(shown)
  assert.equal(answer.status, 200, await answer.clone().text())
  assert.equal(((await answer.json()) as { id: string }).id, asked.run)
  assert.equal((await again(shown.slice(1))).status, 400)
})

test('a streamed submit that comes again streams the same events, ids and all, also when the run has ended', async () => {
  const asked = await asking()
  mock.next(text('Well', ' then', '.'))
  const body = { tool_outputs: outputs }
  const [one, two] = await Promise.all([
    readEvents(await postStream(server, asked.path, body)),
    readEvents(await postStream(server, asked.path, body)),
  ])
  assert.deepEqual(two, one)
  assert.ok(one.some(({ event }) => event === 'thread.run.completed'))
  assert.deepEqual(await readEvents(await postStream(server, asked.path, body)), one)
})

test('a repeated submit with a key of its own is answered once, as a stream or not', async () => {
  const asked = await asking()
  mock.next(text('Done.'))
  await submit(asked)
  await runs.poll(asked.run, asked)
  for (const stream of [false, true]) {
    const ask = async () => {
      const response = await server.fetch(asked.path, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'openai-beta': 'assistants=v2',
          'idempotency-key': `${stream}`,
        },
        body: JSON.stringify({ tool_outputs: outputs, stream }),
      })
      return { text: await response.text(), replayed: response.headers.get('idempotent-replayed') }
    }
    const first = await ask()
    const second = await ask()
    assert.deepEqual([first.replayed, second.replayed], [null, 'true'])
    assert.equal(second.text, first.text)
    assert.match(first.text, /completed/)
  }
})
