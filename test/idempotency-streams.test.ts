import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertReplayed, newKey, postKeyed, type KeyedAnswer } from './support/keyed.ts'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { readEvents, type SeenEvent } from './support/run-events.ts'
import { readyToRun, startServer, tool } from './support/server.ts'

// Answers that are no JSON, and requests that are none: streams and uploads with an Idempotency-Key.

const server = await startServer()
const { client, mock, db } = server
const { threads } = client.beta
const codeOf = ({ text }: KeyedAnswer) => (JSON.parse(text) as { error: { code: string } }).error.code

const events = async (path: string, body: object, key: string): Promise<[SeenEvent[], string | null]> => {
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify({ ...body, stream: true }),
  })
  const replayed = response.headers.get('idempotent-replayed')
  return [await readEvents(response), replayed]
}

test('a stream that is asked for again with its key tells the same events from the first, of the one run', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('All', ' done', '.'))
  const [ofRun, ofOutputs] = [newKey(), newKey()]
  const runs = `/v1/threads/${thread}/runs`
  const first = await events(runs, { assistant_id: assistant }, ofRun)
  assert.equal(first[0].at(-1)?.event, 'thread.run.requires_action')
  assert.deepEqual(await events(runs, { assistant_id: assistant }, ofRun), [first[0], 'true'])
  const { id } = (first[0][0]?.data ?? assert.fail()) as { id: string }
  const outputs = { tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  const submit = `${runs}/${id}/submit_tool_outputs`
  const second = await events(submit, outputs, ofOutputs)
  assert.equal(second[0].at(-1)?.event, 'thread.run.completed')
  assert.deepEqual(await events(submit, outputs, ofOutputs), [second[0], 'true'])
  // The run has gone on, and the first stream ends where it ended.
  assert.deepEqual(await events(runs, { assistant_id: assistant }, ofRun), [first[0], 'true'])
  assert.equal((await threads.runs.list(thread)).data.length, 1)
  assert.equal(mock.requests.length, 2)
})

test('a stream that is asked for again while it is under way goes on live, on the same run', async () => {
  const { assistant } = await readyToRun(server)
  const held = gate()
  mock.reset()
  mock.next(text('All', held.opened, ' done.'))
  const key = newKey()
  const body = { assistant_id: assistant, thread: { messages: [{ role: 'user', content: 'Hm?' }] } }
  const both = [events('/v1/threads/runs', body, key), events('/v1/threads/runs', body, key)]
  await mock.received(0)
  held.open()
  const [[one], [other]] = (await Promise.all(both)) as [[SeenEvent[], string], [SeenEvent[], string]]
  assert.deepEqual(other, one)
  assert.equal(one[0]?.event, 'thread.created')
  assert.equal(one.at(-1)?.event, 'thread.run.completed')
  assert.equal(mock.requests.length, 1)
})

test('a stream whose log is not kept any more is told again from what is stored', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.reset()
  mock.next(text('All', ' done.'))
  const key = newKey()
  const path = `/v1/threads/${thread}/runs`
  await events(path, { assistant_id: assistant }, key)
  await db.advanceClock(4_000)
  await server.app.engine.sweep()
  const [again, replayed] = await events(path, { assistant_id: assistant }, key)
  assert.equal(replayed, 'true')
  const deltas = again.flatMap(({ event, data }) =>
    event === 'thread.message.delta'
      ? (data as { delta: { content: { text: { value: string } }[] } }).delta.content
      : [],
  )
  assert.equal(deltas.map((part) => part.text.value).join(''), 'All done.')
  assert.equal(again.at(-1)?.event, 'thread.run.completed')
  assert.equal((await threads.runs.list(thread)).data.length, 1)
})

test('a stream that is told again from what is stored begins and ends where the first one did', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  const ask = (id: string) => toolCalls([{ id, name: 'f', arguments: '{}' }])
  mock.next(ask('call_a'), ask('call_b'), text('All done.'))
  const runs = `/v1/threads/${thread}/runs`
  const told: { path: string; body: object; key: string; events: SeenEvent[] }[] = []
  const tell = async (path: string, body: object) => {
    const key = newKey()
    const [seen] = await events(path, body, key)
    told.push({ path, body, key, events: seen })
    return seen
  }
  const [first] = await tell(runs, { assistant_id: assistant })
  const { id: run } = (first?.data ?? assert.fail()) as { id: string }
  const submit = `${runs}/${run}/submit_tool_outputs`
  const outputs = (id: string) => ({ tool_outputs: [{ tool_call_id: id, output: '1' }] })
  await tell(submit, outputs('call_a'))
  await tell(submit, outputs('call_b'))
  // Without the key of the first time they are known by themselves.
  await tell(submit, outputs('call_b'))
  mock.next(text('Hello.'))
  const [made] = await tell('/v1/threads/runs', { assistant_id: assistant, thread: { metadata: { a: 'b' } } })
  assert.equal(made?.event, 'thread.created')
  await db.advanceClock(4_000)
  await server.app.engine.sweep()
  // Texts and arguments come in one piece each.
  const names = (seen: SeenEvent[]) =>
    seen
      .map(({ event }) => event)
      .filter((event, i, all) => !event.endsWith('.delta') || all[i - 1] !== event)
  for (const { path, body, key, events: before } of told) {
    const [again, replayed] = await events(path, body, key)
    assert.equal(replayed, 'true')
    assert.deepEqual(names(again), names(before))
    assert.deepEqual(again[0]?.data, before[0]?.data)
  }
  const [unkeyed] = await events(submit, outputs('call_b'), newKey())
  assert.deepEqual(names(unkeyed), names(told[3]?.events ?? []))
})

test('outputs that were submitted before, without a key or with another, are answered and kept under the new one', async () => {
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  mock.reset()
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{}' }]), text('Done.'))
  const run = await threads.runs.createAndPoll(thread, { assistant_id: assistant })
  const path = `/v1/threads/${thread}/runs/${run.id}/submit_tool_outputs`
  const body = { tool_outputs: [{ tool_call_id: 'call_a', output: '1' }] }
  await threads.runs.submitToolOutputsAndPoll(run.id, { thread_id: thread, ...body })
  const [plain, streaming] = [newKey(), newKey()]
  const first = await postKeyed(server, { path, body }, plain)
  assert.match(first.text, /"status":"completed"/)
  assertReplayed(first, await postKeyed(server, { path, body }, plain))
  const [told] = await events(path, body, streaming)
  assert.equal(told.at(-1)?.event, 'thread.run.completed')
  assert.deepEqual(await events(path, body, streaming), [told, 'true'])
  assert.equal(mock.requests.length, 2)
})

test('a file that is uploaded twice with one key is one file, whatever the boundary of its form', async () => {
  const form = (content: string, name = 'mill.txt', purpose = 'assistants') => {
    const data = new FormData()
    data.set('file', new File([content], name))
    data.set('purpose', purpose)
    return data
  }
  const upload = (body: FormData, key: string) => postKeyed(server, { path: '/v1/files', body }, key)
  const key = newKey()
  const first = await upload(form('Corn.'), key)
  assertReplayed(first, await upload(form('Corn.'), key))
  for (const other of [form('Stone'), form('Corn.', 'b.txt'), form('Corn.', 'mill.txt', 'user_data')]) {
    assert.equal(codeOf(await upload(other, key)), 'idempotency_key_reused')
  }
  const answers = await Promise.all(Array.from({ length: 8 }, () => upload(form('Many'), 'many')))
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1)
  const files = await client.files.list()
  assert.equal(files.data.length, 2)
  const refused = new FormData()
  refused.set('file', new File(['x'], 'x.txt'))
  const withoutPurpose = newKey()
  const failed = await upload(refused, withoutPurpose)
  assert.equal(failed.status, 400)
  assertReplayed(failed, await upload(refused, withoutPurpose))
  await server.app.engine.sweep()
  assert.deepEqual(await db.sql('select id from file_uploads'), [])
  assert.equal((await db.sql('select distinct file_id from file_chunks')).length, 2)
})
