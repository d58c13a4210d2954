import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { readConfig, refuseOpenDoor } from '../src/config.ts'
import { startServer } from './support/server.ts'

// Which names the server answers to, which pages may call, and when it refuses to start. A page of anybody's can make a
// browser of this machine send requests here.

const server = await startServer({
  env: { ALLOWED_HOSTS: 'threads.example.com', ALLOWED_ORIGINS: 'https://app.example.com' },
})

interface Answer {
  status: number
  body: { error?: { code: string | null; message: string } }
}

/** A request whose Host and Origin fetch would not let through. */
async function send(path: string, headers: Record<string, string>, body?: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const method = body === undefined ? 'GET' : 'POST'
  const sent = request(server.app.url + path, { method, headers, agent: false }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (data: string) => (text += data))
    answer.on('end', () =>
      resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) as Answer['body'] }),
    )
  })
  sent.on('error', reject)
  sent.end(body)
  return promise
}

async function threadCount(): Promise<number> {
  return (await server.db.sql('select id from threads')).length
}

const ours = [
  'localhost',
  'LOCALHOST:1',
  '127.0.0.1',
  '127.8.9.1:80',
  '[::1]:80',
  'memgpt.localhost',
  'threads.example.com:443',
]
const foreign = [
  'example.com',
  'localhost.example.com',
  '127.0.0.1.example.com',
  '192.168.1.5',
  'xthreads.example.com',
  'example.com:8283',
]

test('a request to a name of this machine, or a listed one, is answered', async () => {
  for (const host of ours) assert.equal((await send('/v1/assistants', { host })).status, 200, host)
})

test('a request to any other name is refused before its body is read, as from a page that rebinds its name', async () => {
  const before = await threadCount()
  for (const host of foreign) {
    const headers = { host, 'content-type': 'application/json' }
    const { status, body } = await send('/v1/threads', headers, '{"broken')
    assert.equal(status, 403, host)
    assert.equal(body.error?.code, 'host_not_allowed')
    assert.match(body.error?.message ?? '', /ALLOWED_HOSTS/)
  }
  assert.equal(await threadCount(), before)
})

test('of two Host headers none counts, and a whole URL in the first line counts before the header', async () => {
  const { port, hostname } = new URL(server.app.url)
  const statusOf = async (target: string, ...hosts: string[]) => {
    const socket = connect(Number(port), hostname)
    const head = [`GET ${target} HTTP/1.1`, ...hosts.map((host) => `Host: ${host}`), 'Connection: close']
    socket.write(`${head.join('\r\n')}\r\n\r\n`)
    let text = ''
    for await (const piece of socket.setEncoding('utf8')) text += String(piece)
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
  }
  assert.equal(await statusOf('/v1/assistants', 'localhost'), 200)
  assert.equal(await statusOf('/v1/assistants', 'localhost', 'example.com'), 400)
  assert.equal(await statusOf('/v1/assistants', 'localhost', 'localhost'), 400)
  assert.equal(await statusOf('http://localhost/v1/assistants', 'example.com'), 200)
  assert.equal(await statusOf('http://example.com/v1/assistants', 'localhost'), 403)
})

test('probes are answered under any name', async () => {
  for (const path of ['/healthz', '/readyz'])
    assert.equal((await send(path, { host: '10.1.2.3:8283' })).status, 200)
})

test('a page that may not call changes nothing, whatever it sends', async () => {
  const before = await threadCount()
  const bodies = [
    ['application/json', '{}'],
    ['text/plain', '{}'],
    ['application/x-www-form-urlencoded', 'a=b'],
    ['multipart/form-data; boundary=x', '--x--\r\n'],
  ] as const
  for (const origin of [
    'https://evil.example',
    'null',
    'http://localhost.evil.example',
    'file://',
    'https://app.example.com:8443',
  ]) {
    for (const [type, text] of bodies) {
      for (const path of ['/v1/threads', '/v1/files']) {
        const { status, body } = await send(path, { origin, 'content-type': type }, text)
        assert.equal(status, 403, `${origin} ${type} ${path}`)
        assert.equal(body.error?.code, 'origin_not_allowed')
      }
    }
  }
  assert.equal(await threadCount(), before)
})

test('what a page of another site loads as an image or a script is refused; a link that leads here is not', async () => {
  const load = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
  const { status, body } = await send('/v1/assistants', load)
  assert.equal(status, 403)
  assert.equal(body.error?.code, 'origin_not_allowed')
  const link = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }
  assert.equal((await send('/openapi.json', link)).status, 200)
  const own = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'no-cors' }
  assert.equal((await send('/v1/assistants', own)).status, 200)
  const answer = await fetch(`${server.app.url}/v1/assistants`)
  assert.equal(answer.headers.get('cross-origin-resource-policy'), 'same-origin')
})

test('pages of this machine, listed ones and those of the server itself may call', async () => {
  for (const origin of ['http://localhost:3000', 'http://127.0.0.1', 'https://app.example.com']) {
    assert.equal(
      (await send('/v1/threads', { origin, 'content-type': 'application/json' }, '{}')).status,
      200,
      origin,
    )
  }
  const own = {
    host: 'threads.example.com',
    origin: 'https://threads.example.com',
    'content-type': 'application/json',
  }
  assert.equal((await send('/v1/threads', own, '{}')).status, 200)
})

test('an address that others reach is refused without a key, unless ALLOW_ANONYMOUS says that all may come in', () => {
  const start = (env: Record<string, string>, keyed = false) => refuseOpenDoor(readConfig(env), keyed)
  for (const HOST of ['0.0.0.0', '::', '192.168.1.5', 'threads.example.com']) {
    assert.throws(() => start({ HOST }), /HOST is ".*ALLOW_ANONYMOUS=1/)
    assert.throws(() => start({ HOST, ALLOW_ANONYMOUS: '0' }), /ALLOW_ANONYMOUS=1/)
    start({ HOST, ALLOW_ANONYMOUS: '1' })
    start({ HOST }, true)
  }
  for (const HOST of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) start({ HOST })
  assert.throws(() => readConfig({ ALLOW_ANONYMOUS: 'yes' }), /ALLOW_ANONYMOUS must be 0 or 1/)
  assert.throws(
    () => readConfig({ ALLOWED_HOSTS: 'https://a.example' }),
    /ALLOWED_HOSTS must list host names/,
  )
})

test('the address that is listened on counts as listed', () => {
  const config = readConfig({
    HOST: '192.168.1.5',
    ALLOW_ANONYMOUS: '1',
    ALLOWED_HOSTS: 'A.example, b.example',
  })
  assert.deepEqual(config.allowedHosts, ['a.example', 'b.example', '192.168.1.5'])
})
