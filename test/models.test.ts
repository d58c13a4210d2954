import assert from 'node:assert/strict'
import { after, beforeEach, describe, test } from 'node:test'
import type { HttpTransportOptions } from '../src/models/http-transport.ts'
import type { Model, ModelRequest } from '../src/models/model.ts'
import {
  defaultUsage,
  delta,
  gate,
  hang,
  raw,
  startMockModel,
  status,
  text,
  toolCalls,
  type Answer,
  type RecordedRequest,
} from './support/mock-model.ts'
import { apiKey, complete, connect as connectTo, faultOf, hi } from './support/model-turns.ts'

const mock = await startMockModel()
after(() => mock.close())
beforeEach(() => mock.reset())
const connect = (options: Partial<HttpTransportOptions> = {}): Model =>
  connectTo({ baseUrl: mock.baseUrl, ...options })
const tool = { type: 'function', function: { name: 'f', strict: null } } as const
const withTool: ModelRequest = { ...hi, tools: [tool] }

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
    const { end, events } = await complete(connect(), withTool)
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
    const [event] = (await complete(connect(), withTool)).events
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

  for (const [title, request, made] of [
    ['all of its calls', { ...hi, tools: [tool] }, ['call_1', 'call_2', 'call_3']],
    [
      'the first of its calls without parallel_tool_calls',
      { ...hi, tools: [tool], parallel_tool_calls: false },
      ['call_1'],
    ],
    ['none of its calls without tools', hi, []],
    ['none of its calls with tool_choice none', { ...hi, tools: [tool], tool_choice: 'none' }, []],
  ] as [string, ModelRequest, string[]][]) {
    test(`of a backend that calls all the same it takes ${title}`, async () => {
      const calls = [1, 2, 3].map((n) => ({ id: `call_${n}`, name: 'f', arguments: `{"n":${n}}` }))
      mock.next(toolCalls(calls, { text: 'So.' }))
      const { end, events, text: said } = await complete(connect(), request)
      assert.equal(said, 'So.')
      assert.equal(end.finish, made.length > 0 ? 'tool_calls' : 'stop')
      const begun = events.filter((event) => event.type === 'call').map((event) => event.id)
      assert.deepEqual(begun, made)
      const args = events.map((event) => (event.type === 'arguments' ? event.text : '')).join('')
      assert.equal(
        args,
        calls
          .slice(0, made.length)
          .map((call) => call.arguments)
          .join(''),
      )
    })
  }

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
    const answer: Answer = async (exchange) => {
      await exchange.send(delta({ content: 'Hello' }, 'stop'))
      await exchange.raw('data: [DONE]\n\n')
      await hang()(exchange)
    }
    mock.next(answer)
    assert.equal((await complete(connect())).text, 'Hello')
    assert.equal(await mock.requests[0]?.ended, 'aborted', 'and the connection is not kept for ever')
  })

  test('estimates the usage that a backend does not report', async () => {
    mock.next(text('eight words of English that a model wrote', { usage: null }))
    const { usage } = (await complete(connect())).end
    assert.deepEqual(usage, { prompt_tokens: 5, completion_tokens: 11, total_tokens: 16 })
  })

  test('estimates an image by its detail and not by the characters of its data URL', async () => {
    const url = `data:image/png;base64,${'A'.repeat(400_000)}`
    const cost = async (detail?: string) => {
      mock.next(text('Seen.', { usage: null }))
      const image = { type: 'image_url', image_url: { url, detail } } as const
      const request: ModelRequest = { model: 'm', messages: [{ role: 'user', content: [image] }] }
      return (await complete(connect(), request)).end.usage.prompt_tokens
    }
    assert.deepEqual([await cost(), await cost('high'), await cost('low')], [1004, 1004, 89])
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
    const { end, text: said, events } = await complete(connect(), withTool)
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

  for (const [who, said] of [
    [
      'OpenAI',
      'max_tokens is too large: 50000. This model supports at most 16384 completion tokens, whereas you provided 50000.',
    ],
    [
      'vLLM',
      "'max_tokens' or 'max_completion_tokens' is too large: 50000. This model's maximum context length is 32768 tokens",
    ],
    [
      'an older vLLM',
      "This model's maximum context length is 4096 tokens. However, you requested 50020 tokens (20 in the messages, 50000 in the completion).",
    ],
    ['Anthropic', 'max_tokens: 50000 > 8192, which is the maximum allowed number of output tokens'],
  ] as const) {
    test(`a limit above what the model answers is left out for that turn alone (${who})`, async () => {
      const limitOf = (body: RecordedRequest['body']) => body.max_completion_tokens ?? body.max_tokens
      mock.when((body) => (limitOf(body) ?? 0) > 4096, status(400, { error: { message: said } }))
      const model = connect()
      await complete(model, { ...hi, max_completion_tokens: 50_000 })
      await complete(model, { ...hi, max_completion_tokens: 300 })
      assert.deepEqual(
        mock.requests.map(({ body }) => limitOf(body)),
        [50_000, undefined, 300],
      )
      assert.ok(!mock.requests.some(({ body }) => 'max_tokens' in body))
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
