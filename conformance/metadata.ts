import assert from 'node:assert/strict'
import { check, type Check } from './check.ts'
import { runPath, runsPath, times, type Refusal, type Target } from './target.ts'

// wire.md §8, for every object that has metadata.

type Pairs = Record<string, string | null>

interface Holder {
  /** Where such an object is created, and the least that it takes. */
  create: (t: Target) => Promise<[string, object]>
  /** Where the object that was created is changed. */
  modify: (thread: string, id: string) => string
}

const holders: Record<string, Holder> = {
  assistants: {
    create: async (t) => ['/v1/assistants', { model: t.options.modelName }],
    modify: (_, id) => `/v1/assistants/${id}`,
  },
  threads: { create: async () => ['/v1/threads', {}], modify: (_, id) => `/v1/threads/${id}` },
  messages: {
    create: async (t) => [`/v1/threads/${(await t.thread()).id}/messages`, { role: 'user', content: 'x' }],
    modify: (thread, id) => `/v1/threads/${thread}/messages/${id}`,
  },
  runs: {
    create: async (t) => {
      const { assistant, thread } = await t.ready('Hi.')
      return [runsPath(thread), { assistant_id: assistant }]
    },
    modify: (thread, id) => runPath({ id, thread_id: thread } as never),
  },
}

const pairs = (count: number): Pairs => Object.fromEntries(times(count, (n) => [`key-${n}`, `value ${n}`]))

const refusals: [string, string, Pairs, Refusal][] = [
  [
    '17-pairs',
    '§9 md >16',
    pairs(17),
    {
      code: 'object_above_max_properties',
      param: 'metadata',
      text: "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    },
  ],
  [
    'key-of-65',
    '§9 md key >64',
    { ['k'.repeat(65)]: 'v' },
    {
      code: 'property_name_above_max_length',
      param: `metadata.${'k'.repeat(65)}`,
      text: `Invalid property name in 'metadata': '${'k'.repeat(65)}' is too long. Expected a string with maximum length 64, but got a string with length 65 instead.`,
    },
  ],
  [
    'value-of-513',
    '§9 md value >512',
    { k: 'v'.repeat(513) },
    {
      code: 'string_above_max_length',
      param: 'metadata.k',
      text: "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, but got a string with length 513 instead.",
    },
  ],
]

interface Held {
  id: string
  thread_id?: string
  metadata: Pairs
}

function checksOf(name: string, { create, modify }: Holder): Check[] {
  const make = async (t: Target, metadata: Pairs) => {
    const [path, body] = await create(t)
    const { json, text, status } = await t.post<Held>(path, { ...body, metadata })
    assert.equal(status, 200, text)
    return { object: json, path: modify(json.thread_id ?? '', json.id) }
  }
  return [
    check(`metadata.${name}.largest`, '§8 limits', async (t) => {
      // Code points are counted, not UTF-16 units.
      const most = { ...pairs(15), ['🌾'.repeat(64)]: '🌾'.repeat(512) }
      const { object, path } = await make(t, most)
      assert.deepEqual(object.metadata, most)
      assert.deepEqual((await t.get<Held>(path)).json.metadata, most)
    }),
    check(`metadata.${name}.updates-merge`, '§8 updates', async (t) => {
      const { path } = await make(t, { a: '1', b: '2', c: '3', d: '4' })
      const change = { a: 'one', b: '', c: null, e: '5' }
      const { json } = await t.post<Held>(path, { metadata: change })
      assert.deepEqual(json.metadata, { a: 'one', d: '4', e: '5' })
      assert.deepEqual((await t.post<Held>(path, {})).json.metadata, json.metadata)
      assert.deepEqual((await t.get<Held>(path)).json.metadata, json.metadata)
    }),
    check(`metadata.${name}.updates-stay-within-16`, '§8 limits', async (t) => {
      const { path } = await make(t, pairs(16))
      const expected = { code: 'object_above_max_properties', param: 'metadata' }
      await t.refused('POST', path, { metadata: { another: 'x' } }, expected)
      const swapped = await t.post<Held>(path, { metadata: { another: 'x', 'key-0': '' } })
      assert.equal(swapped.status, 200)
      assert.equal(Object.keys(swapped.json.metadata).length, 16)
    }),
    ...refusals.map(([what, row, metadata, expected]) =>
      check(`metadata.${name}.refuses-${what}`, [row, '§8 limits'], async (t) => {
        const [path, body] = await create(t)
        await t.refused('POST', path, { ...body, metadata }, expected)
      }),
    ),
    check(`metadata.${name}.refuses-other-types`, '§8 limits', async (t) => {
      const [path, body] = await create(t)
      await t.refused(
        'POST',
        path,
        { ...body, metadata: { n: 7 } },
        { code: 'invalid_type', param: 'metadata.n' },
      )
      await t.refused('POST', path, { ...body, metadata: [] }, { code: 'invalid_type', param: 'metadata' })
    }),
    check(`metadata.${name}.null-is-empty`, '§8 updates', async (t) => {
      const [path, body] = await create(t)
      assert.deepEqual((await t.post<Held>(path, { ...body, metadata: null })).json.metadata, {})
    }),
  ]
}

export const metadataChecks: Check[] = Object.entries(holders).flatMap(([name, holder]) =>
  checksOf(name, holder),
)
