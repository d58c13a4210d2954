import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FunctionTool } from '../contract/tools.ts'
import { createDemoModel } from './demo.ts'
import type { ChatMessage, ModelEvent, ModelRequest } from './model.ts'

const tools = ['get_weather', 'add'].map((name): FunctionTool => ({ type: 'function', function: { name } }))
const user = (content: string): ChatMessage => ({ role: 'user', content })

async function ask(said: string | ChatMessage[], more: Partial<ModelRequest> = {}) {
  const messages = typeof said === 'string' ? [user(said)] : said
  const events: ModelEvent[] = []
  const signal = new AbortController().signal
  const end = await createDemoModel().complete(
    { model: 'demo', messages, ...more },
    (event) => events.push(event),
    signal,
  )
  const texts = events.flatMap((event) => (event.type === 'text' ? [event.text] : []))
  const calls = events.flatMap((event) => (event.type === 'call' ? [event.name] : []))
  const args = calls.map((_, index) =>
    events.map((event) => (event.type === 'arguments' && event.index === index ? event.text : '')).join(''),
  )
  return {
    ...end,
    text: texts.join(''),
    pieces: texts.length,
    calls: calls.map((name, at) => `${name} ${args[at]}`),
  }
}

describe('the demo model', () => {
  test('says what it is and what it heard, word by word', async () => {
    const answer = await ask('What is a thread?')
    assert.match(answer.text, /scripted, not a real model.*You said: "What is a thread\?".*OPENAI_BASE_URL/)
    assert.ok(answer.pieces > 10)
    assert.equal(answer.finish, 'stop')
    assert.ok(answer.usage.completion_tokens > 10)
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
  })

  test('hears only the newest user message', async () => {
    const answer = await ask([user('/fail 500'), { role: 'assistant', content: 'Oh.' }, user('Again?')])
    assert.match(answer.text, /You said: "Again\?"/)
  })

  test('reads the text parts of a message', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:,' } } as const
    const answer = await ask([{ role: 'user', content: [{ type: 'text', text: 'Look:' }, image] }])
    assert.match(answer.text, /You said: "Look:"/)
  })

  for (const [title, said, more, calls] of [
    ['one', '/call get_weather {"city":"Rome"}', {}, ['get_weather {"city":"Rome"}']],
    ['in any case', 'please /CALL Get_Weather', {}, ['get_weather {}']],
    [
      'several in lines',
      '/call add {"a":{"b":"}"}}\n/call add\n/call get_weather {"x": 1}',
      {},
      ['add {"a":{"b":"}"}}', 'add {}', 'get_weather {"x": 1}'],
    ],
    ['several in a line', '/call add {"a":1} /call add {"a":2}', {}, ['add {"a":1}', 'add {"a":2}']],
    ['one at a time', '/call add /call get_weather', { parallel_tool_calls: false }, ['add {}']],
    ['because one is required', 'Hi', { tool_choice: 'required' }, ['get_weather {}']],
    [
      'because it is named',
      'Hi',
      { tool_choice: { type: 'function', function: { name: 'add' } } },
      ['add {}'],
    ],
    [
      'named, with arguments',
      '/call add {"a":1}',
      { tool_choice: { type: 'function', function: { name: 'add' } } },
      ['add {"a":1}'],
    ],
    ['none, as told', '/call add', { tool_choice: 'none' }, []],
  ] as [string, string, Partial<ModelRequest>, string[]][]) {
    test(`calls tools: ${title}`, async () => {
      const answer = await ask(said, { tools, ...more })
      assert.deepEqual(answer.calls, calls)
      assert.equal(answer.finish, calls.length > 0 ? 'tool_calls' : 'stop')
    })
  }

  test('says so when it cannot call a tool', async () => {
    assert.match((await ask('/call nope', { tools })).text, /cannot call "nope".*get_weather, add/)
    assert.match((await ask('/call nope')).text, /This run has no tools/)
    assert.match((await ask('/call add {"a":', { tools })).text, /not a JSON object/)
  })

  test('quotes the outputs of its tools, and does not call again', async () => {
    const call = (id: string, name: string) => ({
      id,
      type: 'function' as const,
      function: { name, arguments: '{}' },
    })
    const answer = await ask(
      [
        user('/call get_weather /call add'),
        {
          role: 'assistant',
          content: null,
          tool_calls: [call('call_1', 'get_weather'), call('call_2', 'add')],
        },
        { role: 'tool', tool_call_id: 'call_1', content: 'sunny' },
        { role: 'tool', tool_call_id: 'call_2', content: '42' },
      ],
      { tools },
    )
    assert.match(answer.text, /get_weather said "sunny"; add said "42"/)
    assert.deepEqual(answer.calls, [])
  })

  for (const [status, code] of [
    [400, 'invalid_prompt'],
    [401, 'server_error'],
    [429, 'rate_limit_exceeded'],
    [500, 'server_error'],
  ] as const) {
    test(`/fail ${status} fails with ${code}`, async () => {
      await assert.rejects(ask(`/fail ${status}`), {
        name: 'ModelError',
        code,
        message: new RegExp(String(status)),
      })
    })
  }

  test('/cut breaks off in the middle', async () => {
    await assert.rejects(ask('/cut'), { name: 'ModelError', message: /in the middle/ })
  })

  test('/length and /filter end early', async () => {
    const whole = await ask('Hi')
    const [length, filter] = [await ask('/length'), await ask('/Filter')]
    assert.equal(length.finish, 'length')
    assert.equal(filter.finish, 'content_filter')
    assert.ok(length.pieces > 0 && length.pieces < whole.pieces && filter.pieces < whole.pieces)
  })

  test('/slow spreads its answer over the seconds', async () => {
    const waits: number[] = []
    const model = createDemoModel({ sleep: async (ms) => void waits.push(ms) })
    await model.complete(
      { model: 'demo', messages: [user('/slow 2.5')] },
      () => {},
      new AbortController().signal,
    )
    assert.equal(Math.round(waits.reduce((sum, ms) => sum + ms, 0)), 2500)
    assert.ok(waits.length > 10)
  })

  test('/slow ends at once by an abort', async () => {
    const abort = new AbortController()
    const reason = new Error('cancelled')
    const turn = createDemoModel().complete(
      { model: 'demo', messages: [user('/slow 600')] },
      () => {},
      abort.signal,
    )
    setTimeout(() => abort.abort(reason), 5)
    await assert.rejects(turn, (error) => error === reason)
  })

  test('lists itself', async () => {
    const [model, ...others] = await createDemoModel().list(new AbortController().signal)
    assert.equal(model?.id, 'demo')
    assert.deepEqual(others, [])
  })
})
