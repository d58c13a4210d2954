import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type OpenAI from 'openai'
import type OpenAI6 from 'openai-6'
import { createHistory, type History } from './support/stored-threads.ts'
import { startServer } from './support/server.ts'

// GET /v1/threads by metadata and by time, against all threads as a plain list gives them.

const server = await startServer()
const { client, client6 } = server
let history: History

before(async () => {
  history = await createHistory(server)
})

interface Page {
  data: { id: string; created_at: number; metadata: Record<string, string> }[]
  first_id: string | null
  last_id: string | null
  has_more: boolean
}

type Query = Record<string, unknown>

function list(query: Query, by: OpenAI | OpenAI6 = client): Promise<Page> {
  return by.get('/threads', { query }) as Promise<Page>
}

/** All pages of a list, following its cursors forwards. */
async function all(query: Query, by?: OpenAI | OpenAI6): Promise<string[]> {
  const ids: string[] = []
  for (let after: string | undefined; ;) {
    const page = await list(
      { limit: 'created_at' in query ? 90 : 7, ...query, ...(after ? { after } : {}) },
      by,
    )
    assert.equal(page.first_id, page.data[0]?.id ?? null)
    assert.equal(page.last_id, page.data.at(-1)?.id ?? null)
    ids.push(...page.data.map(({ id }) => id))
    if (!page.has_more) return ids
    after = page.last_id ?? assert.fail('a page that is not the last is not empty')
  }
}

const expected = (wanted: (thread: History[number]) => boolean) => history.filter(wanted).map(({ id }) => id)

test('threads are found by one pair of metadata and by several, rare or common, in both orders', async () => {
  const cases: [Record<string, string>, (thread: History[number]) => boolean][] = [
    [{ user: 'u3' }, ({ metadata }) => metadata['user'] === 'u3'],
    [{ kind: 'common' }, ({ metadata }) => metadata['kind'] === 'common'],
    [
      { kind: 'common', user: 'u2' },
      ({ metadata }) => metadata['user'] === 'u2' && metadata['kind'] === 'common',
    ],
    [{ rare: 'yes' }, ({ metadata }) => metadata['rare'] === 'yes'],
    [{ 'Größe 1.5': '"[ä]&=' }, ({ metadata }) => metadata['Größe 1.5'] === '"[ä]&='],
    [{ user: 'U3' }, () => false],
    [{ constructor: 'x' }, () => false],
  ]
  for (const [metadata, wanted] of cases) {
    const ids = expected(wanted)
    assert.deepEqual(await all({ metadata, order: 'asc' }), ids, JSON.stringify(metadata))
    assert.deepEqual(await all({ metadata }), ids.toReversed(), JSON.stringify(metadata))
  }
  assert.equal(expected(({ metadata }) => metadata['rare'] === 'yes').length, 2)
})

test('a span of time takes its bounds as they are named, alone and with metadata', async () => {
  const [early, late] = [history.at(-50)?.created_at ?? 0, history.at(-20)?.created_at ?? 0]
  assert.ok(early < late)
  const cases: [Record<string, number>, (at: number) => boolean][] = [
    [{ gte: early }, (at) => at >= early],
    [{ gt: early }, (at) => at > early],
    [{ lt: late }, (at) => at < late],
    [{ lte: late }, (at) => at <= late],
    [{ gte: early, lt: late }, (at) => at >= early && at < late],
    [{ gt: early, gte: early, lt: late, lte: late }, (at) => at > early && at < late],
    [{ gte: late, lt: early }, () => false],
    [{ lt: 0 }, () => false],
  ]
  for (const [created_at, wanted] of cases) {
    const ids = expected((thread) => wanted(thread.created_at))
    assert.deepEqual(await all({ created_at, order: 'asc' }), ids, JSON.stringify(created_at))
    assert.deepEqual(await all({ created_at }), ids.toReversed(), JSON.stringify(created_at))
    const common = expected((thread) => wanted(thread.created_at) && thread.metadata['kind'] === 'common')
    assert.deepEqual(await all({ created_at, metadata: { kind: 'common' }, order: 'asc' }), common)
    const rare = expected((thread) => wanted(thread.created_at) && thread.metadata['rare'] === 'yes')
    assert.deepEqual(await all({ created_at, metadata: { rare: 'yes' } }), rare.toReversed())
  }
})

test('cursors of a filtered list go both ways, and may be threads that the filter leaves out', async () => {
  const ids = expected(({ metadata }) => metadata['kind'] === 'common')
  const outside = history.findIndex(({ metadata }) => metadata['kind'] !== 'common')
  const metadata = { kind: 'common' }
  const page = await list({ metadata, order: 'asc', before: ids[10], limit: 4 })
  assert.deepEqual([page.data.map(({ id }) => id), page.has_more], [ids.slice(6, 10), true])
  const between = await list({ metadata, order: 'asc', after: ids[3], before: ids[6] })
  assert.deepEqual([between.data.map(({ id }) => id), between.has_more], [ids.slice(4, 6), false])
  const behind = await list({ metadata, order: 'asc', after: history[outside]?.id, limit: 1 })
  assert.deepEqual(
    behind.data[0]?.id,
    history.slice(outside).find((one) => one.metadata['kind'] === 'common')?.id,
  )
  await assert.rejects(list({ metadata, after: 'thread_unknown' }), { status: 400, param: 'after' })
})

test('both SDKs write the filters as the server reads them', async () => {
  const query = { metadata: { user: 'u3' }, created_at: { gte: history.at(-40)?.created_at } }
  const ids = await all(query)
  assert.ok(ids.length > 1)
  assert.deepEqual(await all(query, client6), ids)
})

test('a filter that is not understood is refused by its name, and an empty value finds nothing', async () => {
  const cases: [string, string][] = [
    ['metadata=x', 'metadata'],
    ['created_at=5', 'created_at'],
    ['created_at[after]=5', 'created_at.after'],
    ['created_at[gte]=soon', 'created_at.gte'],
    ['created_at[gte]=-1', 'created_at.gte'],
    ['created_at[gte]=', 'created_at.gte'],
    [`metadata[a]=${'x'.repeat(513)}`, 'metadata.a'],
    [`metadata[${'k'.repeat(65)}]=x`, `metadata.${'k'.repeat(65)}`],
    [`${Array.from({ length: 17 }, (_, i) => `metadata[k${i}]=x`).join('&')}`, 'metadata'],
    ['metadata[a]=%00', 'metadata[a]'],
    ['metadata[a][b]=c', 'metadata[a][b]'],
    ['metadata[a=1', 'metadata[a'],
    ['created_at[gte]x=1', 'created_at[gte]x'],
  ]
  for (const [query, param] of cases) {
    const answer = await server.fetch(`/v1/threads?${query}`)
    const { error } = (await answer.json()) as { error: { param: string; message: string } }
    assert.equal(answer.status, 400, query)
    assert.ok(error.param === param, `${query}: ${error.param} ${error.message}`)
  }
  const empty = (await (await server.fetch('/v1/threads?metadata[user]=')).json()) as Page
  assert.deepEqual(empty.data, [])
})

test('deleted threads are not found, and those of another project are not', async () => {
  const metadata = { user: 'u3' }
  const [gone = '', ...rest] = await all({ metadata, order: 'asc' })
  await client.beta.threads.delete(gone)
  assert.deepEqual(await all({ metadata, order: 'asc' }), rest)
  history = history.filter(({ id }) => id !== gone)
  await server.db.sql(`insert into projects (id, name, created_at) values ('other', 'Other', 0)`)
  await server.db.sql(`update threads set project_id = 'other' where id = $1`, [rest[0]])
  history = history.filter(({ id }) => id !== rest[0])
  assert.deepEqual(await all({ metadata, order: 'asc' }), rest.slice(1))
  await assert.rejects(list({ metadata, after: rest[0] }), { status: 400, param: 'after' })
})
