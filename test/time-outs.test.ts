import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { startServer } from './support/server.ts'

// Clients that send as little as they can, to hold what they can. The times are those of this server, set short.

const short = { headersMs: 150, bodyMs: 150, keepAliveMs: 150, checkMs: 20 }
const lines: string[] = []
const log = createLog('debug', (line) => lines.push(line) > 0)
const server = await startServer({ log, tuning: { requestTimeouts: short } })
const head = (more: string) =>
  `POST /v1/threads HTTP/1.1\r\nhost: localhost\r\nopenai-beta: assistants=v2\r\n${more}`
const json = 'content-type: application/json\r\n'

function open(): { socket: Socket; heard: Promise<string> } {
  const { port, hostname } = new URL(server.app.url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  const { promise: heard, resolve } = Promise.withResolvers<string>()
  // A reset is an end too: it was written to once more.
  socket.on('error', () => {}).once('close', () => resolve(text))
  return { socket, heard }
}

/** Sends `start`, and then one byte again and again for as long as the server listens; what it answered. */
async function drip(start: string, byte: string): Promise<string> {
  const { socket, heard } = open()
  socket.write(start)
  const dripping = setInterval(() => socket.write(byte), 10)
  try {
    return await heard
  } finally {
    clearInterval(dripping)
  }
}

for (const { what, start, byte } of [
  { what: 'headers', start: head('x-slow: '), byte: 'x' },
  {
    what: 'a body of a known length',
    start: head(`${json}content-length: 100000\r\n\r\n{"metadata":{"a":"`),
    byte: 'x',
  },
  { what: 'a body in chunks', start: head(`${json}transfer-encoding: chunked\r\n\r\n`), byte: '1\r\n \r\n' },
]) {
  test(`${what} byte by byte: answered 408 in time, and the connection is closed`, async () => {
    const answer = await drip(start, byte)
    assert.match(answer, /^HTTP\/1\.1 408 /)
    const { error } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as { error: { message: string } }
    assert.equal(error.message, 'The request did not arrive in time.')
    assert.deepEqual(await server.db.sql('select id from threads'), [])
  })
}

for (const [what, start, status] of [
  ['headers that do not arrive', head('x-slow: '), 408],
  ['a body that does not arrive', head(`${json}content-length: 9\r\n\r\n{`), 408],
  ['what is no HTTP', 'HELO there\r\n\r\n', 400],
  ['headers that are too long', head(`x-long: ${'x'.repeat(20_000)}\r\n\r\n`), 431],
] as const) {
  test(`${what}: the answer's request id is in the log, and it is counted once, by its status`, async () => {
    const counted = async () => {
      const text = await (await server.fetch('/metrics')).text()
      const counts = text.split('\n').filter((line) => line.startsWith('threadmill_http_requests_total{'))
      const others = counts.filter((line) => !line.includes('route="/metrics"'))
      return new Map(
        others.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
      )
    }
    const before = await counted()
    const { socket, heard } = open()
    socket.write(start)
    const answer = await heard
    const id = /x-request-id: (\w+)/.exec(answer)?.[1] ?? assert.fail(answer)
    const logged = lines.map((line) => JSON.parse(line) as { request?: string; status?: number })
    assert.deepEqual(
      logged.filter(({ request }) => request === id).map((line) => line.status),
      [status],
    )
    const more = [...(await counted())].filter(([name, count]) => count !== (before.get(name) ?? 0))
    assert.equal(more.length, 1, String(more))
    assert.match(more[0]?.[0] ?? '', new RegExp(`status="${status}"`))
  })
}

test('a request that was refused cannot hold its connection by sending on', async () => {
  const foreign = head(`${json}content-length: 100000\r\n\r\n`).replace('localhost', 'foreign.example')
  const answer = await drip(foreign, ' ')
  assert.match(answer, /^HTTP\/1\.1 403 /)
  assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1)
})

const boundary = 'b'
const formStart =
  `POST /v1/files HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=${boundary}\r\ntransfer-encoding: chunked\r\n\r\n` +
  chunk(`--${boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n`) +
  chunk(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n`)

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
}

test('an upload may take as long as it grows, and ends when it stands still', async () => {
  const { socket, heard } = open()
  socket.write(formStart)
  // Three times as long as a body may take that is no form.
  for (let pieces = 0; pieces < 45; pieces++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    socket.write(chunk('grain '))
  }
  assert.equal(socket.closed, false)
  assert.match(await heard, /^HTTP\/1\.1 408 /)
})

test('an idle connection is closed after its time', async () => {
  const { socket, heard } = open()
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')
  assert.match(await heard, /^HTTP\/1\.1 200 /)
})

test('what waits for a model has no such time', async () => {
  const { client, mock } = server
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'mock-model' })
  mock.next(async ({ send }) => {
    await new Promise((resolve) => setTimeout(resolve, 4 * short.bodyMs))
    await send({ choices: [{ index: 0, delta: { content: 'At last.' }, finish_reason: 'stop' }] })
  })
  const stream = client.beta.threads.createAndRunStream({ assistant_id })
  assert.equal((await stream.finalRun()).status, 'completed')
})

test('a body that came while this process stood still is read, and not called late', async () => {
  const { socket, heard } = open()
  socket.write(head(`${json}connection: close\r\ncontent-length: 2\r\n\r\n`))
  // The head is with the server: a request sent after it has been answered.
  await server.fetch('/healthz')
  socket.write('{}')
  for (const since = performance.now(); performance.now() - since < 3 * short.bodyMs;);
  assert.match(await heard, /^HTTP\/1\.1 200 /)
})

test('every time has a setting, and one that nobody can mean is refused', () => {
  const config = readConfig({ HEADERS_TIMEOUT: '5', MODEL_IDLE_TIMEOUT: '7' })
  assert.equal(config.headersTimeout, 5)
  assert.equal(config.modelIdleTimeout, 7)
  assert.deepEqual(
    [config.bodyTimeout, config.keepAliveTimeout, config.modelConnectTimeout, config.modelFirstByteTimeout],
    [300, 72, 10, 300],
  )
  assert.throws(() => readConfig({ BODY_TIMEOUT: '0' }), /BODY_TIMEOUT must be a whole number from 1/)
})
