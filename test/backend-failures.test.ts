import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  chunks,
  cut,
  delta,
  hang,
  raw,
  stall,
  status,
  text,
  toolCalls,
  type Answer,
} from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

const timeouts = { firstByteMs: 300, betweenBytesMs: 300 }
const server = await startServer({ tuning: { modelTimeouts: timeouts } })
const { client, mock } = server

interface Failure {
  title: string
  answer: Answer
  code: 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt'
  /** What last_error says. */
  says: RegExp
  /** What is left of the answer, if some was shown. */
  partial?: string
}

const failures: Failure[] = [
  {
    title: 'HTTP 400',
    answer: status(400, { error: { message: 'context too long' } }),
    code: 'invalid_prompt',
    says: /context too long/,
  },
  {
    title: 'HTTP 401',
    answer: status(401, { error: { message: 'bad key sk-test-of-the-backend' } }),
    code: 'server_error',
    says: /OPENAI_API_KEY/,
  },
  {
    title: 'HTTP 404',
    answer: status(404, { error: { message: 'no such model' } }),
    code: 'invalid_prompt',
    says: /no such model/,
  },
  {
    title: 'HTTP 429',
    answer: status(429, { error: { message: 'slow down' } }),
    code: 'rate_limit_exceeded',
    says: /slow down/,
  },
  {
    title: 'HTTP 500',
    answer: status(500, { error: { message: 'broken' } }),
    code: 'server_error',
    says: /500/,
  },
  {
    title: 'no first byte in time',
    answer: hang(),
    code: 'server_error',
    says: /did not begin to answer in time/,
  },
  {
    title: 'silence in the middle',
    answer: stall('Half'),
    code: 'server_error',
    says: /sent nothing more in time/,
    partial: 'Half',
  },
  {
    title: 'a connection cut before the answer',
    answer: cut(),
    code: 'server_error',
    says: /cut before its answer was complete/,
  },
  {
    title: 'a connection cut in mid-stream',
    answer: cut('Half a'),
    code: 'server_error',
    says: /cut before its answer was complete|ended in the middle/,
    partial: 'Half a',
  },
  {
    title: 'a malformed chunk',
    answer: raw('data: {"choices":[{"del\n\n'),
    code: 'server_error',
    says: /malformed chunk/,
  },
  {
    title: 'an empty stream',
    answer: raw('data: [DONE]\n\n'),
    code: 'server_error',
    says: /sent no answer/,
  },
  {
    title: 'an error in the stream',
    answer: raw('data: {"error":{"message":"overloaded"}}\n\n'),
    code: 'server_error',
    says: /overloaded/,
  },
  {
    title: 'finish_reason content_filter',
    answer: text('Well', { finish: 'content_filter' }),
    code: 'invalid_prompt',
    says: /content filter/,
    partial: 'Well',
  },
]

for (const { title, answer, code, says, partial } of failures) {
  test(`${title} ends in a failed run with a helpful last_error and an unlocked thread`, async () => {
    const { assistant, thread } = await readyToRun(server)
    mock.reset()
    mock.next(answer)
    const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
    assert.equal(run.status, 'failed')
    assert.equal(run.last_error?.code, code)
    assert.match(run.last_error?.message ?? '', says)
    assert.doesNotMatch(run.last_error?.message ?? '', /sk-test-of-the-backend/)
    assert.ok(run.failed_at)
    assert.equal(run.expires_at, null)
    const [newest] = (await client.beta.threads.messages.list(thread)).data
    const steps = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread })).data
    if (partial === undefined) {
      assert.equal(newest?.role, 'user')
      assert.equal(steps.length, 0)
    } else {
      assert.equal(textOf(newest), partial)
      assert.equal(newest?.status, 'incomplete')
      const reason = title.includes('content_filter') ? 'content_filter' : 'run_failed'
      assert.deepEqual(newest?.incomplete_details, { reason })
      assert.equal(steps[0]?.status, 'failed')
      assert.ok(steps[0]?.last_error)
    }
    await client.beta.threads.messages.create(thread, { role: 'user', content: 'Again.' })
    const again = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
    assert.equal(again.status, 'completed')
  })
}

test('a refused connection ends in a failed run that says where it could not connect', async () => {
  const lonely = await startServer()
  const { assistant, thread } = await readyToRun(lonely)
  await lonely.mock.close()
  const run = await lonely.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'failed')
  assert.equal(run.last_error?.code, 'server_error')
  assert.match(run.last_error?.message ?? '', /refused the connection: check that it runs/)
})

test('finish_reason length ends incomplete, without a last_error', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('Long', { finish: 'length' }))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'incomplete')
  assert.deepEqual(run.incomplete_details, { reason: 'max_completion_tokens' })
  assert.equal(run.last_error, null)
  assert.ok(run.completed_at)
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.deepEqual(message?.incomplete_details, { reason: 'max_tokens' })
})

test('a failure after tool outputs keeps the finished turn and fails only the last', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), status(500))
  const asked = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const run = await client.beta.threads.runs.submitToolOutputsAndPoll(asked.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: '1' }],
  })
  assert.equal(run.status, 'failed')
  const steps = (await client.beta.threads.runs.steps.list(run.id, { thread_id: thread })).data
  assert.deepEqual(
    steps.map((step) => [step.type, step.status]),
    [['tool_calls', 'completed']],
  )
})

test('a backend that refuses stream_options is asked once without, and the usage is estimated', async () => {
  const { assistant, thread } = await readyToRun(server, { model: 'picky' })
  mock.reset()
  mock.when(
    (body) => body.stream_options !== undefined,
    status(400, { error: { message: "Unknown parameter: 'stream_options'." } }),
  )
  mock.next(text('Fine.', { usage: null }))
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.equal(mock.requests.length, 2)
  assert.ok((run.usage?.prompt_tokens ?? 0) > 0)
  assert.ok((run.usage?.completion_tokens ?? 0) > 0)
})

test('text with characters that Postgres cannot hold is stored readably', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(
    chunks([delta({ content: 'a\u0000b' }), delta({ content: ' \ud83d' }), delta({ content: '\ude00' })], {
      finish: 'stop',
    }),
  )
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  const [message] = (await client.beta.threads.messages.list(thread)).data
  assert.equal(textOf(message), 'a\ufffdb \u{1f600}')
})

test('GET /v1/models passes the list of the backend on, with the demo model', async () => {
  const models = await client.models.list()
  assert.deepEqual(
    models.data.map((model) => model.id),
    ['mock-model', 'demo'],
  )
})

test('MODEL_ALIASES serves an app that asks for one model with another', async () => {
  const aliased = await startServer({ env: { MODEL_ALIASES: 'gpt-4o=llama3.2' } })
  const { assistant, thread } = await readyToRun(aliased, { model: 'gpt-4o' })
  const run = await aliased.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'completed')
  assert.equal(run.model, 'gpt-4o')
  assert.equal(aliased.mock.requests[0]?.body.model, 'llama3.2')
})
