import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { listMessages, newestMessages, type MessageSource } from '../src/store/messages.ts'
import { Recent } from '../src/store/recent.ts'
import { RecentMessages } from '../src/store/recent-messages.ts'
import { atEnd } from './support/database.ts'
import { project_id } from './support/records.ts'
import { readyToRun, startServer } from './support/server.ts'

// A node that has the database to itself answers pages of messages, and reads its runs' history, from memory. What is
// there must be what Postgres would have said, whatever is done to threads and in whichever order.

const server = await startServer()
const { store } = server.app
const fromPostgres: MessageSource = { pool: store.pool, recent: new Recent(false) }

/** A small generator of numbers from a seed (mulberry32). */
function randomOf(seed: number): (below: number) => number {
  let a = seed
  return (below) => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const say = (content: string) => ({ role: 'user' as const, content })

/** Compares everything that is known of a thread with what Postgres says; answers how much was known. */
async function compare(thread: string, told: string): Promise<number> {
  let known = 0
  for (const order of ['asc', 'desc'] as const)
    for (const limit of [1, 3, 100]) {
      const page = store.recent.messages.page(project_id, thread, { order, limit })
      if (page === null) continue
      known += 1
      const truth = await listMessages(fromPostgres, project_id, thread, null, { order, limit })
      assert.deepEqual(
        page.rows.map(({ seq: _, ...row }: { seq?: number } & object) => row),
        truth.rows,
        told,
      )
      assert.equal(page.hasMore, truth.hasMore, told)
    }
  for (const limit of [1, 3, 100]) {
    const newest = store.recent.messages.newest(project_id, thread, Number.MAX_SAFE_INTEGER, limit)
    if (newest === null) continue
    const truth = await newestMessages(fromPostgres, project_id, thread, Number.MAX_SAFE_INTEGER, limit)
    assert.deepEqual(newest.messages, truth.messages, told)
  }
  return known
}

/** One deed of a client, by number. A refusal is as good as an effect. */
async function act(thread: string, assistant: string, random: (below: number) => number): Promise<string> {
  const { threads } = server.client.beta
  const { runs, messages } = threads
  const anyMessage = async () => {
    const { data } = await messages.list(thread, { limit: 100 })
    return data[random(data.length)]?.id ?? 'msg_none'
  }
  const policy = { headers: { 'x-thread-policy': ['reject', 'queue', 'replace'][random(3)] ?? '' } }
  const deeds: [string, () => Promise<unknown>][] = [
    ['append', () => messages.create(thread, say(`n${random(1_000)}`), policy)],
    ['run', () => runs.create(thread, { assistant_id: assistant }, policy)],
    [
      'run and wait',
      () => runs.createAndPoll(thread, { assistant_id: assistant, additional_messages: [say('more')] }),
    ],
    ['delete', async () => messages.delete(await anyMessage(), { thread_id: thread })],
    [
      'metadata',
      async () => messages.update(await anyMessage(), { thread_id: thread, metadata: { a: `${random(9)}` } }),
    ],
    [
      'cancel',
      async () => {
        const { data } = await runs.list(thread, { limit: 1 })
        if (data[0]) await runs.cancel(data[0].id, { thread_id: thread })
      },
    ],
  ]
  const [name, deed] = deeds[random(deeds.length)] ?? (assert.fail() as never)
  await deed().catch((error: { status?: number }) =>
    assert.equal(Math.floor((error.status ?? 0) / 100), 4, name),
  )
  return name
}

test('what is known of threads is what Postgres says, after whatever clients do', async () => {
  const { assistant } = await readyToRun(server)
  let known = 0
  for (let seed = 1; seed <= 12; seed++) {
    const random = randomOf(seed)
    const messages = Array.from({ length: random(4) }, (_, i) => say(`m${i}`))
    const { id } = await server.client.beta.threads.create({ messages })
    const done: string[] = []
    for (let i = 0; i < 12; i++) {
      done.push(await act(id, assistant, random))
      const runs = await server.client.beta.threads.runs.list(id)
      for (const run of runs.data)
        await server.client.beta.threads.runs.poll(run.id, { thread_id: id }, { pollIntervalMs: 5 })
      known += await compare(id, `seed ${seed}: ${done.join(', ')}`)
    }
  }
  assert.ok(known > 200, `${known} pages were known`)
})

test('a plain run reads nothing of its thread, and neither does the page that its client asks for', async (t) => {
  const { assistant, thread } = await readyToRun(server)
  await server.client.beta.threads.messages.list(thread)
  const spy = t.mock.method(store.pool, 'query')
  await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal((await server.client.beta.threads.messages.list(thread)).data.length, 2)
  const names = spy.mock.calls.map((call) => (call.arguments as unknown as [{ name: string }])[0].name)
  assert.deepEqual(
    names.filter((name) => /messages/.test(name)),
    [],
  )
})

test('a thread of another project is not known to this one', () => {
  const recent = new RecentMessages(true)
  const thread = {
    id: 'thread_x',
    project_id,
    created_at: 1,
    tool_resources: null,
    metadata: {},
    policy: null,
  }
  recent.written({ kind: 'create_thread', thread, messages: [] }, { outcome: 'ok' })
  const page = { order: 'asc', limit: 1 } as const
  assert.deepEqual(recent.page(project_id, 'thread_x', page), { rows: [], hasMore: false })
  assert.equal(recent.page('other', 'thread_x', page), null)
})

test('a node with a database that others may write to knows nothing', async () => {
  const config = readConfig({
    PORT: '0',
    DATABASE_URL: server.db.url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
  })
  const app = await startApp(config, createLog('silent'))
  atEnd(() => app.stop())
  const answer = await fetch(`${app.url}/v1/threads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'openai-beta': 'assistants=v2' },
    body: JSON.stringify({ messages: [say('x')] }),
  })
  const { id } = (await answer.json()) as { id: string }
  assert.equal(app.store.recent.messages.page(project_id, id, { order: 'asc', limit: 1 }), null)
})
