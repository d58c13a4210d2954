import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { createDatabase } from '../test/support/database.ts'
import { atEnd, makeFolder, root } from '../test/support/embedded-postgres.ts'
import { setOffset } from '../test/support/fake-time.ts'
import { startMockModel, text, toolCalls } from '../test/support/mock-model.ts'
import { freePort, start } from '../test/support/npm-start.ts'

// Servers whose clocks are wrong, by libfaketime: one is an hour fast, the other an hour slow, and one steps back while it
// works. Only the clock of the database counts.

const hour = 3_600
/** Seconds until a run expires here. */
const ttl = 5

const library = spawnSync('dpkg', ['-L', 'libfaketime'], { encoding: 'utf8' })
  .stdout.split('\n')
  .find((line) => line.endsWith('/libfaketime.so.1'))

interface Node {
  client: OpenAI
  /** Sets the clock of the process to so many seconds beside the true time. */
  skew(seconds: number): Promise<void>
}

async function skewedNode(t: TestContext, env: Record<string, string>, seconds: number): Promise<Node> {
  assert.ok(library, 'libfaketime is installed')
  const [port, folder] = await Promise.all([freePort(), makeFolder(t)])
  const file = join(folder, 'offset')
  const skew = (offset: number) => setOffset(file, offset)
  await skew(seconds)
  const command: [string, ...string[]] = [process.execPath, join(root, 'src/main.ts')]
  const faked = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
  const process_ = start(t, { command, env: { ...env, ...faked, PORT: String(port) } })
  await process_.listening()
  return {
    client: new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'unused', maxRetries: 0 }),
    skew,
  }
}

/** True seconds: this process has no wrong clock, and the database neither. */
const now = () => Date.now() / 1_000

test(
  'with clocks an hour apart that step back, only the clock of the database decides',
  { timeout: 120_000 },
  async (t) => {
    const db = await createDatabase()
    atEnd(t, () => db.drop())
    const mock = await startMockModel()
    atEnd(t, () => mock.close())
    const env = {
      DATABASE_URL: db.url,
      OPENAI_BASE_URL: mock.baseUrl,
      OPENAI_API_KEY: 'sk-of-the-backend',
      RUN_EXPIRES_AFTER: String(ttl),
    }
    const fast = await skewedNode(t, env, hour)
    const slow = await skewedNode(t, env, -hour)
    const nodes = [fast, slow] as const
    const near = (seconds: number, what: string) =>
      assert.ok(Math.abs(seconds - now()) < 3, `${what}: ${seconds} is not near ${now()}`)

    const { id: assistant_id, created_at } = await fast.client.beta.assistants.create({
      model: 'mock-model',
      tools: [{ type: 'function', function: { name: 'look' } }],
    })
    near(created_at, 'an assistant')

    // Runs that wait for outputs expire when their time by the database is up, whoever looks after them.
    mock.when(
      (body) => JSON.stringify(body).includes('ask me'),
      toolCalls([{ id: 'call_a', name: 'look', arguments: '{}' }]),
    )
    const asked = await Promise.all(
      nodes.map(async ({ client }) => {
        const thread = { messages: [{ role: 'user' as const, content: 'ask me' }] }
        const run = await client.beta.threads.createAndRun({ assistant_id, thread })
        near(run.created_at, 'a run')
        assert.ok(Math.abs((run.expires_at ?? 0) - run.created_at - ttl) <= 1)
        return { run, since: now() }
      }),
    )

    // Meanwhile one thread is used by way of both, and the fast one steps back by an hour, and then by another.
    mock.when(
      (body) => !JSON.stringify(body).includes('ask me'),
      (exchange) => text('Well, ', sleep(50), 'then.')(exchange),
    )
    const { id: thread } = await slow.client.beta.threads.create()
    for (let i = 0; i < 12; i++) {
      if (i === 4) await fast.skew(0)
      if (i === 8) await fast.skew(-hour)
      const { client } = nodes[i % 2] ?? fast
      await client.beta.threads.messages.create(thread, { role: 'user', content: `question ${i}` })
      const other = (nodes[(i + 1) % 2] ?? slow).client
      const run = await other.beta.threads.runs.createAndPoll(thread, { assistant_id })
      assert.equal(run.status, 'completed', run.last_error?.message)
      near(run.completed_at ?? 0, 'the end of a run')
    }
    const messages = (await fast.client.beta.threads.messages.list(thread, { order: 'asc', limit: 100 })).data
    const told = messages.map(({ content: [part] }) => (part?.type === 'text' ? part.text.value : ''))
    assert.deepEqual(told, Array.from({ length: 12 }, (_, i) => [`question ${i}`, 'Well, then.']).flat())
    const times = messages.map((message) => message.created_at)
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    )

    for (const { run, since } of asked) {
      const seen = async () =>
        (await slow.client.beta.threads.runs.retrieve(run.id, { thread_id: run.thread_id })).status
      while ((await seen()) !== 'expired') {
        assert.ok(now() < since + ttl + 20, `${run.id} did not expire`)
        await sleep(100)
      }
      const [row] = await db.sql<{ late: number }>(
        'select (ended_at - deadline)::int as late from runs where id = $1',
        [run.id],
      )
      assert.ok(row && row.late >= 0 && row.late <= 3, `it expired ${row?.late} s late`)
    }
    // Nobody took a run from a server that lives.
    const [lost] = await db.sql<{ n: number }>(
      'select count(*)::int as n from runs where attempts > 0 or lease_epoch > 1',
    )
    assert.equal(lost?.n, 0)
  },
)
