import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import OpenAI, { toFile } from 'openai'
import { startApp, type App } from '../src/app.ts'
import { commands } from '../src/cli/commands.ts'
import { runCommand } from '../src/cli/run.ts'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { tablesOf } from '../src/store/backup/tables.ts'
import { migrate, readMigrations } from '../src/store/migrate.ts'
import { judgingFetch } from './support/contract.ts'
import { atEnd, createDatabase, type TestDatabase } from './support/database.ts'
import { gate, text, toolCalls } from './support/mock-model.ts'
import { readyToRun, startServer, textOf, tool } from './support/server.ts'
import { queue, say } from './support/thread-queue.ts'

// threadmill backup and restore, end to end: taken from a server at work, restored beside it, and carried on.

// One run is held for good: nobody waits for it.
const tuning = { drainMs: 100, seenMs: 0 }
const server = await startServer({ tuning: { ...tuning, alone: false } })
const { client, mock, db } = server
const { threads, assistants } = client.beta
const folder = mkdtempSync('/tmp/threadmill-backup-')
after(() => rmSync(folder, { recursive: true, force: true }))

interface Said {
  code: number
  err: string
}

async function command(database: TestDatabase | string, ...words: string[]): Promise<Said> {
  let err = ''
  const env = { DATABASE_URL: typeof database === 'string' ? database : database.url }
  const output = {
    out: () => assert.fail('nothing is for stdout'),
    err: (said: string) => void (err += said),
  }
  return { code: await runCommand(commands, words, env, output), err }
}

async function emptyDatabase(): Promise<TestDatabase> {
  const made = await createDatabase({ empty: true })
  atEnd(() => made.drop())
  return made
}

async function tablesIn(database: TestDatabase): Promise<string[]> {
  const rows = await database.sql<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  )
  return rows.map(({ name }) => name).toSorted()
}

/** A digest of the rows of a table that belong to these threads, or of all. */
async function digest(database: TestDatabase, table: string, ids?: string[]): Promise<unknown> {
  const key = table === 'threads' ? 'id' : 'thread_id'
  const where = ids ? `where ${key} = any($1)` : ''
  const [row] = await database.sql(
    `select count(*) as n, md5(string_agg(t::text, '|' order by t::text)) as md5 from ${table} t ${where}`,
    ids ? [ids] : [],
  )
  return row
}

/** Asks for runs, one after the other, until it is told to stop. */
class Load {
  readonly acknowledged: { thread: string; run: string }[] = []
  readonly #workers: Promise<void>[]
  #over = false

  constructor(assistant_id: string, workers: number) {
    this.#workers = Array.from({ length: workers }, (_, worker) => this.#work(assistant_id, worker))
  }

  async #work(assistant_id: string, worker: number): Promise<void> {
    for (let i = 0; !this.#over; i++) {
      const thread = { messages: [say(`${worker} asks ${i}`)], metadata: { worker: String(worker) } }
      const run = await threads.createAndRunPoll({ assistant_id, thread })
      assert.equal(run.status, 'completed')
      this.acknowledged.push({ thread: run.thread_id, run: run.id })
    }
  }

  async stop(): Promise<void> {
    this.#over = true
    await Promise.all(this.#workers)
  }

  async reaches(count: number): Promise<void> {
    while (this.acknowledged.length < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const file = join(folder, 'backup')
const bytes = randomBytes(600_000)
const made = {
  quiet: [] as string[],
  asking: { thread: '', run: '' },
  going: { thread: '', run: '' },
  waiting: '',
  upload: '',
  assistant: '',
  before: [] as Load['acknowledged'],
}
let restored: TestDatabase
let app: App
let again: OpenAI

const ofQuiet = ['threads', 'messages', 'runs', 'run_steps', 'run_events', 'thread_queue']
const whole = ['assistants', 'projects', 'files', 'file_chunks', 'file_garbage']
const digests = new Map<string, unknown>()

before(async () => {
  const asked = await readyToRun(server, { tools: [tool('f')], metadata: { 'Käse "1"': "\\N\t'x'\n" } })
  mock.next(toolCalls([{ id: 'call_a', name: 'f', arguments: '{"a":"\\\\"}' }]))
  const asking = await threads.runs.createAndPoll(asked.thread, { assistant_id: asked.assistant })
  assert.equal(asking.status, 'requires_action')
  made.asking = { thread: asked.thread, run: asking.id }
  made.assistant = asked.assistant

  const quiet = await readyToRun(server)
  mock.next(text('Line one\nLine\ttwo \\. \\N'))
  await threads.runs.createAndPoll(quiet.thread, { assistant_id: quiet.assistant })
  made.upload = (
    await client.files.create({ file: await toFile(bytes, 'mill.bin'), purpose: 'assistants' })
  ).id
  await threads.messages.create(quiet.thread, {
    ...say('Read this.'),
    attachments: [{ file_id: made.upload, tools: [{ type: 'file_search' }] }],
  })
  made.quiet = [quiet.thread, (await threads.create({ metadata: { empty: 'yes' } })).id]
  await assistants.create({ model: 'mock-model', name: 'Once' }, { headers: { 'idempotency-key': 'once' } })

  const going = await readyToRun(server)
  const calls = mock.requests.length
  mock.next(text('Never heard', gate().opened))
  const run = await threads.runs.create(going.thread, { assistant_id: going.assistant })
  await mock.received(calls)
  made.going = { thread: going.thread, run: run.id }
  made.waiting = (await threads.runs.create(going.thread, { assistant_id: going.assistant }, queue)).id

  for (const table of ofQuiet) digests.set(table, await digest(db, table, made.quiet))
  for (const table of whole) digests.set(table, await digest(db, table))

  const load = new Load(quiet.assistant, 6)
  await load.reaches(20)
  made.before = [...load.acknowledged]
  const { code, err } = await command(db, 'backup', file)
  assert.equal(code, 0, err)
  assert.match(err, /^Backed up \d+ assistants, \d+ threads, \d+ messages, \d+ runs, 1 file to /)
  const count = load.acknowledged.length
  await load.reaches(count + 5)
  await load.stop()

  restored = await emptyDatabase()
  const done = await command(restored, 'restore', file)
  assert.equal(done.code, 0, done.err)
  assert.match(done.err, /^Restored .* as of \d{4}-.*Start the server now/)
  for (const table of ofQuiet)
    assert.deepEqual(await digest(restored, table, made.quiet), digests.get(table), table)
  for (const table of whole) assert.deepEqual(await digest(restored, table), digests.get(table), table)

  const env = { PORT: '0', DATABASE_URL: restored.url, OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-x' }
  app = await startApp(readConfig(env), createLog('silent'), tuning)
  atEnd(() => app.stop())
  again = new OpenAI({ baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch })
})

test('a backup has every table that the migrations make, but for the servers that live', async () => {
  const tables = tablesOf(await readMigrations())
  assert.deepEqual([...tables, 'nodes', 'threadmill_migrations'].toSorted(), await tablesIn(db))
  assert.deepEqual(await tablesIn(restored), await tablesIn(db))
})

test('what was acknowledged before the backup began is in it, whole, although servers were at work', async () => {
  assert.ok(made.before.length >= 20)
  for (const { thread, run } of made.before) {
    assert.equal((await again.beta.threads.runs.retrieve(run, { thread_id: thread })).status, 'completed')
    const messages = (await again.beta.threads.messages.list(thread, { order: 'asc' })).data
    assert.deepEqual(messages.map(textOf).slice(1), ['Hello from the mock.'])
  }
  // As of one moment: no thread is held by a run that is not there or has ended, and no run lacks its thread.
  assert.deepEqual(
    await restored.sql(
      `select t.id from threads t left join runs r on r.thread_id = t.id and r.id = t.active_run_id
       where t.active_run_id is not null and (r.id is null or r.ended_at is not null)`,
    ),
    [],
  )
  assert.deepEqual(
    await restored.sql('select id from runs where thread_id not in (select id from threads)'),
    [],
  )
})

test('a run that was under way is carried on, and what waited for it follows', async () => {
  const { thread, run } = made.going
  const ended = await again.beta.threads.runs.poll(run, { thread_id: thread })
  assert.equal(ended.status, 'completed')
  assert.equal((await again.beta.threads.runs.poll(made.waiting, { thread_id: thread })).status, 'completed')
  const messages = (await again.beta.threads.messages.list(thread, { order: 'asc' })).data
  assert.deepEqual(messages.map(textOf).slice(1), ['Hello from the mock.', 'Hello from the mock.'])
})

test('a run that waited for outputs takes them', async () => {
  const { thread, run } = made.asking
  const ended = await again.beta.threads.runs.submitToolOutputsAndPoll(run, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: 'call_a', output: 'yes' }],
  })
  assert.equal(ended.status, 'completed')
})

test('files, metadata and answers that were kept are there, and new things come behind the old ones', async () => {
  assert.ok(Buffer.from(await (await again.files.content(made.upload)).arrayBuffer()).equals(bytes))
  const assistant = await again.beta.assistants.retrieve(made.assistant)
  assert.deepEqual(assistant.metadata, { 'Käse "1"': "\\N\t'x'\n" })
  const body = { model: 'mock-model', name: 'Once' }
  const replayed = await again.beta.assistants
    .create(body, { headers: { 'idempotency-key': 'once' } })
    .withResponse()
  assert.equal(replayed.response.headers.get('idempotent-replayed'), 'true')
  const fresh = await again.beta.threads.create()
  const listed = (await again.get('/threads', { query: { limit: 1 } })) as { data: { id: string }[] }
  assert.equal(listed.data[0]?.id, fresh.id)
})

test('a database that holds data is refused, and stays as it is', async () => {
  const before = await digest(restored, 'threads')
  const { code, err } = await command(restored, 'restore', file)
  assert.equal(code, 77)
  assert.match(err, /^threadmill: The database already has a table .* new database\.\n$/)
  assert.deepEqual(await digest(restored, 'threads'), before)
})

test('a file that is cut, changed, or no backup is refused, and leaves the database empty', async () => {
  const good = readFileSync(file)
  const plain = gunzipSync(good)
  const flipped = (at: number) => {
    const copy = Buffer.from(plain)
    copy[at] = (copy[at] ?? 0) ^ 1
    return gzipSync(copy, { level: 1 })
  }
  const inContent = plain.indexOf('Line one')
  assert.ok(inContent > 0)
  const cases: [string, Buffer, RegExp][] = [
    ['a letter of a message', flipped(inContent), /its checksum is another/],
    ['a name in the header', flipped(plain.indexOf('threadmill-backup')), /it is not a backup of Threadmill/],
    ['a length', flipped(1), /it has bytes that are no frame/],
    ['half of it', good.subarray(0, good.length / 2), /it ends in the middle/],
    ['half of it, well packed', gzipSync(plain.subarray(0, plain.length / 2)), /it ends in the middle/],
    ['without its end', gzipSync(plain.subarray(0, plain.lastIndexOf('E\0'))), /it ends in the middle/],
    ['twice', gzipSync(Buffer.concat([plain, plain])), /it goes on behind its end/],
    ['a header that says nothing', frames('H', null), /it has a part that cannot be read/],
    ['a header without its time', withHeader((header) => delete header.made_at), /it is not a backup of Thr/],
    [
      'no migrations',
      withHeader((header) => header.migrations.splice(0)),
      /it is not a backup of Threadmill/,
    ],
    ['migrations that are none', withHeader(({ migrations }) => migrations.push(null)), /it is not a backup/],
    ['another file', Buffer.from('Not a backup at all.'), /it is not what was written/],
    ['nothing', Buffer.alloc(0), /it ends in the middle/],
  ]
  const empty = await emptyDatabase()
  const damaged = join(folder, 'damaged')
  for (const [what, content, says] of cases) {
    writeFileSync(damaged, content)
    const { code, err } = await command(empty, 'restore', damaged)
    assert.equal(code, 65, `${what}: ${err}`)
    assert.match(err, says, what)
    assert.deepEqual(await tablesIn(empty), [], what)
  }
  assert.equal((await command(empty, 'restore', file)).code, 0)
})

interface Header {
  version: number
  made_at?: number
  migrations: (object | null)[]
}

/** A frame of JSON, packed, and what comes behind it. */
function frames(kind: string, value: object | null, behind = Buffer.alloc(0)): Buffer {
  const payload = Buffer.from(JSON.stringify(value))
  const head = Buffer.alloc(5)
  head.write(kind)
  head.writeUInt32BE(payload.length, 1)
  return gzipSync(Buffer.concat([head, payload, behind]))
}

/** The backup with another header. */
function withHeader(change: (header: Header) => void): Buffer {
  const plain = gunzipSync(readFileSync(file))
  const length = plain.readUInt32BE(1)
  const header = JSON.parse(plain.toString('utf8', 5, 5 + length)) as Header
  change(header)
  return frames('H', header, plain.subarray(5 + length))
}

test('a backup of a newer version is refused with what to do', async () => {
  const empty = await emptyDatabase()
  const newer = join(folder, 'newer')
  const changes: Parameters<typeof withHeader>[0][] = [
    (header) => void header.migrations.push({ number: 9_999, name: '9999_to_come.sql' }),
    (header) => void (header.version = 2),
  ]
  for (const change of changes) {
    writeFileSync(newer, withHeader(change))
    const { code, err } = await command(empty, 'restore', newer)
    assert.equal(code, 77, err)
    assert.match(err, /Restore it with the version that made it\.\n$/)
    assert.deepEqual(await tablesIn(empty), [])
  }
})

test('a backup of an older schema is restored as it was, and the next start migrates it', async () => {
  const old = await emptyDatabase()
  const migrations = await readMigrations()
  await migrate({ connectionString: old.url }, migrations.slice(0, 8))
  await old.sql(
    `insert into threads (id, project_id, created_at, metadata, next_seq) values ('thread_old', 'default', 1, '{}', 0)`,
  )
  const older = join(folder, 'older')
  assert.equal((await command(old, 'backup', older)).code, 0)
  const fresh = await emptyDatabase()
  assert.equal((await command(fresh, 'restore', older)).code, 0)
  const numbers = () =>
    fresh.sql<{ number: number }>('select number from threadmill_migrations order by number')
  assert.equal((await numbers()).length, 8)
  await migrate({ connectionString: fresh.url })
  assert.equal((await numbers()).length, migrations.length)
  assert.deepEqual(await fresh.sql('select id from threads'), [{ id: 'thread_old' }])
})

test('a backup is readable by its owner only, has its name when it is whole, and overwrites nothing', async () => {
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const before = readFileSync(file)
  const { code, err } = await command(db, 'backup', file)
  assert.equal(code, 73)
  assert.match(err, /is already there\. Remove it, or name another file\./)
  assert.ok(readFileSync(file).equals(before))
  const nowhere = await command(db, 'backup', join(folder, 'no/such/folder'))
  assert.equal(nowhere.code, 73, nowhere.err)
  const empty = await emptyDatabase()
  const unmade = join(folder, 'unmade')
  assert.deepEqual((await command(empty, 'backup', unmade)).code, 66)
  assert.deepEqual([existsSync(unmade), existsSync(`${unmade}.partial`)], [false, false])
})

test('a database or file that is not there is said in a sentence, without the password', async () => {
  const cases: [string, string[], number][] = [
    ['postgres://user:hidden-word@127.0.0.1:1/x', ['backup', join(folder, 'x')], 69],
    ['postgres://user:hidden-word@127.0.0.1:1/x', ['restore', file], 69],
    ['postgres://user:hidden-word#1@127.0.0.1:1/x', ['backup', join(folder, 'x')], 78],
    ['postgres://user:hidden-word@127.0.0.1:1/x?sslrootcert=/no/such', ['backup', join(folder, 'x')], 69],
    [db.url, ['restore', join(folder, 'missing')], 66],
    [db.url, ['restore', folder], 66],
  ]
  for (const [url, words, exitCode] of cases) {
    const { code, err } = await command(url, ...words)
    assert.equal(code, exitCode, err)
    assert.match(err, /^threadmill: [^\n]+\n$/)
    assert.doesNotMatch(err, /hidden-word/)
  }
})
