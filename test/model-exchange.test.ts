import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createHttpTransport } from '../src/models/http-transport.ts'
import type { TransportResponse } from '../src/models/transport.ts'
import { until } from './support/npm-start.ts'

// How the answers of model servers are read: over a real connection, each test with a server that answers as it says.

async function backend(t: TestContext, answer: (response: ServerResponse) => void) {
  const connections = new Set<Socket>()
  const server = createServer((request, response) => {
    request.resume()
    if (request.method === 'GET') return void response.end()
    connections.add(request.socket)
    answer(response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const transport = createHttpTransport({ baseUrl: `http://127.0.0.1:${port}/v1` })
  t.after(async () => {
    await transport.close()
    server.closeAllConnections()
    server.close()
  })
  const question = { model: 'm', messages: [], stream: true as const }
  const ask = (signal = new AbortController().signal) => transport.post('/chat/completions', question, signal)
  /** What was sent before this has come. */
  const round = async () => (await fetch(`http://127.0.0.1:${port}`)).text()
  return { ask, round, connections }
}

/** Reads the beginning of an answer and leaves it. */
async function leave({ body }: TransportResponse): Promise<void> {
  for await (const chunk of body) return void chunk
}

const piece = Buffer.alloc(1 << 20, 'x')

test('an answer that is read slowly is not taken into memory, and comes whole', async (t) => {
  const pieces = 64
  let sent = 0
  const { ask } = await backend(t, (response) => {
    const send = () => {
      while (sent < pieces) {
        sent += 1
        if (!response.write(piece)) return void response.once('drain', send)
      }
      response.end()
    }
    send()
  })
  const body = (await ask()).body[Symbol.asyncIterator]()
  let size = (await body.next()).value?.length ?? 0
  let before = -1
  // As much as the two sockets hold, and no more of it for as long as nobody reads on.
  await until(async () => {
    const isStill = sent === before
    before = sent
    await new Promise((resolve) => setTimeout(resolve, 50))
    return isStill
  }, 'the server has to wait')
  assert.ok(sent < pieces / 2, `${sent} of ${pieces} MiB were sent`)
  for (let next = await body.next(); !next.done; next = await body.next()) size += next.value.length
  assert.equal(size, pieces * piece.length)
})

test('whoever leaves an answer before its last bytes keeps the connection for the next', async (t) => {
  const ends: (() => void)[] = []
  const { ask, round, connections } = await backend(t, (response) => {
    response.write('data: [DONE]\n\n')
    ends.push(() => response.end('\n'))
  })
  for (let i = 0; i < 3; i++) {
    await leave(await ask())
    ends[i]?.()
    await round()
  }
  assert.equal(connections.size, 1)
})

test('whoever leaves an answer that goes on and on closes its connection', async (t) => {
  let isClosed = false
  const { ask } = await backend(t, (response) => {
    response.on('close', () => (isClosed = true))
    const send = () => {
      while (response.write(piece));
      response.once('drain', send)
    }
    send()
  })
  await leave(await ask())
  await until(() => isClosed, 'the connection is closed')
})

test('a request that is aborted before it is sent is not sent', async (t) => {
  let asked = 0
  const { ask } = await backend(t, (response) => {
    asked += 1
    response.end()
  })
  await assert.rejects(ask(AbortSignal.abort()), { fault: 'aborted' })
  await (await ask()).body[Symbol.asyncIterator]().next()
  assert.equal(asked, 1)
})
