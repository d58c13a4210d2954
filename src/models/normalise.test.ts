import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ModelError, type FinishReason, type ModelEvent } from './model.ts'
import { Normaliser, type NormalisedEnd } from './normalise.ts'

interface Outcome {
  events: ModelEvent[]
  end: NormalisedEnd
}

function run(chunks: unknown[], clean = true): Outcome {
  const events: ModelEvent[] = []
  let made = 0
  const normaliser = new Normaliser(
    (event) => events.push(event),
    () => `call_made${made++}`,
  )
  for (const chunk of chunks) normaliser.take(chunk)
  return { events, end: normaliser.end(clean) }
}

const chunk = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason }],
})
const calls = (...tool_calls: object[]) => chunk({ tool_calls })
const fn = (name?: unknown, args?: unknown) => ({ function: { name, arguments: args } })
const stop = (reason = 'tool_calls') => chunk({}, reason)

/** Events as a turn would read, one line a call; throws where they break the promise of ModelEvent. */
function read(events: ModelEvent[]): {
  text: string
  calls: { id: string; name: string; arguments: string }[]
} {
  const made: { id: string; name: string; arguments: string }[] = []
  let text = ''
  for (const event of events) {
    if (event.type === 'text') {
      assert.notEqual(event.text, '', 'no empty text')
      text += event.text
    } else if (event.type === 'call') {
      assert.equal(event.index, made.length, 'calls ascend from 0')
      made.push({ id: event.id, name: event.name, arguments: '' })
    } else {
      assert.equal(event.index, made.length - 1, 'fragments belong to the call announced last')
      assert.notEqual(event.text, '', 'no empty fragment')
      const call = made.at(-1)
      assert.ok(call)
      call.arguments += event.text
    }
  }
  return { text, calls: made }
}

// A fragment in the order that the wire has it; _ is a key left out.
const _ = undefined
const c = (index?: number, id?: string, name?: unknown, args?: unknown) =>
  calls({ index, id, ...fn(name, args) })
const shapes: [title: string, chunks: unknown[], calls: string[]][] = [
  [
    'id and name only in the first chunk',
    [c(0, 'call_a', 'f', ''), c(0, _, _, '{"x"'), c(0, _, _, ':1}')],
    ['call_a f {"x":1}'],
  ],
  [
    'id and name repeated in every chunk',
    [c(0, 'call_a', 'f', '{"x"'), c(0, 'call_a', 'f', ':1}')],
    ['call_a f {"x":1}'],
  ],
  [
    'a name in two parts',
    [c(0, 'call_a', 'get_', ''), c(0, _, 'weather', ''), c(0, _, _, '{}')],
    ['call_a get_weather {}'],
  ],
  ['an id that comes after the name', [c(0, _, 'f'), c(0, 'call_late', _, '{}')], ['call_late f {}']],
  ['no id at all', [c(0, _, 'f', '{}')], ['call_made0 f {}']],
  ['an empty id', [c(0, '', 'f', '{}')], ['call_made0 f {}']],
  ['an id of another form', [c(0, 'tooluse_1', 'f', '{}')], ['call_made0 f {}']],
  ['an id too long', [c(0, `call_${'x'.repeat(65)}`, 'f', '{}')], ['call_made0 f {}']],
  [
    'a new id in every chunk, as old vLLM makes them',
    [c(0, 'call_a', 'f', '{"x"'), c(0, 'call_b', _, ':1}')],
    ['call_a f {"x":1}'],
  ],
  [
    'a first index above 0',
    [c(3, 'call_a', 'f', '{}'), c(5, 'call_b', 'g', '{}')],
    ['call_a f {}', 'call_b g {}'],
  ],
  [
    'no index, told apart by id',
    [c(_, 'call_a', 'f', '{"x"'), c(_, _, _, ':1}'), c(_, 'call_b', 'f', '{}')],
    ['call_a f {"x":1}', 'call_b f {}'],
  ],
  [
    'no index and no id, told apart by name',
    [c(_, _, 'f', ''), c(_, _, 'g', '{}')],
    ['call_made0 f {}', 'call_made1 g {}'],
  ],
  [
    'no index and no id, name repeated',
    [c(_, _, 'f', '{"x"'), c(_, _, 'f', ':1}')],
    ['call_made0 f {"x":1}'],
  ],
  [
    'no index, no id, the same name, whole calls',
    [c(_, _, 'f', '{"x":1}'), c(_, _, 'f', '{"x":2}')],
    ['call_made0 f {"x":1}', 'call_made1 f {"x":2}'],
  ],
  [
    'several in one chunk without index and id',
    [calls(fn('f'), fn('f', '{"x":1}'))],
    ['call_made0 f {}', 'call_made1 f {"x":1}'],
  ],
  [
    'two calls under index 0 with different ids',
    [c(0, 'call_a', 'f', '{}'), c(0, 'call_b', 'f', '{}')],
    ['call_a f {}', 'call_b f {}'],
  ],
  [
    'two calls under index 0 in one chunk without ids',
    [calls({ index: 0, ...fn('f', '{"x":1}') }, { index: 0, ...fn('g', '{}') })],
    ['call_made0 f {"x":1}', 'call_made1 g {}'],
  ],
  [
    'one id for two calls',
    [c(0, 'call_a', 'f', '{}'), c(1, 'call_a', 'g', '{}')],
    ['call_a f {}', 'call_made0 g {}'],
  ],
  ['arguments as an object', [c(0, 'call_a', 'f', { x: [1, 'ü'] })], ['call_a f {"x":[1,"ü"]}']],
  ['arguments null and then text', [c(0, 'call_a', 'f', null), c(0, _, null, '{}')], ['call_a f {}']],
  ['no arguments become an empty object', [c(0, 'call_a', 'f')], ['call_a f {}']],
  [
    'interleaved fragments',
    [c(0, 'call_a', 'f', '{"x"'), c(1, 'call_b', 'g', '{"y"'), c(0, _, _, ':1}'), c(1, _, _, ':2}')],
    ['call_a f {"x":1}', 'call_b g {"y":2}'],
  ],
  ['a surrogate pair cut in two', [c(0, 'call_a', 'f', '"\ud83d'), c(0, _, _, '\ude00"')], ['call_a f "😀"']],
  [
    'a whole chat.completion',
    [
      {
        choices: [
          {
            message: {
              role: 'assistant',
              content: null,
              tool_calls: [
                { id: 'call_a', ...fn('f', '{}') },
                { id: 'call_b', ...fn('f', '{}') },
              ],
            },
            finish_reason: 'tool_calls',
          },
        ],
      },
    ],
    ['call_a f {}', 'call_b f {}'],
  ],
]

describe('tool calls come out whole, whatever their shape', () => {
  for (const [title, chunks, expected] of shapes) {
    test(title, () => {
      const { events, end } = run([...chunks, stop()])
      const got = read(events).calls.map((call) => `${call.id} ${call.name} ${call.arguments}`)
      assert.deepEqual(got, expected)
      assert.equal(end.finish, 'tool_calls')
    })
  }

  test('the first call is passed on live', () => {
    const events: ModelEvent[] = []
    const normaliser = new Normaliser((event) => events.push(event), String)
    normaliser.take(calls({ index: 0, id: 'call_a', ...fn('f', '') }))
    assert.deepEqual(events, [], 'its name may still grow')
    normaliser.take(calls({ index: 0, ...fn(undefined, '{"x"') }))
    assert.equal(events.length, 2)
    normaliser.take(calls({ index: 0, ...fn(undefined, ':1}') }))
    assert.deepEqual(events.at(-1), { type: 'arguments', index: 0, text: ':1}' })
  })

  test('a call without a name is a fault', () => {
    assert.throws(
      () => run([calls({ index: 0, id: 'call_a', ...fn(undefined, '{}') }), stop()]),
      isFault(/without a name/),
    )
  })

  test('too many calls are a fault', () => {
    const many = Array.from({ length: 129 }, (_, index) =>
      calls({ index, id: `call_${index}`, ...fn('f', '{}') }),
    )
    assert.throws(() => run(many), isFault(/more than 128/))
  })
})

const contents: [title: string, deltas: object[], text: string][] = [
  ['strings', [{ content: 'Good' }, { content: ' morning' }], 'Good morning'],
  ['null and empty', [{ content: null }, { content: '' }, { content: 'x' }], 'x'],
  [
    'parts',
    [
      {
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
    ],
    'ab',
  ],
  ['a refusal', [{ content: null, refusal: 'I will not.' }], 'I will not.'],
  ['reasoning is left out', [{ reasoning_content: 'hm' }, { content: 'x' }], 'x'],
  ['blank text is kept around text', [{ content: '\n' }, { content: 'x' }, { content: '\n' }], '\nx\n'],
  ['nothing but blank text is kept', [{ content: '\n' }], '\n'],
  ['a surrogate pair cut in two', [{ content: '\ud83d' }, { content: '\ude00' }], '😀'],
  ['half a surrogate pair', [{ content: 'x\ud83d' }], 'x\ufffd'],
]

describe('text', () => {
  for (const [title, deltas, expected] of contents) {
    test(title, () => {
      const { events } = run([...deltas.map((delta) => chunk(delta)), stop('stop')])
      assert.equal(read(events).text, expected)
    })
  }

  test('blank text before calls makes no message', () => {
    const { events } = run([
      chunk({ content: '\n\n' }),
      calls({ index: 0, id: 'call_a', ...fn('f', '{}') }),
      stop(),
    ])
    assert.equal(read(events).text, '')
  })

  test('text after a call is not lost', () => {
    const late = chunk({ content: 'Wait a moment.' })
    const { events } = run([calls({ index: 0, id: 'call_a', ...fn('f', '{}') }), late, stop()])
    assert.equal(read(events).text, 'Wait a moment.')
  })

  test('an answer without end is a fault', () => {
    const long = chunk({ content: 'x'.repeat(1_000_000) })
    assert.throws(() => run(Array.from({ length: 9 }, () => long)), isFault(/too long/))
  })
})

test('a call that was cut off keeps what it has and is given nothing', () => {
  const { events } = run([calls({ index: 0, id: 'call_a', ...fn('f', '') }), stop('length')])
  assert.deepEqual(events, [{ type: 'call', index: 0, id: 'call_a', name: 'f' }])
})

const call = calls({ index: 0, id: 'call_a', ...fn('f', '{}') })
const hello = chunk({ content: 'Hello' })
const ends: [title: string, chunks: unknown[], clean: boolean, finish: FinishReason | RegExp][] = [
  ['stop', [hello, stop('stop')], true, 'stop'],
  ['an unknown reason', [hello, stop('eos')], true, 'stop'],
  ['length', [hello, stop('length')], true, 'length'],
  ['max_tokens', [hello, stop('max_tokens')], true, 'length'],
  ['content_filter', [hello, stop('content_filter')], true, 'content_filter'],
  ['stop although calls were made', [call, stop('stop')], true, 'tool_calls'],
  ['function_call', [call, stop('function_call')], true, 'tool_calls'],
  ['length in the middle of calls', [call, stop('length')], true, 'length'],
  [
    'length before a call has its name',
    [hello, calls({ index: 0, id: 'call_a' }), stop('length')],
    true,
    'length',
  ],
  ['tool_calls without any', [hello, stop('tool_calls')], true, 'stop'],
  ['no reason, but a clean end', [hello], true, 'stop'],
  ['no reason, calls and a clean end', [call], true, 'tool_calls'],
  ['no reason and no clean end', [hello], false, /in the middle/],
  ['a reason and no clean end', [hello, stop('stop')], false, 'stop'],
  ['an empty answer with a reason', [stop('stop')], true, 'stop'],
  ['an empty answer without a reason', [chunk({ role: 'assistant' })], true, /without saying anything/],
  ['no choices', [{ choices: [] }], true, /no answer/],
  ['the reason error', [hello, stop('error')], true, /failed while/],
]

describe('how a turn ends', () => {
  for (const [title, chunks, clean, expected] of ends) {
    test(title, () => {
      if (expected instanceof RegExp) assert.throws(() => run(chunks, clean), isFault(expected))
      else assert.equal(run(chunks, clean).end.finish, expected)
    })
  }
})

const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
const usages: [title: string, chunks: unknown[], usage: object | undefined][] = [
  ['in a last chunk without choices', [hello, stop('stop'), { choices: [], usage }], usage],
  [
    'on every chunk: the last counts',
    [
      { ...hello, usage: { ...usage, completion_tokens: 1, total_tokens: 4 } },
      { ...stop('stop'), usage },
    ],
    usage,
  ],
  ['in the choice', [{ choices: [{ delta: { content: 'x' }, finish_reason: 'stop', usage }] }], usage],
  [
    'without a total',
    [hello, stop('stop'), { choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 } }],
    usage,
  ],
  ['null', [{ ...hello, usage: null }, stop('stop')], undefined],
  [
    'zeros are no count',
    [hello, { ...stop('stop'), usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }],
    undefined,
  ],
  [
    'more than any turn takes',
    [hello, { ...stop('stop'), usage: { prompt_tokens: 2e9, completion_tokens: 2 } }],
    undefined,
  ],
  ['junk', [hello, { ...stop('stop'), usage: { prompt_tokens: -1, completion_tokens: 'two' } }], undefined],
]

describe('usage', () => {
  for (const [title, chunks, expected] of usages) {
    test(title, () => assert.deepEqual(run(chunks).end.usage, expected))
  }
})

test('any interleaving of any fragments of any calls comes out whole and in order', () => {
  // Arguments as a model writes them; the fragments may be cut anywhere, also within a surrogate pair.
  const source = fc.record({
    name: fc.constantFrom('f', 'g', 'look_up'),
    args: fc.json(),
    cuts: fc.array(fc.nat(40)),
  })
  const style = fc.record({
    repeatId: fc.boolean(),
    repeatName: fc.boolean(),
    firstIndex: fc.nat(3),
    text: fc.string(),
  })
  fc.assert(
    fc.property(
      fc.array(source, { minLength: 1, maxLength: 5 }),
      style,
      fc.infiniteStream(fc.nat()),
      (sources, how, picks) => {
        const queues = sources.map(({ name, args, cuts }, at) => {
          const id = `call_${at}`
          return cutAt(args, cuts).map((part, n) => ({
            index: how.firstIndex + at,
            ...(n === 0 || how.repeatId ? { id } : {}),
            // A repeated name before a fragment that begins an object is how other servers begin a call.
            ...fn(n === 0 || (how.repeatName && !part.trimStart().startsWith('{')) ? name : undefined, part),
          }))
        })
        const chunks: unknown[] = [chunk({ content: how.text })]
        const order: number[] = []
        for (
          let open = queues.filter((queue) => queue.length > 0);
          open.length > 0;
          open = open.filter((queue) => queue.length > 0)
        ) {
          const queue = open[(picks.next().value ?? 0) % open.length]
          const fragment = queue?.shift()
          if (queue === undefined || fragment === undefined) continue
          const at = queues.indexOf(queue)
          if (!order.includes(at)) order.push(at)
          chunks.push(calls(fragment))
        }
        const { events, end } = run([...chunks, stop()])
        const expected = order.map((at) => ({
          id: `call_${at}`,
          name: sources[at]?.name,
          arguments: sources[at]?.args.toWellFormed(),
        }))
        assert.deepEqual(read(events).calls, expected)
        assert.equal(end.finish, 'tool_calls')
      },
    ),
  )
})

function cutAt(text: string, cuts: number[]): string[] {
  const places = [0, ...cuts.filter((at) => at < text.length).sort((a, b) => a - b), text.length]
  return places.slice(1).map((end, n) => text.slice(places[n], end))
}

function isFault(message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ModelError)
    assert.equal(error.code, 'server_error')
    assert.match(error.message, message)
    return true
  }
}
