import assert from 'node:assert/strict'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { StreamEvent } from '../contract/events.ts'
import { EventStream, mergeDeltas } from './sse.ts'

function messageDelta(value: string, id = 'msg_1'): StreamEvent {
  const content = [{ index: 0, type: 'text' as const, text: { value } }]
  return { event: 'thread.message.delta', data: { id, object: 'thread.message.delta', delta: { content } } }
}

/** An event stream over a real socket whose client reads only when told. */
async function connect(
  t: TestContext,
): Promise<{ stream: EventStream; raw: ServerResponse; client: IncomingMessage }> {
  const { promise: served, resolve } = Promise.withResolvers<ServerResponse>()
  const server = createServer((_request, response) => resolve(response))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { promise: answered, resolve: onAnswer } = Promise.withResolvers<IncomingMessage>()
  get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' }, onAnswer)
  const raw = await served
  const stream = new EventStream(raw, {})
  const client = await answered
  t.after(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  return { stream, raw, client }
}

async function readAll(client: IncomingMessage): Promise<string> {
  let seen = ''
  for await (const chunk of client.setEncoding('utf8')) seen += String(chunk)
  return seen
}

test('a slow reader gets every character, in fewer and larger deltas, and memory holds no queue of frames', async (t) => {
  const { stream, raw, client } = await connect(t)
  client.pause()
  const piece = 'x'.repeat(1_000)
  const count = 20_000
  for (let i = 0; i < count; i++) {
    stream.send(messageDelta(piece))
    // A turn of the loop now and then, as between chunks of a model.
    if (i % 100 === 0) await new Promise(setImmediate)
  }
  // What Node buffers for the socket stays near its mark, whatever was sent.
  assert.ok(raw.writableLength < 2 * 1024 * 1024, `${raw.writableLength} bytes wait`)
  stream.end()
  if (raw.destroyed) return assert.fail('cut off')
  const frames = (await readAll(client)).split('\n\n').filter((frame) => frame.startsWith('event: thread'))
  const text = frames.map(
    (frame) =>
      (JSON.parse(frame.split('data: ')[1] ?? '') as { delta: { content: [{ text: { value: string } }] } })
        .delta.content[0].text.value,
  )
  assert.equal(text.join('').length, piece.length * count)
  assert.ok(frames.length < count)
})

test('a reader that does not read at all is cut off', async (t) => {
  const { stream, raw, client } = await connect(t)
  client.pause()
  const closed = new Promise((resolve) => raw.on('close', resolve))
  const piece = 'x'.repeat(1024 * 1024)
  for (let i = 0; i < 64 && !raw.destroyed; i++) stream.send(messageDelta(piece))
  await closed
  assert.equal(stream.open, false)
})

test('a reader that takes nothing for a minute is cut off, also after the run has ended', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { stream, raw, client } = await connect(t)
  client.pause()
  while (!raw.writableNeedDrain) stream.send(messageDelta('x'.repeat(100_000)))
  stream.end()
  t.mock.timers.tick(45_000)
  assert.equal(raw.destroyed, false)
  const closed = new Promise((resolve) => raw.on('close', resolve))
  t.mock.timers.tick(15_000)
  assert.equal(raw.destroyed, true)
  // The stream clears its timer then: in the next test that would be a timer of another clock.
  await closed
})

test('silence is broken by pings, which are comments', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { stream, client } = await connect(t)
  t.mock.timers.tick(15_000)
  t.mock.timers.tick(15_000)
  stream.end()
  assert.equal(await readAll(client), ': ping\n\n: ping\n\nevent: done\ndata: [DONE]\n\n')
})

test('only deltas of the same item and index are merged', () => {
  const merged = mergeDeltas(messageDelta('a'), messageDelta('b'))
  assert.deepEqual(merged, messageDelta('ab'))
  assert.equal(mergeDeltas(messageDelta('a'), messageDelta('b', 'msg_2')), null)
  const call = (index: number, id: string | undefined, args: string): StreamEvent => ({
    event: 'thread.run.step.delta',
    data: {
      id: 'step_1',
      object: 'thread.run.step.delta',
      delta: {
        step_details: {
          type: 'tool_calls',
          tool_calls: [{ index, id, type: 'function', function: { arguments: args } }],
        },
      },
    },
  })
  assert.deepEqual(mergeDeltas(call(0, 'call_a', ''), call(0, undefined, '{')), call(0, 'call_a', '{'))
  assert.equal(mergeDeltas(call(0, 'call_a', ''), call(1, 'call_b', '')), null)
  assert.equal(mergeDeltas(messageDelta('a'), call(0, undefined, '{')), null)
})
