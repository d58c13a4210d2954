import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import pg from 'pg'
import { startApp } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { atEnd } from './support/database.ts'
import { startPgProxy } from './support/pg-proxy.ts'
import { startServer } from './support/server.ts'

// Uploads whose connections to the database break: what was surely not done is said to be, and what cannot be known too.

const server = await startServer()
const proxy = await startPgProxy(server.db.url)
const app = await startApp(
  readConfig({
    PORT: '0',
    DATABASE_URL: proxy.url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'x',
  }),
  createLog('silent'),
)
atEnd(() => app.stop())

async function upload(origin = app.url): Promise<{ status: number; retries: (string | null)[] }> {
  const form = new FormData()
  form.set('purpose', 'assistants')
  form.set('file', new File(['Corn, stone.'], 'a.txt'))
  const { status, headers } = await fetch(`${origin}/v1/files`, { method: 'POST', body: form })
  return { status, retries: [headers.get('retry-after'), headers.get('x-should-retry')] }
}

const files = async () => (await server.db.sql('select from files')).length

test('an upload that broke before its last statement was not done, and may be sent again', async () => {
  for (const statement of ['begin_file_upload', 'insert_file_chunk']) {
    proxy.loseAnswersOf(statement, 1)
    assert.deepEqual(await upload(), { status: 503, retries: ['1', null] }, statement)
  }
  assert.equal(await files(), 0)
})

test('an upload whose last answer was lost is looked up: it is there, once', async () => {
  proxy.loseAnswersOf('finish_file_upload', 1)
  assert.deepEqual(await upload(), { status: 200, retries: [null, null] })
  assert.equal(await files(), 1)
})

test('an upload whose last answer was lost, and that cannot be looked up, says that its outcome is unknown', async () => {
  const before = await files()
  proxy.loseAnswersOf('finish_file_upload', 1)
  // Of the look-up alone it would be true that nothing was done.
  const { pool } = app.store
  const genuine = pool.query.bind(pool) as (statement: unknown, values?: unknown) => unknown
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' })
  const looked = mock.method(pool, 'query', (statement: { name?: string }, values?: unknown) =>
    statement.name === 'get_file' ? Promise.reject(refused) : genuine(statement, values),
  )
  assert.deepEqual(await upload(), { status: 503, retries: [null, 'false'] })
  looked.mock.restore()
  assert.equal(await files(), before + 1)
})

test('uploads that wait for the database leave connections for everything else', async () => {
  const session = new pg.Client({ connectionString: server.db.url })
  await session.connect()
  const uploads: ReturnType<typeof upload>[] = []
  const waiting = async () => {
    const rows = await server.db.sql(
      `select from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%insert into file_chunks%' and datname = current_database()`,
    )
    return rows.length
  }
  try {
    await session.query('begin; lock table file_chunks in exclusive mode')
    for (let i = 0; i < 20; i++) uploads.push(upload(server.app.url))
    while ((await waiting()) < 4);
    const since = performance.now()
    for (let i = 0; i < 20; i++) assert.equal((await server.fetch('/v1/assistants')).status, 200)
    // Without a free connection the first would have waited until the uploads had given up.
    assert.ok(performance.now() - since < 2_000)
    assert.equal(await waiting(), 4)
    await session.query('commit')
  } finally {
    await session.end()
  }
  for (const { status } of await Promise.all(uploads)) assert.equal(status, 200)
})
