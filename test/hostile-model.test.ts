import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Answer } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'

// A model server that means harm, or has gone wild: its run fails and says why, and nobody else is harmed.

const server = await startServer()
const { mock } = server

const frame = (delta: object) =>
  `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`

/** Sends a piece again and again, until nobody listens any more. */
const forEver =
  (piece: string): Answer =>
  async ({ raw, response }) => {
    while (!response.destroyed) await raw(piece)
  }

/** Ends a run with this answer, beside one of another thread that goes on; answers how much memory that took. */
async function harmed(
  answer: Answer,
): Promise<{ status: string; message: string; code: string; grownMiB: number }> {
  const { runs } = server.client.beta.threads
  const { assistant, thread } = await readyToRun(server, { tools: [tool('f')] })
  const other = await readyToRun(server)
  const before = process.memoryUsage().rss
  mock.next(answer)
  const created = await runs.create(thread, { assistant_id: assistant })
  await mock.received(0)
  assert.equal(
    (await runs.createAndPoll(other.thread, { assistant_id: other.assistant })).status,
    'completed',
  )
  const run = await runs.poll(created.id, { thread_id: thread }, { pollIntervalMs: 50 })
  mock.reset()
  return {
    status: run.status,
    message: run.last_error?.message ?? '',
    code: run.last_error?.code ?? '',
    grownMiB: (process.memoryUsage().rss - before) / 1_048_576,
  }
}

test('an answer without an end fails its run when it is longer than any answer is', async () => {
  const { status, code, message, grownMiB } = await harmed(forEver(frame({ content: 'x'.repeat(50_000) })))
  assert.deepEqual([status, code], ['failed', 'server_error'])
  assert.match(message, /too long|without an end|too large/)
  assert.ok(grownMiB < 700, `${grownMiB} MiB`)
})

test('a line without an end fails its run before it fills the memory', async () => {
  const { status, code, message, grownMiB } = await harmed(forEver('x'.repeat(1 << 16)))
  assert.deepEqual([status, code], ['failed', 'server_error'])
  assert.match(message, /too large/)
  assert.ok(grownMiB < 700, `${grownMiB} MiB`)
})

test('100,000 tool calls fail their run: nobody is asked for them', async () => {
  let index = 0
  const { status, code } = await harmed(async ({ raw, response }) => {
    while (!response.destroyed && index < 100_000) {
      const call = {
        index,
        id: `call_${index++}`,
        type: 'function',
        function: { name: 'f', arguments: '{}' },
      }
      await raw(frame({ tool_calls: [call] }))
    }
  })
  assert.deepEqual([status, code], ['failed', 'server_error'])
  // It was broken off: what was sent by then was under way.
  assert.ok(index < 100_000, `${index} calls were taken`)
  const steps = await server.db.sql<{ details: { tool_calls?: unknown[] } }>('select details from run_steps')
  assert.ok(steps.every(({ details }) => (details.tool_calls?.length ?? 0) <= 128))
})

test('arguments without an end fail their run', async () => {
  const call = {
    index: 0,
    id: 'call_1',
    type: 'function',
    function: { name: 'f', arguments: 'x'.repeat(50_000) },
  }
  const { status, code, grownMiB } = await harmed(forEver(frame({ tool_calls: [call] })))
  assert.deepEqual([status, code], ['failed', 'server_error'])
  assert.ok(grownMiB < 700, `${grownMiB} MiB`)
})

test('a compressed answer is not unpacked, whatever is in it', async () => {
  const bomb = gzipSync(Buffer.alloc(1 << 27), { level: 9 })
  const { status, message, grownMiB } = await harmed(({ response }) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }).end(bomb)
  })
  assert.equal(status, 'failed')
  assert.match(message, /compressed/)
  assert.ok(grownMiB < 100, `${grownMiB} MiB`)
})

test('headers without an end fail their run', async () => {
  const { status, code } = await harmed(({ response }) => {
    const { socket } = response
    socket?.write('HTTP/1.1 200 OK\r\n')
    while (socket && !socket.destroyed && socket.write(`x-more: ${'x'.repeat(8_000)}\r\n`));
  })
  assert.deepEqual([status, code], ['failed', 'server_error'])
})

test('NUL, halves of pairs and broken UTF-8 in an answer are stored as replacement characters', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(async ({ raw }) => {
    await raw(frame({ content: 'a\0b' }))
    await raw('data: {"choices":[{"index":0,"delta":{"content":"c\\ud800d"},"finish_reason":null}]}\n\n')
    const broken = Buffer.from(frame({ content: 'e?f' }))
    broken[broken.indexOf('?')] = 0xff
    await raw(broken)
    await raw('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  const { runs, messages } = server.client.beta.threads
  assert.equal((await runs.createAndPoll(thread, { assistant_id: assistant })).status, 'completed')
  assert.equal(textOf((await messages.list(thread)).data[0]), 'a\uFFFDbc\uFFFDde\uFFFDf')
})

test('a redirect is not followed, and the key of the model goes nowhere else', async () => {
  const elsewhere: string[] = []
  const trap = createServer((request, response) => {
    elsewhere.push(JSON.stringify(request.headers))
    response.end()
  })
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve))
  const { port } = trap.address() as AddressInfo
  const { status } = await harmed(({ response }) => {
    response.writeHead(307, { location: `http://127.0.0.1:${port}/v1/chat/completions` }).end()
  })
  trap.close()
  assert.equal(status, 'failed')
  assert.deepEqual(elsewhere, [])
})

test('names of events and ids that a model server sends are not those of our streams', async () => {
  const { assistant, thread } = await readyToRun(server)
  mock.next(async ({ raw }) => {
    await raw('event: thread.run.completed\nid: 999999.999\ndata: {"object":"thread.run"}\n\n')
    await raw(frame({ content: 'Mine.' }))
    await raw('event: done\ndata: [DONE]\n\n')
  })
  const frames = await server.events(`/v1/threads/${thread}/runs`, { assistant_id: assistant })
  const names = frames.map(({ event }) => event)
  assert.equal(names.filter((name) => name === 'thread.run.completed').length, 1)
  assert.ok(names.indexOf('thread.run.completed') > names.indexOf('thread.message.completed'))
})
