import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI from 'openai'
import { createDatabase, type TestDatabase } from '../test/support/database.ts'
import { parseFrame } from '../test/support/contract.ts'
import { atEnd, makeFolder } from '../test/support/embedded-postgres.ts'
import { delta, startMockModel, text, type Answer } from '../test/support/mock-model.ts'
import { serveAlone, until } from '../test/support/npm-start.ts'

// A server that is paused for 30 s, as by a debugger, a snapshot of its virtual machine or a disk that hangs, with runs, streams and
// answers of models under way.

const pauseMs = 30_000
const count = 12

/** Says a word every 50 ms, for as long as anyone is connected; also to one who does not read. */
const slowly: Answer = async (exchange) => {
  for (let i = 0; !exchange.signal.aborted; i++) {
    void exchange.send(delta({ content: `word ${i} ` }))
    await sleep(50)
  }
}

/** Reads a stream of a server as bytes, from before its pause to its end. */
class Reader {
  text = ''
  readonly ended: Promise<void>

  constructor(response: Response) {
    this.ended = (async () => {
      for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) this.text += piece
    })()
  }

  get run(): string {
    return /run_\w{24}/.exec(this.text)?.[0] ?? assert.fail('no run in the stream')
  }
}

/** Every row of these runs with the transaction that wrote it last. */
async function rowsOf(db: TestDatabase, runs: string[]): Promise<unknown[]> {
  const threads = '(select thread_id from runs where id = any($1))'
  const queries = [
    'select xmin::text, ctid::text, * from runs where id = any($1) order by id',
    'select xmin::text, ctid::text, * from run_steps where run_id = any($1) order by id',
    'select xmin::text, ctid::text, * from run_events where run_id = any($1) order by run_id, term, first_no',
    `select xmin::text, ctid::text, * from messages where thread_id in ${threads} order by id`,
    `select xmin::text, ctid::text, * from threads where id in ${threads} order by id`,
  ]
  return Promise.all(queries.map((query) => db.sql(query, [runs])))
}

async function twoNodes(t: TestContext) {
  const db = await createDatabase()
  atEnd(t, () => db.drop())
  const mock = await startMockModel()
  atEnd(t, () => mock.close())
  const env = { DATABASE_URL: db.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-of-the-backend' }
  const start = async () => {
    const node = await serveAlone(t, await makeFolder(t), { env })
    const client = new OpenAI({ baseURL: `${node.url}/v1`, apiKey: 'unused', maxRetries: 0, timeout: 60_000 })
    return { ...node, client }
  }
  return { db, mock, paused: await start(), survivor: await start() }
}

test(
  'a server that is paused for 30 s loses its runs to another, and wakes up to change and tell nothing of its own',
  { timeout: 120_000 },
  async (t) => {
    const { db, mock, paused, survivor } = await twoNodes(t)
    const { id: assistant_id } = await paused.client.beta.assistants.create({ model: 'mock-model' })
    const idle = await paused.client.beta.threads.create()
    mock.next(...Array.from({ length: count }, () => slowly))
    const readers = await Promise.all(
      Array.from({ length: count }, async () => {
        const response = await fetch(`${paused.url}/v1/threads/runs`, {
          method: 'POST',
          headers: { 'openai-beta': 'assistants=v2', 'content-type': 'application/json' },
          body: JSON.stringify({ assistant_id, stream: true }),
        })
        assert.equal(response.status, 200)
        return new Reader(response)
      }),
    )
    await until(() => readers.every((reader) => reader.text.includes('word 1 ')), 'all models speak')
    const runs = readers.map(({ run }) => run)
    // A run that was put back and not yet taken has no owner either.
    const underWay = async () => db.sql(`select from runs where status <> 'completed'`)

    paused.signalGroup('SIGSTOP')
    const since = performance.now()
    mock.when(() => true, text('Whole.'))
    // It is asked for something while it sleeps.
    const asked = paused.client.beta.threads.messages.create(idle.id, { role: 'user', content: 'asleep?' })
    await until(async () => (await underWay()).length === 0, 'the survivor ends the runs')
    t.diagnostic(`${count} runs were ended by the survivor after ${Math.round(performance.now() - since)} ms`)
    const [before, told] = [await rowsOf(db, runs), readers.map((reader) => reader.text)]
    await sleep(pauseMs - (performance.now() - since))
    assert.deepEqual(await rowsOf(db, runs), before)
    assert.deepEqual(
      readers.map((reader) => reader.text),
      told,
    )

    paused.signalGroup('SIGCONT')
    await Promise.all(readers.map(({ ended }) => ended))
    await Promise.all(
      mock.requests.slice(0, count).map(async (one) => assert.equal(await one.ended, 'aborted')),
    )
    await asked
    for (const [i, reader] of readers.entries()) {
      // What comes now is what the survivor has told: the end of the old message, and the new one.
      const late = reader.text.slice(told[i]?.length)
      assert.doesNotMatch(late, /"value":"word /)
      const response = await fetch(
        `${survivor.url}/v1/threads/${threadIn(reader)}/runs/${reader.run}/events`,
        {
          headers: { 'openai-beta': 'assistants=v2' },
        },
      )
      // Deltas apart, which are stored in larger pieces than they were told in, both tell one history.
      assert.deepEqual(whole(reader.text), whole(await response.text()))
    }

    // It serves again, and takes runs.
    await until(
      async () => (await db.sql(`select from nodes where seen_at > threadmill_now() - 2`)).length === 2,
      'both beat',
    )
    for (const { client } of [paused, survivor]) {
      const run = await client.beta.threads.createAndRunPoll({ assistant_id })
      assert.equal(run.status, 'completed', run.last_error?.message)
    }
    assert.deepEqual(await rowsOf(db, runs), before)
    assert.equal(mock.requests.length, 2 * count + 2)
    const messages = (await survivor.client.beta.threads.messages.list(idle.id)).data
    assert.equal(messages.length, 1)
    const ended = await db.sql<{ status: string; attempts: number }>(
      'select distinct status, attempts from runs where id = any($1)',
      [runs],
    )
    assert.deepEqual(ended, [{ status: 'completed', attempts: 1 }])
  },
)

const threadIn = (reader: Reader) => /thread_\w{24}/.exec(reader.text)?.[0] ?? assert.fail('no thread')

const whole = (stream: string) =>
  stream
    .split('\n\n')
    .flatMap(parseFrame)
    .filter(({ event }) => !event.endsWith('.delta'))
