import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { pathOf, runsOf, speakMemgpt, type OpenAIRun, type OpenAIRunStep } from './support/memgpt.ts'
import { hang, status, stall, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// The nine operations of the seed (memgpt-dialect.md §2-§4). Every answer is judged: its fields, and no others.

const server = await startServer()
const { client, mock, db } = server
const { ask, refused, reached } = speakMemgpt(server)

beforeEach(() => mock.reset())

const asked = { id: 'call_one', name: 'look_up', arguments: '{"a":1}' }
const call = { id: 'call_one', type: 'function', function: { name: 'look_up', arguments: '{"a":1}' } }
const output = { tool_call_id: 'call_one', output: 'yes' }

/** A run of an assistant with a function, by the operation of the seed. */
async function created(body: object = {}, functions = ['look_up']): Promise<OpenAIRun> {
  const { assistant, thread } = await readyToRun(server, { tools: functions.map(tool) })
  return ask<OpenAIRun>('POST', runsOf(thread), { assistant_id: assistant, instructions: '', ...body })
}

test('the nine operations of the seed work, unmarked by any header, from creation to tool outputs', async () => {
  const plain = {}
  const { assistant, thread } = await readyToRun(server, { tools: [tool('look_up')] })
  mock.next(toolCalls([asked]), text('Found.'))
  const body = { assistant_id: assistant, instructions: '' }
  const made = await ask<OpenAIRun>('POST', runsOf(thread), body, plain)
  assert.deepEqual([made.status, made.tools, made.usage], ['queued', null, null])
  assert.equal(made.instructions, 'Be brief.')
  const path = pathOf(made)
  const waiting = await reached(made, 'requires_action')
  assert.deepEqual(waiting.required_action, { type: 'submit_tool_outputs', submit_tool_outputs: [call] })
  assert.deepEqual([waiting.tools, waiting.usage], [[call], null])

  assert.deepEqual(await ask('GET', path, undefined, plain), waiting)
  assert.deepEqual(await ask('GET', runsOf(thread), undefined, plain), [waiting])
  const [step] = await ask<OpenAIRunStep[]>('GET', `${path}/steps`, undefined, plain)
  assert.deepEqual(step?.step_defaults, { type: 'tool_calls', tool_calls: [call] })
  assert.deepEqual(await ask('GET', `${path}/steps/${step?.id}`, undefined, plain), step)
  const noted = await ask<OpenAIRun>('POST', path, { metadata: { a: 'b' } }, plain)
  assert.deepEqual(noted, { ...waiting, metadata: { a: 'b' } })

  const submit = `${path}/submit_tool_outputs`
  const again = await ask<OpenAIRun>('POST', submit, { tools_outputs: [output] }, plain)
  assert.deepEqual([again.status, again.required_action], ['queued', null])
  const ended = await reached(made, 'completed')
  assert.deepEqual([ended.tools, ended.usage?.total_tokens], [[call], 48])

  mock.next(hang())
  const fresh = { id: 'threadId_example', object: 'thread', created_at: 0, metadata: { k: 'v' } }
  const inOne = { ...body, instructions: 'Wait.', model: 'mock-model', thread: fresh }
  const other = await ask<OpenAIRun>('POST', '/v1/threads/runs', inOne, plain)
  await reached(other, 'in_progress')
  const cancelled = await ask<OpenAIRun>('POST', `${pathOf(other)}/cancel`, undefined, plain)
  assert.match(cancelled.status, /^cancell(ing|ed)$/)
  assert.ok((await reached(other, 'cancelled')).cancelled_at)
})

test('a run made in v2 reads rightly in the memgpt dialect, which may answer its calls', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('look_up')] })
  mock.next(toolCalls([asked]), text('Done.'))
  const made = await client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const seen = await ask<OpenAIRun>('GET', `${runsOf(thread)}/${made.id}`)
  assert.equal(seen.status, 'requires_action')
  assert.deepEqual(seen.tools, [call], 'calls, where v2 shows definitions')
  assert.equal(seen.expires_at, made.expires_at)
  await ask('POST', `${pathOf(seen)}/submit_tool_outputs`, { tool_outputs: [output] })
  const run = await client.beta.threads.runs.poll(made.id, { thread_id: thread })
  assert.deepEqual([run.status, run.tools], ['completed', [tool('look_up')]])
  const messages = await client.beta.threads.messages.list(thread)
  assert.equal(textOf(messages.data[0]), 'Done.')

  const steps = await ask<OpenAIRunStep[]>('GET', `${pathOf(seen)}/steps`)
  const v2 = await client.beta.threads.runs.steps.list(made.id, { thread_id: thread, order: 'asc' })
  assert.deepEqual(
    steps.map(({ id, usage }) => ({ id, usage })),
    v2.data.map(({ id, usage }) => ({ id, usage })),
  )
  assert.deepEqual(steps[0]?.step_defaults, { type: 'tool_calls', tool_calls: [call] })
  assert.deepEqual(steps[1]?.step_defaults, { type: 'message_creation', message_id: messages.data[0]?.id })
})

test('a run made in the memgpt dialect reads rightly in v2, which may answer its calls', async () => {
  mock.next(toolCalls([asked]), text('Again.'))
  const made = await created()
  const place = { thread_id: made.thread_id }
  const asking = await client.beta.threads.runs.poll(made.id, place)
  assert.deepEqual(asking.required_action?.submit_tool_outputs.tool_calls, [call])
  assert.deepEqual(asking.tools, [tool('look_up')])
  const ended = await client.beta.threads.runs.submitToolOutputsAndPoll(made.id, {
    ...place,
    tool_outputs: [output],
  })
  assert.deepEqual([ended.status, ended.expires_at], ['completed', null])
  const [step] = (await client.beta.threads.runs.steps.list(made.id, { ...place, order: 'asc' })).data
  const details = step?.step_details
  assert.ok(details?.type === 'tool_calls' && details.tool_calls[0]?.type === 'function')
  assert.equal(details.tool_calls[0].function.output, 'yes')
  assert.equal((await ask<OpenAIRun>('GET', pathOf(made))).status, 'completed')
})

test('a list of runs shows the calls of each with it, in the order in which they were made', async () => {
  mock.next(
    toolCalls([asked, { id: 'call_two', name: 'look_up', arguments: '{}' }]),
    toolCalls([{ id: 'call_three', name: 'look_up', arguments: '{}' }]),
    text('Found.'),
    text('Nothing to look up.'),
  )
  const first = await created()
  const submit = `${pathOf(first)}/submit_tool_outputs`
  await reached(first, 'requires_action')
  await ask('POST', submit, { tools_outputs: [output, { ...output, tool_call_id: 'call_two' }] })
  await reached(first, 'requires_action')
  await ask('POST', submit, { tools_outputs: [{ ...output, tool_call_id: 'call_three' }] })
  await reached(first, 'completed')
  const body = { assistant_id: first.assistant_id, instructions: '' }
  const second = await ask<OpenAIRun>('POST', runsOf(first.thread_id), body)
  await reached(second, 'completed')
  const listed = await ask<OpenAIRun[]>('GET', runsOf(first.thread_id))
  assert.deepEqual(
    listed.map(({ tools }) => tools?.map(({ id }) => id) ?? null),
    [['call_one', 'call_two', 'call_three'], null],
  )
})

test('expires_at is 600 s after creation, is moved by outputs, and stays after the end', async () => {
  mock.next(toolCalls([asked]), text('Late.'))
  const made = await created()
  assert.equal(made.expires_at, made.created_at + 600)
  const waiting = await reached(made, 'requires_action')
  assert.equal(waiting.expires_at, made.expires_at)
  await db.advanceClock(400)
  await server.app.engine.sweep()
  const submitted = await ask<OpenAIRun>('POST', `${pathOf(made)}/submit_tool_outputs`, {
    tools_outputs: [output],
  })
  assert.ok(submitted.expires_at >= made.expires_at + 400)
  assert.equal((await reached(made, 'completed')).expires_at, submitted.expires_at)
})

test('each way to end shows in the fields that the dialect has for it', async () => {
  mock.next(status(429, { error: { message: 'slow down' } }))
  const failed = await reached(await created(), 'failed')
  assert.equal(failed.last_error?.code, 'rate_limit_exceeded')
  assert.ok(failed.failed_at)
  const [step] = await ask<OpenAIRunStep[]>('GET', `${pathOf(failed)}/steps`)
  assert.equal(step, undefined, 'it came to no step')

  mock.next(text('Cut', { finish: 'length' }))
  const incomplete = await reached(await created(), 'incomplete')
  assert.deepEqual([incomplete.last_error, incomplete.usage?.total_tokens], [null, 24])

  mock.next(toolCalls([asked]))
  const waiting = await created()
  await reached(waiting, 'requires_action')
  await db.advanceClock(601)
  await server.app.engine.sweep()
  const expired = await reached(waiting, 'expired')
  assert.deepEqual([expired.expires_at, expired.required_action], [waiting.expires_at, null])
  assert.deepEqual(expired.tools, [call])
  const [unanswered] = await ask<OpenAIRunStep[]>('GET', `${pathOf(waiting)}/steps`)
  assert.equal(unanswered?.status, 'expired')
  assert.ok(unanswered.expired_at)

  mock.next(stall('Half an ans'))
  const long = await created()
  await reached(long, 'in_progress')
  await ask('POST', `${pathOf(long)}/cancel`)
  const cancelled = await reached(long, 'cancelled')
  assert.ok(cancelled.cancelled_at && cancelled.started_at)
  assert.equal(cancelled.completed_at, null)
})

test('tools of a run may be calls whose arguments are the schema, or definitions; the model sees definitions', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string' } } }
  const tools = [
    { id: 'x', type: 'function', function: { name: 'weather', arguments: JSON.stringify(schema) } },
    { function: { name: 'no_schema', arguments: 'not JSON' } },
    { function: { name: 'no_object', arguments: '[1]' } },
    { type: 'function', function: { name: 'defined', parameters: schema } },
  ]
  const made = await created({ tools, model: 'other', instructions: 'Replaced.' })
  const request = await mock.received(0)
  assert.deepEqual(request.body.tools, [
    { type: 'function', function: { name: 'weather', parameters: schema } },
    { type: 'function', function: { name: 'no_schema' } },
    { type: 'function', function: { name: 'no_object' } },
    { type: 'function', function: { name: 'defined', parameters: schema } },
  ])
  assert.equal(request.body.model, 'other')
  assert.deepEqual(request.body.messages[0], { role: 'system', content: 'Replaced.' })
  assert.equal((await reached(made, 'completed')).tools, null)
})

test('an empty text and an empty model are those of the assistant; more instructions are added', async () => {
  const made = await created({ model: '', additional_instructions: 'And kind.' })
  assert.deepEqual([made.model, made.instructions], ['mock-model', 'Be brief.\n\nAnd kind.'])
  const request = await mock.received(0)
  assert.deepEqual(request.body.messages[0], { role: 'system', content: 'Be brief.\n\nAnd kind.' })
  assert.deepEqual(request.body.tools, [tool('look_up')])
})

const inOne = '/v1/threads/runs'

test('createThreadAndRun runs on the thread that has that id, unless a run holds it', async () => {
  const { assistant, thread } = await readyToRun(server)
  const body = { assistant_id: assistant, model: '', instructions: '', thread: { id: thread, created_at: 0 } }
  mock.next(hang())
  const there = await ask<OpenAIRun>('POST', inOne, body)
  assert.equal(there.thread_id, thread)
  const text = `Thread ${thread} already has an active run ${there.id}.`
  assert.deepEqual(await refused('POST', inOne, body), [400, text])
})

test('createThreadAndRun makes a thread where there is none of that id, under an id of its own', async () => {
  const { assistant } = await readyToRun(server)
  const body = { assistant_id: assistant, model: '', instructions: '' }
  const unknown = { id: 'threadId_example', object: 'thread', created_at: 0, metadata: { k: 'v' } }
  const made = await ask<OpenAIRun>('POST', inOne, { ...body, thread: unknown })
  assert.match(made.thread_id, /^thread_\w{24}$/)
  assert.deepEqual((await client.beta.threads.retrieve(made.thread_id)).metadata, { k: 'v' })
  const bare = await ask<OpenAIRun>('POST', inOne, { ...body, thread: {} })
  assert.notEqual(bare.thread_id, made.thread_id)

  const messages = [{ role: 'user', content: 'from v2' }]
  const told = await ask<OpenAIRun>('POST', inOne, { ...body, thread: { messages } })
  await reached(told, 'completed')
  const texts = (await client.beta.threads.messages.list(told.thread_id, { order: 'asc' })).data
  assert.equal(textOf(texts[0]), 'from v2')
})

test('all paths of the seed may end in a slash', async () => {
  const made = await created()
  assert.equal((await ask<OpenAIRun[]>('GET', `${runsOf(made.thread_id)}/`)).length, 1)
  assert.equal((await ask<OpenAIRun>('GET', `${pathOf(made)}/`)).id, made.id)
  await ask('GET', `${pathOf(made)}/steps/?limit=1`)
  const body = { assistant_id: made.assistant_id, model: '', instructions: '', thread: {} }
  await ask('POST', `${inOne}/`, body)
})
