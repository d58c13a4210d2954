import assert from 'node:assert/strict'
import { check, type Check } from './check.ts'
import { runPath, runsPath, textOf, times, tool, type Target } from './target.ts'

// wire.md §3. Every list is walked in the same ways; lists that all checks share are walked between two of their items.

interface Page {
  object: string
  data: { id: string }[]
  first_id: string | null
  last_id: string | null
  has_more: boolean
}

/** The operation of each list. */
const operations: Record<string, string> = {
  assistants: '§4 Assistants GET /assistants',
  messages: '§4 Messages GET .../messages',
  runs: '§4 Runs GET .../runs',
  steps: '§4 Runs GET {run_id}/steps , /steps/{step_id}',
  files: '§4 Files GET /files',
}

interface List {
  /** With a question mark. */
  path: string
  /** The items of this list that the check made, oldest first. */
  ids: string[]
  /** Nothing else is in it. */
  own: boolean
}

/** Four items or more of each list. */
const lists: Record<string, (t: Target) => Promise<List>> = {
  async assistants(t) {
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await t.assistant()).id)
    return { path: '/v1/assistants?', ids, own: false }
  },
  async messages(t) {
    const { id } = await t.thread(...times(5, (n) => `Message ${n}.`))
    const ids = (await t.messages(id)).map((message) => message.id)
    return { path: `/v1/threads/${id}/messages?`, ids, own: true }
  },
  async runs(t) {
    const { assistant, thread } = await t.ready('Hi.')
    const ids: string[] = []
    for (let n = 0; n < 4; n++) {
      const run = await t.client.beta.threads.runs.create(thread, { assistant_id: assistant })
      ids.push((await t.stopped(run)).id)
    }
    return { path: `${runsPath(thread)}?`, ids, own: true }
  },
  async steps(t) {
    let run = await t.ran('#rounds 3 f', {}, { tools: [tool('f')] })
    while (run.status === 'requires_action') run = await t.answered(run)
    return { path: `${runPath(run)}/steps?`, ids: (await t.steps(run)).map(({ id }) => id), own: true }
  },
  async files(t) {
    const ids: string[] = []
    for (let n = 0; n < 4; n++) ids.push((await t.file()).id)
    return { path: '/v1/files?', ids, own: false }
  },
}

async function page(t: Target, path: string): Promise<Page> {
  const { status, json, text } = await t.get<Page>(path)
  assert.equal(status, 200, text)
  return json
}

const idsOf = async (t: Target, path: string) => (await page(t, path)).data.map(({ id }) => id)

const lastOf = (ids: string[]) => ids.at(-1) ?? ''

/** The checks that every list gets. */
function checksOf(name: string): Check[] {
  const make = (t: Target) => (lists[name] ?? assert.fail())(t)
  // Files have no `before`.
  const both = name !== 'files'
  return [
    check(`paging.${name}.envelope`, ['§3 Envelope', operations[name] ?? ''], async (t) => {
      const { path, ids } = await make(t)
      const { data, ...rest } = await page(t, `${path}limit=2`)
      assert.equal(data.length, 2)
      const expected = { object: 'list', first_id: data[0]?.id, last_id: data[1]?.id, has_more: true }
      assert.deepEqual(rest, expected)
      const least = await page(t, `${path}limit=1&order=asc&after=${ids[0]}`)
      assert.equal(least.first_id, least.last_id)
    }),
    check(`paging.${name}.newest-first`, '§3 Params', async (t) => {
      const { path, ids, own } = await make(t)
      const newest = await idsOf(t, `${path}limit=100`)
      assert.deepEqual(
        newest.filter((id) => ids.includes(id)),
        ids.toReversed(),
      )
      if (own) assert.deepEqual(await idsOf(t, `${path}order=asc`), ids)
      assert.deepEqual(newest.slice(0, 1).length, 1)
    }),
    check(`paging.${name}.after`, ['§3 after=X', '§3 order within one second'], async (t) => {
      const { path, ids, own } = await make(t)
      const up = await idsOf(t, `${path}order=asc&limit=100&after=${ids[0]}`)
      assert.deepEqual(
        up.filter((id) => ids.includes(id)),
        ids.slice(1),
      )
      const down = await idsOf(t, `${path}order=desc&limit=100&after=${lastOf(ids)}`)
      assert.deepEqual(
        down.filter((id) => ids.includes(id)),
        ids.slice(0, -1).toReversed(),
      )
      if (own) assert.deepEqual(await idsOf(t, `${path}order=asc&limit=1&after=${ids[0]}`), [ids[1]])
    }),
    ...(both ? bothWays(name, make) : []),
    check(`paging.${name}.unknown-cursor`, '§3 Unknown cursor', async (t) => {
      const { path } = await make(t)
      const cursors = both ? ['after', 'before'] : ['after']
      for (const param of cursors) await t.refused('GET', `${path}${param}=msg_none`, undefined, { param })
    }),
    check(`paging.${name}.limits`, ['§3 Out of range limit', '§9 number bounds'], async (t) => {
      const { path } = await make(t)
      const most = name === 'files' ? 10_000 : 100
      await page(t, `${path}limit=1`)
      await page(t, `${path}limit=${most}`)
      await t.refused('GET', `${path}limit=0`, undefined, {
        code: 'integer_below_min_value',
        param: 'limit',
        text: "Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.",
      })
      await t.refused('GET', `${path}limit=${most + 1}`, undefined, {
        code: 'integer_above_max_value',
        param: 'limit',
        text: `Invalid 'limit': integer above maximum value. Expected a value <= ${most}, but got ${most + 1} instead.`,
      })
      await t.refused('GET', `${path}limit=ten`, undefined, { param: 'limit' })
      await t.refused('GET', `${path}order=up`, undefined, {
        code: 'invalid_value',
        param: 'order',
        text: "Invalid value: 'up'. Supported values are: 'asc', 'desc'.",
      })
    }),
  ]
}

function bothWays(name: string, make: (t: Target) => Promise<List>): Check[] {
  return [
    check(`paging.${name}.before`, '§3 before=X', async (t) => {
      const { path, ids, own } = await make(t)
      const up = await idsOf(t, `${path}order=asc&limit=100&before=${lastOf(ids)}&after=${ids[0]}`)
      assert.deepEqual(
        up.filter((id) => ids.includes(id)),
        ids.slice(1, -1),
      )
      if (!own) return
      // The page next to the cursor, in the order that was asked for.
      assert.deepEqual(await idsOf(t, `${path}order=asc&limit=2&before=${lastOf(ids)}`), ids.slice(-3, -1))
      assert.deepEqual(
        await idsOf(t, `${path}order=desc&limit=2&before=${ids[0]}`),
        ids.slice(1, 3).toReversed(),
      )
    }),
    check(`paging.${name}.between-two-cursors`, '§3 both', async (t) => {
      const { path, ids, own } = await make(t)
      const down = await idsOf(t, `${path}order=desc&limit=100&after=${lastOf(ids)}&before=${ids[0]}`)
      assert.deepEqual(
        down.filter((id) => ids.includes(id)),
        ids.slice(1, -1).toReversed(),
      )
      if (own) assert.deepEqual(down, ids.slice(1, -1).toReversed())
    }),
  ]
}

export const pagingChecks: Check[] = [
  ...Object.keys(lists).flatMap(checksOf),
  check('paging.empty', '§3 Envelope', async (t) => {
    const { id } = await t.thread()
    const empty = { object: 'list', data: [], first_id: null, last_id: null, has_more: false }
    for (const path of [`/v1/threads/${id}/messages`, runsPath(id)])
      assert.deepEqual(await page(t, path), empty)
  }),
  check('paging.20-by-default', '§3 Params', async (t) => {
    const { id } = await t.thread(...times(21, (n) => `Message ${n}.`))
    const { data, has_more } = await page(t, `/v1/threads/${id}/messages`)
    assert.deepEqual([data.length, has_more], [20, true])
    const whole = await page(t, `/v1/threads/${id}/messages?limit=21`)
    assert.deepEqual([whole.data.length, whole.has_more], [21, false])
  }),
  check('paging.100-at-most', '§3 Params', async (t) => {
    const { id } = await t.thread(...times(101, (n) => `Message ${n}.`))
    const { data, has_more } = await page(t, `/v1/threads/${id}/messages?limit=100`)
    assert.deepEqual([data.length, has_more], [100, true])
  }),
  check('paging.has-more-ends', '§3 Envelope', async (t) => {
    const { path, ids } = await (lists['messages'] ?? assert.fail())(t)
    const seen: string[] = []
    let after = ''
    for (let more = true; more;) {
      const { data, has_more, last_id } = await page(
        t,
        `${path}order=asc&limit=2${after && `&after=${after}`}`,
      )
      seen.push(...data.map(({ id }) => id))
      more = has_more
      after = last_id ?? ''
      assert.ok(seen.length <= ids.length)
    }
    assert.deepEqual(seen, ids)
  }),
  check('paging.has-more-before', '§3 before=X', async (t) => {
    const { path, ids } = await (lists['messages'] ?? assert.fail())(t)
    const near = await page(t, `${path}order=asc&limit=2&before=${ids[3]}`)
    assert.deepEqual([near.data.map(({ id }) => id), near.has_more], [ids.slice(1, 3), true])
    const rest = await page(t, `${path}order=asc&limit=2&before=${ids[1]}`)
    assert.deepEqual([rest.data.map(({ id }) => id), rest.has_more], [ids.slice(0, 1), false])
  }),
  check('paging.many-in-one-second', '§3 order within one second', async (t) => {
    const texts = times(60, (n) => `Message ${n}.`)
    const { id } = await t.thread(...texts)
    for (const order of ['asc', 'desc'] as const) {
      const seen: string[] = []
      for await (const message of t.client.beta.threads.messages.list(id, { order, limit: 7 })) {
        seen.push(textOf(message))
      }
      assert.deepEqual(seen, order === 'asc' ? texts : texts.toReversed())
    }
  }),
  check('paging.sdk-walks-both-ways', '§3 SDK needs', async (t) => {
    const { id } = await t.thread(...times(5, (n) => `Message ${n}.`))
    const first = await t.client.beta.threads.messages.list(id, { limit: 2 })
    assert.equal(first.hasNextPage(), true)
    const second = await first.getNextPage()
    assert.deepEqual(second.data.map(textOf), ['Message 2.', 'Message 1.'])
    assert.equal((await second.getNextPage()).hasNextPage(), false)
  }),
  check('paging.files-10000-by-default', ['§3 Params', '§4 Files GET /files'], async (t) => {
    await Promise.all(times(21, (n) => t.file(`File ${n}.`)))
    const { data } = await t.client.files.list()
    assert.ok(data.length >= 21, 'more than 20 without a limit')
  }),
]
