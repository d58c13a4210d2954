import assert from 'node:assert/strict'
import { test } from 'node:test'
import { status } from './support/mock-model.ts'
import { anotherNode, oneNode } from './support/nodes.ts'
import { readyToRun } from './support/server.ts'

// /healthz and /readyz say what is so. That a database that is away makes a server unready, and one that comes back ready, is
// proved by outages.test.ts and half-open.test.ts; that a server says so while it stops beside others, by drain.test.ts.

async function told(url: string, path: string): Promise<[number, string | undefined]> {
  const response = await fetch(url + path)
  return [response.status, ((await response.json()) as { status?: string }).status]
}

test('a model that cannot be reached makes a run fail, and no server unready', async (t) => {
  const server = await oneNode(t)
  const { url } = server.app
  const { assistant, thread } = await readyToRun(server)
  server.mock.models(status(503))
  server.mock.when(() => true, status(503, { error: { message: 'away' } }))
  const run = await server.client.beta.threads.runs.createAndPoll(thread, { assistant_id: assistant })
  assert.equal(run.status, 'failed')
  assert.deepEqual(await told(url, '/readyz'), [200, 'ready'])
  assert.deepEqual(await told(url, '/healthz'), [200, 'ok'])
})

test('a server is ready beside a newer schema that serves it, and unready once it does not', async (t) => {
  const server = await oneNode(t)
  const { app, db } = server
  const [{ newest }] = (await db.sql<{ newest: number }>(
    'select max(number) as newest from threadmill_migrations',
  )) as [{ newest: number }]
  const add = 'insert into threadmill_migrations (number, name, serves) values ($1, $2, $3)'
  await db.sql(add, [newest + 1, 'from the future', newest])
  assert.deepEqual(await told(app.url, '/readyz'), [200, 'ready'])
  await db.sql(add, [newest + 2, 'from the far future', newest + 1])
  assert.deepEqual(await told(app.url, '/readyz'), [503, 'database too new'])
  assert.deepEqual(await told(app.url, '/healthz'), [200, 'ok'])
})

test('a server that stops is alive, says that it stops, and is not ready', async (t) => {
  const server = await oneNode(t, { tuning: { seenMs: 2_000 } })
  await anotherNode(t, server)
  const stopped = server.app.stop()
  assert.deepEqual(await told(server.app.url, '/readyz'), [503, 'stopping'])
  assert.deepEqual(await told(server.app.url, '/healthz'), [200, 'ok'])
  await stopped
})
