import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, beforeEach, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { createChatCompletionsModel } from '../src/models/chat-completions.ts'
import {
  createHttpTransport,
  type HttpTransportOptions,
  type Timeouts,
} from '../src/models/http-transport.ts'
import {
  ModelError,
  type Model,
  type ModelEnd,
  type ModelEvent,
  type ModelRequest,
} from '../src/models/model.ts'
import {
  chunks,
  cut,
  defaultUsage,
  delta,
  gate,
  hang,
  raw,
  stall,
  startMockModel,
  status,
  text,
  toolCalls,
  type Answer,
} from './support/mock-model.ts'

const apiKey = 'sk-canary-1234567890'
const mock = await startMockModel()
const open: { close(): Promise<void> }[] = []
after(async () => {
  for (const each of open) {
    await each.close()
  }
  await mock.close()
})
beforeEach(() => mock.reset())

function connect(options: Partial<HttpTransportOptions> = {}): Model {
  const transport = createHttpTransport({ baseUrl: mock.baseUrl, apiKey, ...options })
  open.push(transport)
  return createChatCompletionsModel({ transport })
}

const hi: ModelRequest = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
const tool = { type: 'function', function: { name: 'f', strict: null } } as const

interface Outcome {
  end: ModelEnd
  events: ModelEvent[]
  text: string
}

async function complete(model: Model, request = hi, signal = new AbortController().signal): Promise<Outcome> {
  const events: ModelEvent[] = []
  const end = await model.complete(request, (event) => events.push(event), signal)
  return { end, events, text: events.map((event) => (event.type === 'text' ? event.text : '')).join('') }
}

async function faultOf(model: Model, request = hi): Promise<ModelError> {
  const error = await complete(model, request).then(
    () => assert.fail('no fault'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ModelError, inspect(error))
  assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(apiKey), 'the key stays out of errors')
  return error
}

describe('a turn', () => {
  test('streams text as it comes', async () => {
    const held = gate()
    mock.next(text('Good', held.opened, ' morning'))
    const seen: string[] = []
    const first = Promise.withResolvers<void>()
    const ended = connect().complete(
      hi,
      (event) => {
        if (event.type === 'text') seen.push(event.text)
        first.resolve()
      },
      new AbortController().signal,
    )
    await first.promise
    assert.deepEqual(seen, ['Good'])
    held.open()
    assert.deepEqual(await ended, { finish: 'stop', usage: defaultUsage })
    assert.deepEqual(seen, ['Good', ' morning'])
  })

  test('streams tool calls', async () => {
    mock.next(
      toolCalls(
        [
          { id: 'call_1', name: 'f', arguments: '{"city":"Rome"}' },
          { id: 'call_2', name: 'f', arguments: '{}' },
        ],
        { text: 'One moment.' },
      ),
    )
    const { end, events } = await complete(connect())
    assert.equal(end.finish, 'tool_calls')
    assert.deepEqual(
      events.filter((event) => event.type !== 'arguments'),
      [
        { type: 'text', text: 'One moment.' },
        { type: 'call', index: 0, id: 'call_1', name: 'f' },
        { type: 'call', index: 1, id: 'call_2', name: 'f' },
      ],
    )
  })

  test('maps ids that clients could not use', async () => {
    mock.next(toolCalls([{ id: 'chatcmpl-tool-1', name: 'f', arguments: '{}' }]))
    const [event] = (await complete(connect())).events
    assert.ok(event?.type === 'call')
    assert.match(event.id, /^call_[0-9A-Za-z]{24}$/)
  })

  test('sends what was asked for and nothing else', async () => {
    await complete(connect(), {
      ...hi,
      tool_choice: 'required',
      parallel_tool_calls: false,
      tools: [],
      response_format: 'auto',
    })
    const sent = mock.requests[0]
    assert.deepEqual(sent?.body, { ...hi, stream: true, stream_options: { include_usage: true } })
    assert.equal(sent?.path, '/v1/chat/completions')
    assert.equal(sent?.headers.authorization, `Bearer ${apiKey}`)
    const all: ModelRequest = {
      ...hi,
      tools: [tool],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: false,
      temperature: 0.5,
      top_p: 0.9,
      max_completion_tokens: 256,
      response_format: { type: 'json_object' },
      reasoning_effort: 'low',
    }
    await complete(connect(), all)
    assert.deepEqual(mock.requests[1]?.body, {
      ...all,
      tools: [{ type: 'function', function: { name: 'f' } }],
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test('works without a key, with a query and with userinfo', async () => {
    await complete(connect({ apiKey: undefined }))
    assert.equal(mock.requests[0]?.headers.authorization, undefined)
    const url = mock.baseUrl.replace('//', '//user:hunter22@').concat('/?api-version=secret-2')
    const model = connect({ apiKey: undefined, baseUrl: url })
    assert.equal(model.description, mock.baseUrl)
    await complete(model)
    assert.equal(mock.requests[1]?.headers.authorization, `Basic ${btoa('user:hunter22')}`)
    mock.next(status(400, { error: { message: 'hunter22 and secret-2 are wrong' } }))
    const fault = await faultOf(model)
    assert.match(fault.message, /: \[redacted\] and \[redacted\] are wrong$/)
  })

  test('uses its connection again', async () => {
    const model = connect()
    for (let n = 0; n < 3; n++) {
      await complete(model)
      // The end of the body, behind [DONE], is read in the background.
      await mock.requests[n]?.ended
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.equal(new Set(mock.requests.map((request) => request.port)).size, 1)
  })

  test('ends at [DONE] although the connection stays open', async () => {
    mock.next(stall('Hello'))
    const answer: Answer = async (exchange) => {
      await exchange.send(delta({ content: 'Hello' }, 'stop'))
      await exchange.raw('data: [DONE]\n\n')
      await hang()(exchange)
    }
    mock.reset()
    mock.next(answer)
    assert.equal((await complete(connect())).text, 'Hello')
    assert.equal(await mock.requests[0]?.ended, 'aborted', 'and the connection is not kept for ever')
  })

  test('estimates the usage that a backend does not report', async () => {
    mock.next(text('12345678', { usage: null }))
    const image = {
      type: 'image_url',
      image_url: { url: `data:image/png;base64,${'A'.repeat(400_000)}` },
    } as const
    const request: ModelRequest = { model: 'm', messages: [{ role: 'user', content: [image] }] }
    const { usage } = (await complete(connect(), request)).end
    assert.equal(usage.completion_tokens, 2)
    assert.ok(usage.prompt_tokens > 10 && usage.prompt_tokens < 100, `${usage.prompt_tokens} tokens`)
    assert.equal(usage.total_tokens, usage.prompt_tokens + 2)
  })

  test('takes a whole chat.completion from a backend that cannot stream', async () => {
    const message = {
      role: 'assistant',
      content: 'Hello',
      tool_calls: [{ id: 'call_1', function: { name: 'f', arguments: '{}' } }],
    }
    mock.next(
      status(200, {
        object: 'chat.completion',
        choices: [{ index: 0, message, finish_reason: 'stop' }],
        usage: defaultUsage,
      }),
    )
    const { end, text: said, events } = await complete(connect())
    assert.deepEqual(end, { finish: 'tool_calls', usage: defaultUsage })
    assert.equal(said, 'Hello')
    assert.equal(events.length, 3)
  })

  test('takes a stream that is called JSON', async () => {
    const bytes = `data: ${JSON.stringify(delta({ content: 'Hello' }, 'stop'))}\n\ndata: [DONE]\n\n`
    mock.next(raw(bytes, { headers: { 'content-type': 'application/json' } }))
    assert.equal((await complete(connect())).text, 'Hello')
  })
})

describe('bytes cut in ugly places', () => {
  const said = 'Grüße 😀 \u2028 "quoted"\n'
  const frames = [delta({ content: said.slice(0, 7) }), delta({ content: said.slice(7) }, 'stop')]
  const lines = frames.map((frame) => `: ping\nid: 1\nevent: message\ndata: ${JSON.stringify(frame)}`)
  const streams: [title: string, bytes: string][] = [
    ['LF', `${lines.join('\n\n')}\n\ndata: [DONE]\n\n`],
    ['CRLF', `${lines.join('\n\n')}\n\ndata: [DONE]\n\n`.replaceAll('\n', '\r\n')],
    ['a byte order mark', `\ufeff${lines.join('\n\n')}\n\ndata: [DONE]\n\n`],
    ['no space behind data:', `${lines.join('\n\n').replaceAll('data: ', 'data:')}\n\ndata:[DONE]\n\n`],
    ['no newline at the end', `${lines.join('\n\n')}\n\ndata: [DONE]`],
    ['no [DONE]', `${lines.join('\n\n')}\n\n`],
    ['no [DONE] and no newline', lines.join('\n\n')],
  ]
  for (const [title, bytes] of streams) {
    for (const every of [1, 2, 3, 7, bytes.length]) {
      test(`${title}, ${every} at a time`, async () => {
        mock.next(raw(bytes, { every }))
        const { text: got, end } = await complete(connect())
        assert.equal(got, said)
        assert.equal(end.finish, 'stop')
      })
    }
  }

  test('broken UTF-8 becomes the replacement character', async () => {
    const [before, behind] = JSON.stringify(delta({ content: '@' }, 'stop')).split('@')
    mock.next(
      raw(Buffer.concat([Buffer.from(`data: ${before}`), Buffer.from([0xff]), Buffer.from(`${behind}\n\n`)])),
    )
    assert.equal((await complete(connect())).text, '\ufffd')
  })
})

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

describe('keys that a backend does not know', () => {
  const request: ModelRequest = {
    ...hi,
    tools: [tool],
    parallel_tool_calls: false,
    max_completion_tokens: 300,
  }

  for (const [key, code, left] of [
    ['stream_options', 400, undefined],
    ['stream_options', 422, undefined],
    ['parallel_tool_calls', 400, undefined],
    ['max_completion_tokens', 400, { max_tokens: 300 }],
  ] as const) {
    test(`${key} is left out or renamed after a ${code}, and it is remembered`, async () => {
      mock.when(
        (body) => body[key] !== undefined,
        status(code, { error: { message: `Unknown parameter: ${key}` } }),
      )
      const model = connect()
      await complete(model, request)
      await complete(model, request)
      assert.equal(mock.requests.length, 3)
      for (const { body } of mock.requests.slice(1)) {
        assert.equal(body[key], undefined)
        assert.partialDeepStrictEqual(body, left ?? {})
      }
      await complete(model, { ...request, model: 'other' })
      assert.equal(mock.requests.length, 5, 'another model is asked anew')
    })
  }

  test('all of them at once', async () => {
    const refuse = status(422, 'stream_options, max_completion_tokens, parallel_tool_calls: extra inputs')
    mock.when((body) => body.stream_options !== undefined || body.max_tokens === undefined, refuse)
    await complete(connect(), request)
    assert.equal(mock.requests.length, 3)
  })

  test('what did not help is not remembered', async () => {
    const model = connect()
    mock.when(() => true, status(400, { error: { message: 'max_completion_tokens is too large' } }))
    await faultOf(model, request)
    assert.equal(mock.requests.length, 2)
    mock.reset()
    await complete(model, request)
    assert.equal(mock.requests[0]?.body.max_completion_tokens, 300)
  })
})

describe('the list of models', () => {
  const signal = new AbortController().signal

  test('is passed on', async () => {
    assert.deepEqual(await connect().list(signal), [
      { id: 'mock-model', object: 'model', created: 1, owned_by: 'mock' },
    ])
    mock.models(status(200, [{ id: 'bare' }, { name: 'no id' }]))
    assert.deepEqual(await connect().list(signal), [
      { id: 'bare', object: 'model', created: 0, owned_by: 'unknown' },
    ])
  })

  for (const [title, answer, code] of [
    ['404', status(404), 'server_error'],
    ['429', status(429), 'rate_limit_exceeded'],
    ['something else', status(200, { data: 'none' }), 'server_error'],
    ['no answer in time', hang(), 'server_error'],
  ] as [string, Answer, string][]) {
    test(`${title} is a fault`, async () => {
      mock.models(answer)
      await assert.rejects(connect({ timeouts: { listMs: 60 } }).list(signal), { name: 'ModelError', code })
    })
  }
})
