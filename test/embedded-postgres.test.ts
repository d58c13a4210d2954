// The embedded PostgreSQL, as root and as an ordinary user; what needs root is in test-system/embedded-root.test.ts.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { lstat, mkdir, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { chooseAccount, runAs } from '../src/store/embedded/account.ts'
import {
  commandOf,
  identify,
  isPostmasterOf,
  isRunning,
  postgresProcessesIn,
} from '../src/store/embedded/processes.ts'
import { boundServerLog } from '../src/store/embedded/server-log.ts'
import { socketFolderOf } from '../src/store/embedded/socket-folder.ts'
import {
  atEnd,
  cloneTo,
  failure,
  makeFolder,
  pidIn,
  query,
  start,
  startAndKill,
  startServer,
  until,
} from './support/embedded-postgres.ts'

const isRoot = process.getuid?.() === 0
const isLinux = process.platform === 'linux'

test('a new DATA_DIR is initialised, and the next start finds its data again', async (t) => {
  const dataDir = join(await makeFolder(t), 'not', 'yet', 'there')
  const first = await start(t, dataDir)
  assert.equal(first.dataDir, dataDir)
  assert.equal(first.notice, null)
  assert.match(first.version, /^18\.\d+$/)
  await query(first.connection, `create table kept as select 42 as answer`)
  await first.stop()
  const second = await start(t, dataDir)
  assert.deepEqual(await query(second.connection, 'select answer from kept'), [42])
  assert.equal(second.notice, null)
})

test('the cluster is UTF-8 with checksums and fsync, listens on no port and knows letters outside ASCII', async (t) => {
  const { connection, version } = await start(t, await makeFolder(t))
  const settings = ['server_encoding', 'data_checksums', 'fsync', 'full_page_writes', 'listen_addresses']
  const shown = await query(
    connection,
    `select ${settings.map((name) => `current_setting('${name}') as ${name}`).join()}`,
  )
  assert.deepEqual(shown, ['UTF8', 'on', 'on', 'on', ''])
  assert.deepEqual(await query(connection, `select split_part(current_setting('server_version'), ' ', 1)`), [
    version,
  ])
  await query(connection, 'create extension pg_trgm')
  assert.deepEqual(await query(connection, `select similarity('привет', 'привет')`), [1])
  assert.deepEqual(await query(connection, `select upper('é')`), ['É'])
})

test('the socket is in a folder that only the one who runs postgres may enter', async (t) => {
  const { connection } = await start(t, await makeFolder(t))
  const folder = await lstat(connection.host)
  assert.equal(folder.mode & 0o777, 0o700)
  assert.notEqual(folder.uid, 0)
})

test('a DATA_DIR too deep for a socket path has its socket elsewhere, and a second start takes over there', async (t) => {
  const dataDir = join(await makeFolder(t), 'a'.repeat(60), 'b'.repeat(60))
  await startAndKill(t, dataDir, 'create table kept as select 1')
  const postgres = await start(t, dataDir)
  assert.match(postgres.notice ?? '', /Took over/)
  assert.ok(Buffer.byteLength(postgres.connection.host) < 80)
  await postgres.stop()
  assert.equal(existsSync(postgres.connection.host), false)
})

test('a socket folder under /tmp whose name somebody took is not used', async (t) => {
  const folder = await makeFolder(t)
  const dataDir = join(folder, 'c'.repeat(120))
  const trap = socketFolderOf(dataDir, await chooseAccount(join(dataDir, 'postgres')))
  await symlink(folder, trap)
  atEnd(t, () => rm(trap, { force: true }))
  const { connection } = await start(t, dataDir)
  assert.notEqual(connection.host, trap)
  assert.equal((await lstat(connection.host)).mode & 0o777, 0o700)
  assert.deepEqual(await query(connection, 'select 1'), [1])
})

test('blanks, commas and quotes in the path of DATA_DIR do no harm', async (t) => {
  const dataDir = join(await makeFolder(t), `it's "my" data, é`)
  await startAndKill(t, dataDir, 'create table kept as select 1')
  const postgres = await start(t, dataDir)
  assert.match(postgres.notice ?? '', /Took over/)
  assert.equal(dirname(postgres.connection.host), dataDir)
})

test(
  'missing library links are made in DATA_DIR, and node_modules is left as it is',
  { skip: !isLinux },
  async (t) => {
    const folder = await makeFolder(t)
    const tree = join(folder, 'tree')
    const copy = await cloneTo(tree)
    const libraries = join(copy, 'native/lib')
    for (const entry of await readdir(libraries, { withFileTypes: true }))
      if (entry.isSymbolicLink()) await rm(join(libraries, entry.name))
    const before = await readdir(copy, { recursive: true })

    // The second start finds the links made; a library path cannot hold the third folder.
    for (const name of ['data', 'data', 'da:ta']) {
      const server = startServer(t, join(folder, name), tree)
      const { connection, error } = await server.said
      assert.ok(connection, error)
      assert.deepEqual(await query(connection, 'select 1'), [1])
      server.child.stdin?.end()
      await server.exited
    }
    assert.deepEqual(await readdir(copy, { recursive: true }), before)
    assert.ok((await lstat(join(folder, 'data/postgres-lib/libpq.so.5'))).isSymbolicLink())
  },
)

test('without a PostgreSQL for this platform the error names the package and DATABASE_URL', async (t) => {
  const folder = await makeFolder(t)
  await rm(await cloneTo(join(folder, 'tree')), { recursive: true })
  const { error } = await startServer(t, join(folder, 'data'), join(folder, 'tree')).said
  assert.match(error ?? '', /@embedded-postgres\/.*DATABASE_URL/)
})

test('the postmaster of a killed server is taken over, and stop() ends it', async (t) => {
  const dataDir = await makeFolder(t)
  await startAndKill(t, dataDir, 'create table kept as select 7 as answer')
  const orphan = identify(pidIn(join(dataDir, 'postgres')))
  assert.ok(orphan)
  const postgres = await start(t, dataDir)
  assert.match(postgres.notice ?? '', new RegExp(`pid ${orphan.pid}`))
  assert.deepEqual(await query(postgres.connection, 'select answer from kept'), [7])
  await postgres.stop()
  assert.equal(isRunning(orphan), false)
})

test(
  'an orphaned postmaster with other settings is stopped and another started',
  { skip: !isLinux },
  async (t) => {
    const dataDir = await makeFolder(t)
    await startAndKill(t, dataDir, 'create table kept as select 8 as answer')
    const pgdata = join(dataDir, 'postgres')
    const [program = '', ...args] = commandOf(pidIn(pgdata)) ?? []
    const adopted = await start(t, dataDir)
    await adopted.stop()
    const options = {
      ...runAs(await chooseAccount(pgdata)),
      cwd: '/',
      stdio: 'ignore',
      detached: true,
      // As the launcher has it: an installation without install scripts lacks the links to the libraries.
      env: { LD_LIBRARY_PATH: `${join(dataDir, 'postgres-lib')}:${join(dirname(program), '../lib')}` },
    } as const
    spawn(program, [...args, '-c', 'work_mem=5MB'], options).unref()
    await until(() => existsSync(join(pgdata, 'postmaster.pid')) && isPostmasterOf(pidIn(pgdata), pgdata))
    const orphan = identify(pidIn(pgdata))
    assert.ok(orphan)

    const postgres = await start(t, dataDir)
    assert.equal(postgres.notice, null)
    assert.equal(isRunning(orphan), false)
    assert.deepEqual(await query(postgres.connection, 'select answer from kept'), [8])
  },
)

test('a pid file left behind is no hindrance, whether its pid is dead or in use again', async (t) => {
  const dataDir = await makeFolder(t)
  await (await start(t, dataDir)).stop()
  const bystander = spawn('sleep', ['600'], {
    stdio: 'ignore',
    ...runAs(await chooseAccount(join(dataDir, 'postgres'))),
  })
  atEnd(t, () => bystander.kill())
  for (const pid of [4_000_000, bystander.pid]) {
    const lines = [
      pid,
      join(dataDir, 'postgres'),
      1,
      5432,
      join(dataDir, 'postgres-socket'),
      '',
      '',
      'ready',
      '',
    ]
    await writeFile(join(dataDir, 'postgres/postmaster.pid'), lines.join('\n'))
    await writeFile(join(dataDir, 'postgres-socket/.s.PGSQL.5432.lock'), lines.join('\n'))
    const postgres = await start(t, dataDir)
    assert.equal(postgres.notice, null)
    await postgres.stop()
  }
  assert.equal(bystander.exitCode, null)
})

test(
  'after the postmaster was killed with a child hanging on, the next start recovers what was committed',
  { skip: !isLinux },
  async (t) => {
    const dataDir = await makeFolder(t)
    const pgdata = join(dataDir, 'postgres')
    const first = await start(t, dataDir)
    await query(first.connection, 'create table kept as select 9 as answer')
    const client = new pg.Client(first.connection)
    client.on('error', () => undefined)
    await client.connect()
    const backend = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]
    assert.ok(backend)
    process.kill(backend.pid, 'SIGSTOP')
    const children = postgresProcessesIn(pgdata)
    process.kill(pidIn(pgdata), 'SIGKILL')
    await until(() => children.filter(isRunning).length <= 1)

    // first.stop() releases the lock, which its process would hold as long as it lives.
    await first.stop()
    assert.deepEqual(children.filter(isRunning), [])
    const second = await start(t, dataDir)
    assert.deepEqual(await query(second.connection, 'select answer from kept'), [9])
    await client.end().catch(() => undefined)
  },
)

test(
  'a server and its postmaster killed together leave children that the next start ends',
  { skip: !isLinux },
  async (t) => {
    const dataDir = await makeFolder(t)
    const pgdata = join(dataDir, 'postgres')
    const server = startServer(t, dataDir)
    const { connection } = await server.said
    assert.ok(connection)
    await query(connection, 'create table kept as select 10 as answer')
    const client = new pg.Client(connection)
    client.on('error', () => undefined)
    await client.connect()
    const backend = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]
    assert.ok(backend)
    const hanging = identify(backend.pid)
    assert.ok(hanging)
    process.kill(hanging.pid, 'SIGSTOP')
    process.kill(pidIn(pgdata), 'SIGKILL')
    server.child.kill('SIGKILL')
    await server.exited

    const postgres = await start(t, dataDir)
    assert.equal(isRunning(hanging), false)
    assert.deepEqual(await query(postgres.connection, 'select answer from kept'), [10])
    await client.end().catch(() => undefined)
  },
)

test('a second server on one DATA_DIR is refused by name and pid, until the first has stopped', async (t) => {
  const dataDir = await makeFolder(t)
  const server = startServer(t, dataDir)
  assert.ok((await server.said).connection)
  const message = await failure(dataDir)
  assert.ok(message.includes(dataDir) && message.includes(`pid ${server.child.pid}`), message)
  server.child.stdin?.end()
  await server.exited
  await start(t, dataDir)
  assert.match(await failure(dataDir), new RegExp(`pid ${process.pid}\\b`))
})

test('of servers that start in the same instant on a new DATA_DIR exactly one wins', async (t) => {
  const dataDir = join(await makeFolder(t), 'data')
  const servers = Array.from({ length: 5 }, () => startServer(t, dataDir))
  const said = await Promise.all(servers.map((server) => server.said))
  const winner = servers[said.findIndex(({ connection }) => connection !== undefined)]
  const errors = said.filter(({ error }) => error !== undefined).map(({ error }) => error)
  assert.equal(errors.length, 4, errors.join('\n'))
  for (const error of errors)
    assert.match(error ?? '', new RegExp(`${dataDir} is in use .*pid ${winner?.child.pid}\\b`))
})

test('of starts in the same instant after a killed server exactly one wins', async (t) => {
  const dataDir = await makeFolder(t)
  await startAndKill(t, dataDir, 'select 1')
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => start(t, dataDir)))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})

test('data of another major version are refused and not touched', async (t) => {
  const dataDir = await makeFolder(t)
  await mkdir(join(dataDir, 'postgres'))
  await writeFile(join(dataDir, 'postgres/PG_VERSION'), '17\n')
  const before = await stat(join(dataDir, 'postgres'))
  const message = await failure(dataDir)
  assert.match(message, /PostgreSQL 17.*PostgreSQL 18.*not touched/)
  assert.ok(message.includes(join(dataDir, 'postgres')))
  assert.deepEqual(await readdir(join(dataDir, 'postgres')), ['PG_VERSION'])
  assert.equal((await stat(join(dataDir, 'postgres'))).ctimeMs, before.ctimeMs)
})

test('a folder "postgres" with files of others is refused and not touched', async (t) => {
  const dataDir = await makeFolder(t)
  await mkdir(join(dataDir, 'postgres'))
  await writeFile(join(dataDir, 'postgres/diary.txt'), 'dear diary')
  assert.match(await failure(dataDir), /postgres is not empty and holds no PostgreSQL data .*diary\.txt/)
  assert.equal(readFileSync(join(dataDir, 'postgres/diary.txt'), 'utf8'), 'dear diary')
})

test('an initdb cut short by a kill is done again', async (t) => {
  const dataDir = await makeFolder(t)
  const server = startServer(t, dataDir)
  const unfinished = () => readdirSync(dataDir).some((name) => name.startsWith('postgres.init-'))
  await until(unfinished)
  server.child.kill('SIGKILL')
  await server.exited
  const postgres = await start(t, dataDir)
  assert.deepEqual(await query(postgres.connection, 'select 1'), [1])
  assert.equal(unfinished(), false)
})

test('when postgres does not start, the error shows the last lines of its log, and the lock is free again', async (t) => {
  const dataDir = await makeFolder(t)
  await (await start(t, dataDir)).stop()
  const config = join(dataDir, 'postgres/postgresql.conf')
  const good = readFileSync(config)
  appendFileSync(config, '\nno_such_setting = 1\n')
  assert.match(await failure(dataDir), /unrecognized configuration parameter "no_such_setting"/)
  await writeFile(config, good)
  await start(t, dataDir)
})

test('stop() ends every process, also with a transaction open and when called twice', async (t) => {
  const dataDir = await makeFolder(t)
  const postgres = await start(t, dataDir)
  const client = new pg.Client(postgres.connection)
  const cut = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  await client.query('begin')
  await client.query('create table never (id int)')
  const postmaster = identify(pidIn(join(dataDir, 'postgres')))
  await Promise.all([postgres.stop(), postgres.stop()])
  await postgres.stop()
  await cut
  assert.equal(postmaster && isRunning(postmaster), false)
  assert.deepEqual(postgresProcessesIn(join(dataDir, 'postgres')), [])
  assert.equal(existsSync(join(dataDir, 'postgres/postmaster.pid')), false)
})

test('Ctrl-C, which goes to the process group of the server, does not reach postgres', async (t) => {
  const dataDir = await makeFolder(t)
  const server = startServer(t, dataDir)
  const { connection } = await server.said
  assert.ok(connection && server.child.pid)
  const postmaster = pidIn(join(dataDir, 'postgres'))
  const group = execFileSync('ps', ['-o', 'pgid=', '-p', String(postmaster)], { encoding: 'utf8' })
  assert.equal(Number(group), postmaster)
  process.kill(-server.child.pid, 'SIGINT')
  assert.deepEqual(await query(connection, 'select 1'), [1])
})

test('a DATA_DIR that may not be written, or is no folder, is named in the error', async (t) => {
  const folder = await makeFolder(t)
  await writeFile(join(folder, 'file'), '')
  assert.ok((await failure(join(folder, 'file'))).includes(join(folder, 'file')))
  // Nothing can be made there, by nobody; the system says of it what it says where a folder above is missing.
  if (process.platform === 'linux') assert.match(await failure('/proc/self/no/data'), /\/proc\/self\/no/)
  if (isRoot) return
  await mkdir(join(folder, 'locked'), { mode: 0o500 })
  const message = await failure(join(folder, 'locked', 'data'))
  assert.match(message, /No permission to use .*locked\/data/)
})

test('the log of postgres is kept small', async (t) => {
  const file = join(await makeFolder(t), 'postgres.log')
  await writeFile(file, 'x'.repeat(5_000_000))
  boundServerLog(file)
  assert.equal((await stat(file)).size, 0)
  assert.equal((await stat(file + '.1')).size, 5_000_000)
})
