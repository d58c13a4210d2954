import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { atEnd, createDatabase, serverUrl, type TestDatabase } from './support/database.ts'
import { root } from './support/embedded-postgres.ts'
import { plainEnvironment } from './support/npm-start.ts'
import { execute, withName } from './support/postgres-server.ts'

// threadmill backup and restore by the program itself, where something comes in between.

const folder = mkdtempSync('/tmp/threadmill-backup-')
after(() => rmSync(folder, { recursive: true, force: true }))
const db = await createDatabase()
atEnd(() => db.drop())

/** More than waits in memory for whoever reads the backup. */
before(async () => {
  await db.sql(
    `insert into file_chunks (file_id, n, project_id, content)
     select 'file_x', i, 'default', decode(repeat(md5(i::text), 8192), 'hex') from generate_series(1, 100) i`,
  )
})

interface Running {
  child: ChildProcess
  ended: Promise<{ code: number | null; err: string }>
}

function begin({ url }: TestDatabase, words: string[], stdio: [number | 'pipe', number | 'pipe']): Running {
  const env = { ...plainEnvironment(), DATABASE_URL: url }
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...words], {
    env,
    timeout: 60_000,
    stdio: [...stdio, 'pipe'],
  })
  let err = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text))
  child.stdin?.on('error', () => {})
  const ended = new Promise<{ code: number | null; err: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, err })),
  )
  return { child, ended }
}

/** The sessions of a command in a database, as soon as there is one that fits. */
async function session(database: TestDatabase, name: string, where: string): Promise<number> {
  for (;;) {
    const [row] = await database.sql<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name = $1 and ${where}`,
      [name],
    )
    if (row) return row.pid
    await sleep(20)
  }
}

test('a backup goes to stdout, a file or a pipe, and ends; a restore reads it from stdin', async () => {
  const file = join(folder, 'redirected')
  const redirected = await begin(db, ['backup', '-'], ['pipe', openSync(file, 'w')]).ended
  assert.equal(redirected.code, 0, redirected.err)
  assert.match(redirected.err, /^Backed up .*files\.\n$/)

  const empty = await createDatabase({ empty: true })
  atEnd(() => empty.drop())
  const [from, into] = [
    begin(db, ['backup', '-'], ['pipe', 'pipe']),
    begin(empty, ['restore', '-'], ['pipe', 'pipe']),
  ]
  from.child.stdout?.pipe(into.child.stdin as NodeJS.WritableStream)
  assert.equal((await from.ended).code, 0)
  const restored = await into.ended
  assert.equal(restored.code, 0, restored.err)
  assert.deepEqual(await empty.sql('select count(*)::int as n from file_chunks'), [{ n: 100 }])
})

test('a backup that cannot be written ends in a sentence and with 73', async () => {
  const full = await begin(db, ['backup', '-'], ['pipe', openSync('/dev/full', 'w')]).ended
  assert.deepEqual([full.code, full.err.split('\n').length], [73, 2], full.err)
  assert.match(full.err, /^threadmill: cannot write stdout: .*ENOSPC/)

  const broken = begin(db, ['backup', '-'], ['pipe', 'pipe'])
  broken.child.stdout?.once('data', () => broken.child.stdout?.destroy())
  const { code, err } = await broken.ended
  assert.deepEqual([code, err.split('\n').length], [73, 2], err)
  assert.match(err, /^threadmill: cannot write stdout: .*EPIPE/)
})

test('a second backup into the same file is refused while the first writes, and a signal leaves nothing of that', async () => {
  const file = join(folder, 'twice')
  const holder = new pg.Client({ connectionString: db.url })
  await holder.connect()
  await holder.query('begin; lock table file_chunks in access exclusive mode')
  try {
    const first = begin(db, ['backup', file], ['pipe', 'pipe'])
    await session(db, 'threadmill backup', `wait_event_type = 'Lock'`)
    const second = await begin(db, ['backup', file], ['pipe', 'pipe']).ended
    assert.equal(second.code, 73, second.err)
    assert.match(
      second.err,
      /twice\.partial is already there: another backup .*Remove it if none is under way\.\n$/,
    )
    assert.ok(existsSync(`${file}.partial`))
    first.child.kill('SIGTERM')
    assert.equal((await first.ended).code, 1)
    assert.deepEqual([existsSync(file), existsSync(`${file}.partial`)], [false, false])
  } finally {
    await holder.end()
  }
})

test('a file that appears while a backup is made stays as it is, and the backup is refused as if it had been there', async () => {
  const file = join(folder, 'appears')
  const holder = new pg.Client({ connectionString: db.url })
  await holder.connect()
  await holder.query('begin; lock table file_chunks in access exclusive mode')
  const backup = begin(db, ['backup', file], ['pipe', 'pipe'])
  const over = backup.ended.then(() => 0)
  await Promise.race([session(db, 'threadmill backup', `wait_event_type = 'Lock'`), over])
  writeFileSync(file, 'of somebody else')
  await holder.end()
  const { code, err } = await backup.ended
  assert.equal(code, 73, err)
  assert.match(err, /appears is already there\. Remove it, or name another file\.\n$/)
  assert.equal(readFileSync(file, 'utf8'), 'of somebody else')
  assert.equal(existsSync(`${file}.partial`), false)
})

test('limits of time that a user has set are for others than backup and restore', async () => {
  const limits = [
    'statement_timeout',
    'lock_timeout',
    'idle_in_transaction_session_timeout',
    'transaction_timeout',
  ]
  const url = new URL(db.url)
  url.searchParams.set('options', limits.map((name) => `-c ${name}=100`).join(' '))
  const holder = new pg.Client({ connectionString: db.url })
  await holder.connect()
  await holder.query('begin; lock table file_chunks in access exclusive mode')
  const backup = begin({ ...db, url: url.href }, ['backup', join(folder, 'slow')], ['pipe', 'pipe'])
  const over = backup.ended.then(() => 0)
  await Promise.race([
    session(db, 'threadmill backup', `now() - query_start > interval '300 ms' and wait_event_type = 'Lock'`),
    over,
  ])
  await holder.end()
  const { code, err } = await backup.ended
  assert.equal(code, 0, err)
})

test('a database that does not hold all characters is refused by a start and by a restore, and the backup is not blamed', async () => {
  const file = join(folder, 'letters')
  assert.equal((await begin(db, ['backup', file], ['pipe', 'pipe']).ended).code, 0)
  const server = await serverUrl()
  const name = `test_latin_${randomBytes(4).toString('hex')}`
  const making = `create database ${name} template template0 encoding 'LATIN1' locale 'C' locale_provider 'libc'`
  await execute(withName(server, 'postgres'), making)
  atEnd(() => execute(withName(server, 'postgres'), `drop database ${name} with (force)`))
  const latin = { ...db, url: withName(server, name) }
  for (const words of [['restore', file], ['serve']]) {
    const { code, err } = await begin(latin, words, ['pipe', 'pipe']).ended
    assert.equal(code, 69, err)
    assert.match(
      err,
      /^threadmill: Threadmill needs a database in UTF8, .* LATIN1\. Make another one: createdb .*\n$/,
    )
  }
})

test('a database that stops while it is filled is told as that, and not as a damaged backup', async () => {
  const file = join(folder, 'good')
  assert.equal((await begin(db, ['backup', file], ['pipe', 'pipe']).ended).code, 0)
  const empty = await createDatabase({ empty: true })
  atEnd(() => empty.drop())
  const restore = begin(empty, ['restore', '-'], ['pipe', 'pipe'])
  const bytes = readFileSync(file)
  restore.child.stdin?.write(bytes.subarray(0, bytes.length / 2))
  const pid = await session(empty, 'threadmill restore', `query like 'copy %'`)
  await empty.sql('select pg_terminate_backend($1)', [pid])
  restore.child.stdin?.end(bytes.subarray(bytes.length / 2))
  const { code, err } = await restore.ended
  assert.equal(code, 69, err)
  assert.match(err, /^threadmill: The database of DATABASE_URL cannot be used: [^\n]+\n$/)
  assert.deepEqual(await empty.sql(`select from pg_class where relname = 'threads'`), [])
})
