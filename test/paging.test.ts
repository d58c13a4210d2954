import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { text, toolCalls } from './support/mock-model.ts'
import { startServer, textOf, tool } from './support/server.ts'

const server = await startServer()
const { client, mock } = server
const { threads, assistants } = client.beta

interface Page {
  data: { id: string }[]
  first_id: string | null
  last_id: string | null
  has_more: boolean
}
interface PageParams {
  limit?: number
  order?: 'asc' | 'desc'
  after?: string
  before?: string
}
interface Listed {
  path: string
  /** Ids in the order of their creation. */
  ids: string[]
}

const lists = new Map<string, Listed>()
let assistant = ''
let runThread = ''
let runIds: string[] = []

before(async () => {
  const made = []
  for (let i = 0; i < 9; i++)
    made.push((await assistants.create({ model: 'mock-model', tools: [tool('f')] })).id)
  assistant = made[0] ?? ''
  lists.set('assistants', { path: '/v1/assistants', ids: made })

  // One creation, so that no message differs from its neighbour in time.
  const contents = Array.from({ length: 30 }, (_, i) => ({ role: 'user' as const, content: `m${i}` }))
  const thread = (await threads.create({ messages: contents })).id
  const stored = await server.db.sql<{ id: string }>(
    `select id from messages where thread_id = $1 order by
      substr(content->0->'text'->>'value', 2)::int`,
    [thread],
  )
  lists.set('messages', { path: `/v1/threads/${thread}/messages`, ids: stored.map((row) => row.id) })

  runThread = (await threads.create()).id
  for (let i = 0; i < 7; i++) {
    mock.next(text(`answer ${i}`))
    const run = await threads.runs.createAndPoll(runThread, { assistant_id: assistant })
    assert.equal(run.status, 'completed')
    runIds.push(run.id)
  }
  lists.set('runs', { path: `/v1/threads/${runThread}/runs`, ids: runIds })

  // Five turns of tool calls and the answer: six steps.
  for (let i = 0; i < 5; i++) mock.next(toolCalls([{ id: `call_${i}`, name: 'f', arguments: '{}' }]))
  mock.next(text('end'))
  const stepThread = (await threads.create()).id
  let run = await threads.runs.createAndPoll(stepThread, { assistant_id: assistant })
  for (let i = 0; i < 5; i++) {
    run = await threads.runs.submitToolOutputsAndPoll(run.id, {
      thread_id: stepThread,
      tool_outputs: [{ tool_call_id: `call_${i}`, output: 'x' }],
    })
  }
  assert.equal(run.status, 'completed')
  const steps = await server.db.sql<{ id: string }>(
    `select id from run_steps where run_id = $1 and thread_id = $2 order by turn`,
    [run.id, stepThread],
  )
  assert.equal(steps.length, 6)
  lists.set('steps', {
    path: `/v1/threads/${stepThread}/runs/${run.id}/steps`,
    ids: steps.map((row) => row.id),
  })

  const more = []
  for (let i = 0; i < 4; i++) more.push((await threads.create()).id)
  lists.set('threads', { path: '/v1/threads', ids: [thread, runThread, stepThread, ...more] })
})

function listed(kind: string): Listed {
  return lists.get(kind) ?? assert.fail(`no list of ${kind}`)
}

async function ask(path: string, params: PageParams & { run_id?: string } = {}): Promise<Response> {
  const query = new URLSearchParams(
    Object.entries(params).map(([key, value]): [string, string] => [key, String(value)]),
  )
  return server.fetch(`${path}?${query.toString()}`)
}

/** The ids of a page, whose envelope must agree with them. */
async function page(
  path: string,
  params: PageParams & { run_id?: string } = {},
): Promise<[string[], boolean]> {
  const answer = await ask(path, params)
  assert.equal(answer.status, 200)
  const { data, first_id, last_id, has_more } = (await answer.json()) as Page
  const ids = data.map((item) => item.id)
  assert.deepEqual([first_id, last_id], [ids[0] ?? null, ids.at(-1) ?? null])
  return [ids, has_more]
}

/** The page as wire.md §3 describes it, from the whole list. */
function expected(
  ids: string[],
  { limit = 20, order = 'desc', after, before: until }: PageParams,
): [string[], boolean] {
  const all = order === 'asc' ? ids : ids.toReversed()
  const from = after === undefined ? 0 : all.indexOf(after) + 1
  const to = until === undefined ? all.length : all.indexOf(until)
  const between = all.slice(from, Math.max(from, to))
  const nearest = until !== undefined && after === undefined
  const items = nearest ? between.slice(-limit) : between.slice(0, limit)
  return [items, between.length > limit]
}

for (const kind of ['assistants', 'threads', 'messages', 'runs', 'steps']) {
  test(`${kind} are paged by every pair of cursors, in both orders and at every limit`, async () => {
    const { path, ids } = listed(kind)
    const n = ids.length
    const cursors = [undefined, ids[0], ids[1], ids[Math.floor(n / 2)], ids[n - 2], ids[n - 1]]
    for (const order of [undefined, 'asc', 'desc'] as const) {
      for (const after of cursors) {
        const questions = cursors.flatMap((until) =>
          [1, 2, n - 1, n].map((limit): PageParams => ({
            limit,
            ...(order && { order }),
            ...(after && { after }),
            ...(until && { before: until }),
          })),
        )
        await Promise.all(
          questions.map(async (question) => {
            const answer = await page(path, question)
            assert.deepEqual(answer, expected(ids, question), JSON.stringify(question))
          }),
        )
      }
    }
  })

  test(`pages of ${kind} of one item, taken one after another, give the whole list both ways`, async () => {
    const { path, ids } = listed(kind)
    const seen: string[] = []
    for (let more = true; more;) {
      const after = seen.at(-1)
      const [items, hasMore] = await page(path, { limit: 1, order: 'asc', ...(after && { after }) })
      seen.push(...items)
      more = hasMore
    }
    assert.deepEqual(seen, ids)
    const back: string[] = []
    for (let more = true; more;) {
      const [items, hasMore] = await page(path, {
        limit: 1,
        order: 'asc',
        before: back[0] ?? ids.at(-1) ?? '',
      })
      back.unshift(...items)
      more = hasMore
    }
    assert.deepEqual(back, ids.slice(0, -1))
  })

  test(`a cursor that is not in the list of ${kind} is refused, naming the parameter`, async () => {
    const { path } = listed(kind)
    const other = listed(kind === 'messages' ? 'runs' : 'messages').ids[0] ?? ''
    for (const param of ['after', 'before']) {
      for (const id of ['msg_000000000000000000000000', other, 'nonsense', "'; drop table runs; --"]) {
        const answer = await ask(path, { [param]: id })
        assert.equal(answer.status, 400)
        const message = `Invalid '${param}': no item with id '${id}' is in this list.`
        const error = { message, type: 'invalid_request_error', param, code: 'invalid_value' }
        assert.deepEqual(await answer.json(), { error })
      }
    }
  })
}

test('without a limit 20 items come, the newest first, and 100 may be asked for', async () => {
  const { path, ids } = listed('messages')
  const newestFirst = ids.toReversed()
  assert.deepEqual(await page(path), [newestFirst.slice(0, 20), true])
  assert.deepEqual(await page(path, { limit: 100 }), [newestFirst, false])
})

test('messages of one creation keep its order, although they share one second', async () => {
  const { path, ids } = listed('messages')
  const thread = path.split('/')[3] ?? ''
  const times = await server.db.sql('select distinct created_at from messages where thread_id = $1', [thread])
  assert.equal(times.length, 1)
  const ascending = await threads.messages.list(thread, { order: 'asc', limit: 100 })
  assert.deepEqual(
    ascending.data.map(textOf),
    Array.from({ length: 30 }, (_, i) => `m${i}`),
  )
  assert.deepEqual(await page(path, { order: 'asc', limit: 30 }), [ids, false])
})

test('an empty list has null ids and no more', async () => {
  const { id } = await threads.create()
  for (const path of [`/v1/threads/${id}/messages`, `/v1/threads/${id}/runs`]) {
    const answer = await ask(path)
    assert.equal(answer.status, 200)
    const nothing = { object: 'list', data: [], first_id: null, last_id: null, has_more: false }
    assert.deepEqual(await answer.json(), nothing)
  }
})

test('run_id narrows messages to those of the run, pages included', async () => {
  const path = `/v1/threads/${runThread}/messages`
  const answers = await Promise.all(runIds.map((run_id) => page(path, { run_id })))
  for (const [i, [ids, more]] of answers.entries()) {
    assert.equal(more, false)
    const [id] = ids
    assert.equal(ids.length, 1)
    const message = await threads.messages.retrieve(id ?? '', { thread_id: runThread })
    assert.equal(message.run_id, runIds[i])
    assert.equal(textOf(message), `answer ${i}`)
  }
  const [[first], [second]] = [answers[0]?.[0] ?? [], answers[1]?.[0] ?? []]
  assert.deepEqual(await page(path, { run_id: runIds[0] ?? '', after: first ?? '' }), [[], false])
  const foreign = await ask(path, { run_id: runIds[0] ?? '', after: second ?? '' })
  assert.equal(foreign.status, 400, 'a message of another run is not in this list')
  assert.deepEqual(await page(path, { run_id: 'run_000000000000000000000000' }), [[], false])
})

test('a cursor of another thread is refused', async () => {
  const mine = await threads.create({ messages: [{ role: 'user', content: 'x' }] })
  const foreign = listed('messages').ids[3] ?? ''
  for (const param of ['after', 'before']) {
    const answer = await ask(`/v1/threads/${mine.id}/messages`, { [param]: foreign })
    assert.equal(answer.status, 400)
    const { error } = (await answer.json()) as { error: { param: string } }
    assert.equal(error.param, param)
  }
  const runs = await ask(`/v1/threads/${mine.id}/runs`, { after: runIds[0] ?? '' })
  assert.equal(runs.status, 400)
  const steps = await ask(`/v1/threads/${runThread}/runs/${runIds[0]}/steps`, {
    after: listed('steps').ids[0] ?? '',
  })
  assert.equal(steps.status, 400)
})

test('empty parameters count as ones that are not there', async () => {
  const { path, ids } = listed('runs')
  const answer = await server.fetch(`${path}?limit=&order=&after=&before=`)
  assert.equal(answer.status, 200)
  const { data } = (await answer.json()) as Page
  assert.deepEqual(
    data.map((item) => item.id),
    ids.toReversed(),
  )
})

test('the SDK pages through more than a hundred items by itself, each once', async () => {
  const contents = Array.from({ length: 130 }, (_, i) => ({ role: 'user' as const, content: `m${i}` }))
  const thread = (await threads.create({ messages: contents })).id
  for (const order of ['asc', 'desc'] as const) {
    const texts: string[] = []
    for await (const message of threads.messages.list(thread, { order })) texts.push(textOf(message))
    const all = contents.map((message) => message.content)
    assert.deepEqual(texts, order === 'asc' ? all : all.toReversed())
  }
  const pages: number[] = []
  const whole = await threads.messages.list(thread, { limit: 100 })
  for await (const part of whole.iterPages()) pages.push(part.getPaginatedItems().length)
  assert.deepEqual(pages, [100, 30])
})

test('items that come in while one pages backwards do not shift the pages', async () => {
  const thread = (
    await threads.create({ messages: [1, 2, 3, 4].map((n) => ({ role: 'user' as const, content: `${n}` })) })
  ).id
  const first = await threads.messages.list(thread, { limit: 2 })
  await threads.messages.create(thread, { role: 'user', content: '5' })
  const second = await first.getNextPage()
  assert.deepEqual([...first.data, ...second.data].map(textOf), ['4', '3', '2', '1'])
  assert.equal(second.has_more, false)
})
