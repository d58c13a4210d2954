import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, beforeEach, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { HttpTransportOptions, Timeouts } from '../src/models/http-transport.ts'
import type { Model, ModelError } from '../src/models/model.ts'
import {
  chunks,
  cut,
  delta,
  hang,
  raw,
  stall,
  startMockModel,
  status,
  type Answer,
} from './support/mock-model.ts'
import { apiKey, complete, connect as connectTo, faultOf, hi } from './support/model-turns.ts'

const mock = await startMockModel()
after(() => mock.close())
beforeEach(() => mock.reset())
const connect = (options: Partial<HttpTransportOptions> = {}): Model =>
  connectTo({ baseUrl: mock.baseUrl, ...options })

const said = { error: { message: 'Said the backend.' } }
const faults: [title: string, answer: Answer, code: ModelError['code'], message: RegExp][] = [
  ['500', status(500, said), 'server_error', /HTTP 500: Said the backend\.$/],
  ['503 with a page', status(503, '<html>Busy</html>'), 'server_error', /HTTP 503\.$/],
  ['529', status(529), 'server_error', /HTTP 529\.$/],
  ['429', status(429, said), 'rate_limit_exceeded', /HTTP 429: Said/],
  [
    'quota',
    status(403 - 1, { error: { message: 'Pay.', code: 'insufficient_quota' } }),
    'rate_limit_exceeded',
    /HTTP 402: Pay/,
  ],
  ['400', status(400, said), 'invalid_prompt', /HTTP 400: Said/],
  ['400 with a bare text', status(400, 'No such thing'), 'invalid_prompt', /HTTP 400: No such thing$/],
  ['404', status(404, { error: "model 'm' not found" }), 'invalid_prompt', /HTTP 404: model 'm' not found/],
  ['413', status(413), 'invalid_prompt', /HTTP 413\.$/],
  ['422', status(422, { detail: [{ msg: 'Bad field' }] }), 'invalid_prompt', /HTTP 422: .*Bad field/],
  [
    '401',
    status(401, { error: { message: `Incorrect API key: ${apiKey}` } }),
    'server_error',
    /HTTP 401.*OPENAI_API_KEY/,
  ],
  ['403', status(403, said), 'server_error', /HTTP 403.*OPENAI_API_KEY/],
  ['a redirect', status(307, {}, { location: 'http://169.254.169.254/' }), 'server_error', /HTTP 307/],
  ['418', status(418, said), 'server_error', /HTTP 418/],
  ['a cut before the first byte', cut(), 'server_error', /cut before/],
  ['a cut in the middle', cut('Hel'), 'server_error', /cut before/],
  [
    'an end in the middle',
    chunks([delta({ content: 'Hel' })], { usage: null, done: false }),
    'server_error',
    /in the middle/,
  ],
  [
    'an end within an event',
    raw(`data: ${JSON.stringify(delta({ content: 'Hel' }))}\n\ndata: {"cho`),
    'server_error',
    /in the middle/,
  ],
  ['a malformed chunk', raw('data: {"choices": [}\n\n'), 'server_error', /malformed chunk/],
  ['an empty stream', raw(''), 'server_error', /no answer.*OPENAI_BASE_URL/],
  ['only [DONE]', raw('data: [DONE]\n\n'), 'server_error', /no answer/],
  [
    'a page',
    raw('<html>Hello</html>', { headers: { 'content-type': 'text/html' } }),
    'server_error',
    /no answer/,
  ],
  ['JSON without choices', status(200, { hello: 'world' }), 'server_error', /no answer/],
  [
    'malformed JSON',
    raw('{"choices', { headers: { 'content-type': 'application/json' } }),
    'server_error',
    /malformed/,
  ],
  [
    'an error in the stream',
    chunks([delta({ content: 'Hel' }), said]),
    'server_error',
    /reported an error: Said/,
  ],
  ['an error as a text', chunks([{ error: 'Out of memory' }]), 'server_error', /Out of memory/],
  [
    'a rate limit in the stream',
    chunks([{ error: { message: 'Slow down', code: 429 } }]),
    'rate_limit_exceeded',
    /Slow down/,
  ],
  [
    'a quota in the stream',
    chunks([{ error: { message: 'Pay', type: 'insufficient_quota' } }]),
    'rate_limit_exceeded',
    /Pay/,
  ],
  [
    'too long a prompt in the stream',
    chunks([{ error: { message: 'Too long', code: 'context_length_exceeded' } }]),
    'invalid_prompt',
    /Too long/,
  ],
  [
    'an error with status 200',
    status(200, { error: { message: 'No model', type: 'invalid_request_error' } }),
    'invalid_prompt',
    /No model/,
  ],
  [
    'a compressed answer',
    raw(gzipSync('data: [DONE]\n\n'), { headers: { 'content-encoding': 'gzip' } }),
    'server_error',
    /compressed/,
  ],
  ['an endless line', raw(`data: ${'x'.repeat(9_000_000)}`), 'server_error', /too large/],
]

describe('a fault becomes an error that says what to do', () => {
  for (const [title, answer, code, message] of faults) {
    test(title, async () => {
      mock.next(answer)
      const fault = await faultOf(connect())
      assert.equal(fault.code, code)
      assert.match(fault.message, message)
      assert.equal(mock.requests.length, 1, 'nothing is tried again')
    })
  }

  const timeouts: Timeouts = { connectMs: 500, firstByteMs: 60, betweenBytesMs: 60, listMs: 60 }

  test('nothing listens', async () => {
    const free = createServer()
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
    const { port } = free.address() as { port: number }
    await new Promise((resolve) => free.close(resolve))
    const fault = await faultOf(connect({ baseUrl: `http://127.0.0.1:${port}/v1` }))
    assert.equal(fault.code, 'server_error')
    assert.match(fault.message, /refused the connection.*OPENAI_BASE_URL/)
  })

  test('an unknown host', async () => {
    const fault = await faultOf(connect({ baseUrl: 'http://no-such-host.invalid/v1', timeouts }))
    assert.equal(fault.code, 'server_error')
    assert.match(fault.message, /OPENAI_BASE_URL/)
  })

  test('no first byte in time, and the request is closed', async () => {
    mock.next(hang())
    assert.match((await faultOf(connect({ timeouts }))).message, /did not begin/)
    assert.equal(await mock.requests[0]?.ended, 'aborted')
  })

  test('headers alone are no first byte', async () => {
    mock.next(async (exchange) => {
      exchange.response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      await hang()(exchange)
    })
    assert.match(
      (await faultOf(connect({ timeouts: { ...timeouts, betweenBytesMs: 5000 } }))).message,
      /did not begin/,
    )
  })

  test('silence in the middle, and the request is closed', async () => {
    mock.next(stall('Hel'))
    assert.match(
      (await faultOf(connect({ timeouts: { ...timeouts, firstByteMs: 5000 } }))).message,
      /stopped in the middle/,
    )
    assert.equal(await mock.requests[0]?.ended, 'aborted')
  })

  test('slow but steady is no fault', async () => {
    const pauses = Array.from({ length: 8 }, (_, n) => async () => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      return `${n} `
    })
    mock.next(async (exchange) => {
      for (const pause of pauses) await exchange.send(delta({ content: await pause() }))
      await exchange.send(delta({}, 'stop'))
    })
    const { text: got } = await complete(
      connect({ timeouts: { ...timeouts, firstByteMs: 100, betweenBytesMs: 150 } }),
    )
    assert.equal(got, '0 1 2 3 4 5 6 7 ')
  })

  test('a cut after the reason for stopping loses nothing', async () => {
    mock.next(async (exchange) => {
      await exchange.send(delta({ content: 'Hello' }, 'stop'))
      exchange.cut()
    })
    assert.equal((await complete(connect())).end.finish, 'stop')
  })

  test('a long message is cut, and no credential is in it', async () => {
    const message = `${'x'.repeat(480)} ${apiKey} Bearer abcdef.ghi sk-proj-other_key ${'y'.repeat(5000)}`
    mock.next(status(400, { error: { message } }))
    const fault = await faultOf(connect())
    assert.ok(fault.message.length < 600)
    assert.doesNotMatch(fault.message, /canary|1234|abcdef|proj/)
  })

  test('no more of an error body is read than could matter', async () => {
    mock.next(async (exchange) => {
      exchange.response.writeHead(500, { 'content-type': 'text/plain' })
      while (!exchange.signal.aborted) await exchange.raw('x'.repeat(65_536))
    })
    assert.match((await faultOf(connect())).message, /^.{20,700}$/)
    assert.equal(await mock.requests[0]?.ended, 'aborted')
  })

  test('a fault of our own stays what it is', async () => {
    const bug = new TypeError('a bug')
    const throwing = connect().complete(hi, () => assert.fail(bug), new AbortController().signal)
    await assert.rejects(throwing, bug)
  })
})

describe('an abort', () => {
  for (const [title, answer] of [
    ['before the first byte', hang()],
    ['in the middle', stall('Hel')],
    [
      'in the body of an error',
      async (exchange) => {
        exchange.response.writeHead(500).write('x')
        await hang()(exchange)
      },
    ],
  ] as [string, Answer][]) {
    test(`${title} closes the request and rejects with the reason`, async () => {
      mock.next(answer)
      const abort = new AbortController()
      const reason = new Error('cancelled by the user')
      const turn = complete(connect(), hi, abort.signal)
      const request = await mock.received(0)
      await new Promise((resolve) => setTimeout(resolve, 20))
      abort.abort(reason)
      await assert.rejects(turn, (error) => error === reason)
      assert.equal(await request.ended, 'aborted')
      assert.ok(request.aborted && !request.finished)
    })
  }

  test('before the start sends nothing', async () => {
    await assert.rejects(complete(connect(), hi, AbortSignal.abort('why')), (error) => error === 'why')
    assert.equal(mock.requests.length, 0)
  })

  test('from within an event stops the events', async () => {
    mock.next(raw(`data: ${JSON.stringify(delta({ content: 'a' }))}\n\n`.repeat(5)))
    const abort = new AbortController()
    let events = 0
    const on = (): void => {
      events++
      abort.abort()
    }
    await assert.rejects(connect().complete(hi, on, abort.signal), { name: 'AbortError' })
    assert.equal(events, 1)
  })
})
