import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { scrape } from './support/exposition.ts'
import { gate, status, text, toolCalls } from './support/mock-model.ts'
import { anotherNode, hold, oneNode } from './support/nodes.ts'
import { startReceiver, type ReceivedSpan } from './support/otlp-receiver.ts'
import { until } from './support/npm-start.ts'
import { inProgress, readyToRun, startServer, tool, type TestServer } from './support/server.ts'

// Runs as traces, as a collector gets them.

const receiver = await startReceiver()
const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SERVICE_NAME: 'mill' }
const soon = { traceTiming: { delay: 50 } }
const traceId = (n: number) => n.toString(16).padStart(32, 'a')
const spanId = 'b'.repeat(16)
const under = (trace: string, flags = '01') => ({
  headers: { traceparent: `00-${trace}-${spanId}-${flags}` },
})

function node(t: TestContext, more: Record<string, string> = {}): Promise<TestServer> {
  return oneNode(t, { env: { ...env, ...more }, tuning: soon })
}

/** The spans of one name, or of an operation, in the order of their beginnings. */
function named(spans: ReceivedSpan[], name: string): ReceivedSpan[] {
  const found = spans.filter(
    (span) => span.name === name || span.attributes['gen_ai.operation.name'] === name,
  )
  return found.toSorted((a, b) => Number(a.start - b.start))
}

test('a run with a tool is one trace below the request that created it, by the GenAI conventions', async (t) => {
  const server = await node(t)
  const { assistant, thread } = await readyToRun(server, {
    name: 'Miller',
    tools: [tool('grind')],
    temperature: 0.5,
  })
  const trace = traceId(1)
  const usage = { prompt_tokens: 30, completion_tokens: 4, total_tokens: 34 }
  const call = { id: 'call_a', name: 'grind', arguments: '{}' }
  server.mock.next(toolCalls([call], { usage }), text('Done.', { usage }))
  const { runs } = server.client.beta.threads
  const asked = await runs.create(thread, { assistant_id: assistant }, under(trace))
  await runs.poll(asked.id, { thread_id: thread })
  const tool_outputs = [{ tool_call_id: 'call_a', output: 'flour' }]
  const ended = await runs.submitToolOutputsAndPoll(asked.id, { thread_id: thread, tool_outputs })
  assert.equal(ended.status, 'completed')

  const spans = await receiver.received(4, trace)
  assert.equal(spans.length, 4)
  const [[agent], [first, second], [ground]] = [
    named(spans, 'invoke_agent'),
    named(spans, 'chat'),
    named(spans, 'execute_tool'),
  ]
  assert.ok(agent && first && second && ground)
  assert.equal(agent.name, 'invoke_agent Miller')
  assert.equal(agent.parentSpanId, spanId)
  assert.equal(agent.kind, 1)
  assert.equal(agent.resource['service.name'], 'mill')
  assert.deepEqual(agent.attributes, {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.provider.name': 'openai',
    'gen_ai.agent.id': assistant,
    'gen_ai.agent.name': 'Miller',
    'gen_ai.conversation.id': thread,
    'gen_ai.request.model': 'mock-model',
    'gen_ai.usage.input_tokens': 60,
    'gen_ai.usage.output_tokens': 8,
    'gen_ai.response.finish_reasons': ['stop'],
    'threadmill.run.id': asked.id,
    'threadmill.run.status': 'completed',
  })
  for (const each of [first, second, ground]) {
    assert.equal(each.parentSpanId, agent.spanId)
    assert.ok(each.start >= agent.start && each.end <= agent.end, `${each.name} is within the run`)
    assert.equal(each.attributes['gen_ai.conversation.id'], thread)
    assert.equal(each.status, 0)
  }
  assert.ok(first.end <= ground.start && ground.end <= second.start, 'one follows the other')
  const { 'gen_ai.response.time_to_first_chunk': toFirst, ...chat } = first.attributes
  assert.ok(typeof toFirst === 'number' && toFirst > 0 && toFirst < 10)
  assert.deepEqual(chat, {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'openai',
    'gen_ai.conversation.id': thread,
    'gen_ai.request.model': 'mock-model',
    'gen_ai.request.stream': true,
    'gen_ai.request.temperature': 0.5,
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(server.mock.baseUrl).port),
    'gen_ai.response.finish_reasons': ['tool_calls'],
    'gen_ai.usage.input_tokens': 30,
    'gen_ai.usage.output_tokens': 4,
    'threadmill.run.id': asked.id,
  })
  assert.equal(first.name, 'chat mock-model')
  assert.equal(first.kind, 3)
  assert.deepEqual(ground.attributes, {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'grind',
    'gen_ai.tool.call.id': 'call_a',
    'gen_ai.tool.type': 'function',
    'gen_ai.agent.id': assistant,
    'gen_ai.conversation.id': thread,
    'threadmill.run.id': asked.id,
  })
  // The model's server can go on with the trace.
  assert.deepEqual(
    server.mock.requests.map(({ headers }) => headers['traceparent']),
    [first, second].map((span) => `00-${trace}-${span.spanId}-01`),
  )
  const exported = (await scrape(server.app.url)).value('threadmill_trace_spans_total', {
    outcome: 'exported',
  })
  assert.equal(exported, 4)
})

test('a run that another server carries on is one trace, and its run is told once', async (t) => {
  const tuning = { silence: 2, beatMs: 100, sweepMs: 100, ...soon }
  const server = await oneNode(t, { env, tuning: { ...tuning, sweepMs: 3_600_000, drainMs: 0 } })
  const other = await anotherNode(t, server, tuning, env)
  const { assistant, thread } = await readyToRun(server)
  server.mock.next(text('Half', gate().opened), text('Whole.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  await server.mock.received(0)
  await inProgress(server, thread, run.id)
  const letGo = await hold(server.db.url, 'select from nodes where id = $1 for update', [
    server.app.store.node,
  ])
  const ended = await other.client.beta.threads.runs.poll(run.id, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  await letGo()
  const ofRun = () => receiver.spans.filter(({ attributes }) => attributes['threadmill.run.id'] === run.id)
  await until(() => ofRun().length === 3, 'all of the run')
  const [agents, chats] = [named(ofRun(), 'invoke_agent'), named(ofRun(), 'chat')]
  assert.equal(agents.length, 1)
  assert.equal(agents[0]?.parentSpanId, undefined)
  assert.equal(new Set(ofRun().map((span) => span.traceId)).size, 1)
  assert.deepEqual(
    chats.map(({ attributes }) => attributes['error.type']),
    ['interrupted', undefined],
  )
  assert.deepEqual(new Set(chats.map(({ parentSpanId }) => parentSpanId)), new Set([agents[0]?.spanId]))
  assert.notEqual(chats[0]?.resource['process.pid'], undefined)
})

test('a run that waits for outputs while its server is started anew stays one trace, its tool and all', async () => {
  const server = await startServer({ env, tuning: soon })
  const runs = () => server.client.beta.threads.runs
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  server.mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Done.'))
  const asked = await runs().createAndPoll(thread, { assistant_id: assistant })
  await server.restart()
  const tool_outputs = [{ tool_call_id: 'call_a', output: '1' }]
  await runs().submitToolOutputsAndPoll(asked.id, { thread_id: thread, tool_outputs })
  const ofRun = () => receiver.spans.filter(({ attributes }) => attributes['threadmill.run.id'] === asked.id)
  await until(() => ofRun().length === 4, 'all of the run')
  assert.equal(new Set(ofRun().map((span) => span.traceId)).size, 1)
  const [agent] = named(ofRun(), 'invoke_agent')
  const others = ofRun().filter((span) => span !== agent)
  assert.ok(others.every(({ parentSpanId }) => parentSpanId === agent?.spanId))
  // Of what was before the restart the database knows the second.
  assert.ok(others.every(({ start }) => agent && start >= agent.start))
})

test('a run that fails, expires or is cancelled while it waits for outputs says so in its spans', async (t) => {
  const server = await node(t)
  const { runs } = server.client.beta.threads
  const made = () => readyToRun(server, { tools: [tool('f')] })
  const [failing, waiting, cancelling] = [await made(), await made(), await made()]
  server.mock.next(status(500, { error: { message: 'secret words' } }))
  const create = async ({ assistant, thread }: typeof failing, trace: string) => {
    const run = await runs.create(thread, { assistant_id: assistant }, under(trace))
    return runs.poll(run.id, { thread_id: thread })
  }
  assert.equal((await create(failing, traceId(2))).status, 'failed')
  const asks = () => toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }])
  server.mock.next(asks(), asks())
  const cancelled = await create(cancelling, traceId(4))
  await runs.cancel(cancelled.id, { thread_id: cancelling.thread })
  await create(waiting, traceId(3))
  await server.db.advanceClock(601)
  await server.app.store.beat()
  await server.app.engine.sweep()

  const failed = await receiver.received(2, traceId(2))
  for (const span of failed) {
    assert.equal(span.attributes['error.type'], 'server_error')
    assert.equal(span.status, 2)
  }
  const expired = await receiver.received(3, traceId(3))
  for (const name of ['invoke_agent', 'execute_tool'])
    assert.equal(named(expired, name)[0]?.attributes['error.type'], 'expired', name)
  const [agent] = named(await receiver.received(3, traceId(4)), 'invoke_agent')
  assert.equal(agent?.attributes['threadmill.run.status'], 'cancelled')
  assert.equal(agent?.status, 0)
  assert.ok(!receiver.raw.some((body) => body.includes('secret words')))
})

test('a trace that its client does not sample is not told, nor one that is asked for by a header of no form', async (t) => {
  const server = await node(t)
  const { runs } = server.client.beta.threads
  const { assistant, thread } = await readyToRun(server)
  const before = receiver.spans.length
  const run = async (headers: Record<string, string>) => {
    const made = await runs.create(thread, { assistant_id: assistant }, { headers })
    await runs.poll(made.id, { thread_id: thread })
    return made.id
  }
  await run(under(traceId(5), '00').headers)
  const made = await run({ traceparent: `00-${traceId(6)}-${'0'.repeat(16)}-01` })
  const spans = (await receiver.received(before + 2)).slice(before)
  assert.deepEqual([...new Set(spans.map(({ attributes }) => attributes['threadmill.run.id']))], [made])
  assert.ok(spans.every((span) => span.traceId !== traceId(6)))
  const first = server.mock.requests.at(0)
  assert.equal(first?.headers['traceparent'], undefined)
})

test('content is told only if asked for', async (t) => {
  const server = await node(t, { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: 'true' })
  const { runs } = server.client.beta.threads
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const call = { id: 'call_a', name: 'f', arguments: '{"a":1}' }
  server.mock.next(toolCalls([call]), text('Fine', ' flour.'))
  const made = await runs.create(thread, { assistant_id: assistant }, under(traceId(7)))
  await runs.poll(made.id, { thread_id: thread })
  const tool_outputs = [{ tool_call_id: 'call_a', output: 'ground' }]
  await runs.submitToolOutputsAndPoll(made.id, { thread_id: thread, tool_outputs })
  const spans = await receiver.received(4, traceId(7))
  const [first, second] = named(spans, 'chat').map(({ attributes }) => attributes)
  const parsed = (value: unknown) => JSON.parse(value as string) as unknown
  assert.deepEqual(parsed(first?.['gen_ai.system_instructions']), [{ type: 'text', content: 'Be brief.' }])
  const question = { role: 'user', parts: [{ type: 'text', content: 'Good morning?' }] }
  const asked = { type: 'tool_call', id: 'call_a', name: 'f', arguments: '{"a":1}' }
  assert.deepEqual(parsed(first?.['gen_ai.input.messages']), [question])
  assert.deepEqual(parsed(first?.['gen_ai.output.messages']), [
    { role: 'assistant', parts: [asked], finish_reason: 'tool_calls' },
  ])
  assert.deepEqual(parsed(second?.['gen_ai.input.messages']), [
    question,
    { role: 'assistant', parts: [asked] },
    { role: 'tool', parts: [{ type: 'tool_call_response', id: 'call_a', response: 'ground' }] },
  ])
  assert.deepEqual(parsed(second?.['gen_ai.output.messages']), [
    { role: 'assistant', parts: [{ type: 'text', content: 'Fine flour.' }], finish_reason: 'stop' },
  ])
  const [ground] = named(spans, 'execute_tool')
  assert.equal(ground?.attributes['gen_ai.tool.call.arguments'], '{"a":1}')
  assert.equal(ground?.attributes['gen_ai.tool.call.result'], 'ground')
})
