import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { startServer } from './support/server.ts'

// Items may be as large as a body: a page of them ends where it has become too large, and paging finds them all the same.

// Not alone: pages come from Postgres.
const server = await startServer({ tuning: { alone: false } })
const { client } = server
const { assistants, threads } = client.beta

/** Ids of all pages, following the cursors; and how many there were on each. */
async function paged(
  first: AsyncIterable<{ data: { id: string }[] }>,
): Promise<{ ids: string[]; pages: number[] }> {
  const pages: string[][] = []
  for await (const { data } of first) pages.push(data.map(({ id }) => id))
  return { ids: pages.flat(), pages: pages.map(({ length }) => length) }
}

/** 250,000 characters that Postgres cannot compress much. */
const noise = () => randomBytes(125_000).toString('hex')

async function postMessage(thread: string, part: () => string, parts: number): Promise<string> {
  const content = Array.from({ length: parts }, () => ({ type: 'text' as const, text: part() }))
  return (await threads.messages.create(thread, { role: 'user', content })).id
}

test('a page of large messages ends at about 16 million characters, in every direction, and paging finds all of them', async () => {
  const { id: thread } = await threads.create()
  const made: string[] = []
  // 3, 3, 30, 3, 3, 3, 3 and 0.1 million characters: one is larger than a whole page.
  for (const millions of [3, 3, 30, 3, 3, 3, 3]) made.push(await postMessage(thread, noise, millions * 4))
  made.push(await postMessage(thread, () => 'small', 1))
  const down = await paged((await threads.messages.list(thread)).iterPages())
  assert.deepEqual(down.ids, made.toReversed())
  assert.deepEqual(down.pages, [5, 1, 2])
  const up = await paged((await threads.messages.list(thread, { order: 'asc' })).iterPages())
  assert.deepEqual(up.ids, made)
  assert.deepEqual(up.pages, [2, 1, 5])
  // Backwards: the page that ends just before the cursor.
  const last = made.at(-1) ?? ''
  const page = await threads.messages.list(thread, { order: 'asc', before: last })
  assert.deepEqual([page.data.map(({ id }) => id), page.has_more], [made.slice(3, 7), true])
  const two = await threads.messages.list(thread, { order: 'asc', limit: 2 })
  assert.deepEqual([two.data.map(({ id }) => id), two.has_more], [made.slice(0, 2), true])
})

test('messages that compress well are not counted for more than they are', async () => {
  const { id: thread } = await threads.create()
  const made: string[] = []
  for (let i = 0; i < 12; i++) made.push(await postMessage(thread, () => 'x'.repeat(250_000), 4))
  const { ids, pages } = await paged((await threads.messages.list(thread, { order: 'asc' })).iterPages())
  assert.deepEqual([ids, pages], [made, [12]])
})

test('lists of large assistants and runs end in the same way', async () => {
  const parameters = () => ({ type: 'object', properties: {}, description: noise().repeat(16) })
  const tool = () => ({ type: 'function' as const, function: { name: 'f', parameters: parameters() } })
  const made: string[] = []
  for (let i = 0; i < 5; i++)
    made.push((await assistants.create({ model: 'mock-model', tools: [tool()] })).id)
  const found = await paged((await assistants.list({ order: 'asc' })).iterPages())
  assert.deepEqual([found.ids, found.pages], [made, [4, 1]])
  const { id: thread } = await threads.create()
  const runs: string[] = []
  for (const assistant_id of made) {
    const run = await threads.runs.createAndPoll(thread, { assistant_id })
    assert.equal(run.status, 'completed')
    runs.push(run.id)
  }
  const listed = await paged((await threads.runs.list(thread, { order: 'asc' })).iterPages())
  assert.deepEqual([listed.ids, listed.pages], [runs, [4, 1]])
})
