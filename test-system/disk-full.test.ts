import assert from 'node:assert/strict'
import { statfsSync } from 'node:fs'
import { open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { socketFolderOf } from '../src/store/embedded/socket-folder.ts'
import { atEnd, makeFolder, root, start as startPostgres } from '../test/support/embedded-postgres.ts'
import { gate, startMockModel, text, type MockModel } from '../test/support/mock-model.ts'
import { freePort, start, until } from '../test/support/npm-start.ts'
import { OutageLoad } from '../test/support/outage-load.ts'

// A disk that is full under load: a small file system in a mount namespace of the server, filled to the last byte.

interface Disk {
  load: OutageLoad
  /** Fills the file system to the last byte, and keeps it full; answers how to end that. */
  fill(): Promise<() => Promise<void>>
  /** Runs a statement in the database. */
  sql<R extends pg.QueryResultRow>(statement: string): Promise<R[]>
  /** The pid of Postgres; rejects if there is none. */
  postmaster(): Promise<number>
  mock: MockModel
  /** Lets the model answer the runs that are under way. */
  goOn(): void
}

interface Where {
  /** A shell script in which $DIR is the DATA_DIR. */
  mounts: string
  /** A folder in it that is on the small file system. */
  place: string
  dir: string
}

/** Starts a server with its own Postgres on a small file system, and load on it: some of its runs wait for their model. */
async function onSmallDisk(t: TestContext, { mounts, place, dir }: Where): Promise<Disk> {
  const mock = await startMockModel()
  atEnd(t, () => mock.close())
  mock.when(() => true, text('Done.'))
  const port = await freePort()
  const env = {
    DIR: dir,
    DATA_DIR: dir,
    PORT: String(port),
    OPENAI_BASE_URL: mock.baseUrl,
    OPENAI_API_KEY: 'sk-of-the-backend',
  }
  const script = `${mounts}\nexec '${process.execPath}' '${join(root, 'src/main.ts')}'`
  const server = start(t, { command: ['unshare', '-m', 'sh', '-euc', script], env })
  // What the server sees: the mounts are its own.
  const seen = join(`/proc/${server.child.pid}/root`, dir)
  const postmaster = async () =>
    Number((await readFile(join(seen, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0])
  atEnd(t, async () => {
    const pid = await postmaster().catch(() => null)
    server.signalGroup('SIGTERM')
    await server.ended().catch(() => {})
    if (pid !== null) await endIfRunning(pid)
  })
  await server.listening()
  const held = gate()
  const load = new OutageLoad([`http://127.0.0.1:${port}`], 8)
  await load.goesOn(16)
  mock.when(() => true, text('Done', held.opened, '.'))
  await load.goesOn(8)
  atEnd(t, () => load.stop())
  return {
    load,
    mock,
    goOn() {
      held.open()
      mock.when(() => true, text('Done.'))
    },
    postmaster,
    fill: () => fill(t, join(seen, place)),
    sql: (statement) => execute(join(`/proc/${server.child.pid}/root`, socketFolderOf(dir, null)), statement),
  }
}

async function endIfRunning(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended in order.
  }
}

async function execute<R extends pg.QueryResultRow>(host: string, statement: string): Promise<R[]> {
  const client = new pg.Client({ host, port: 5432, user: 'threadmill', database: 'threadmill' })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query<R>(statement)).rows
  } finally {
    await client.end()
  }
}

async function fill(t: TestContext, folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'ballast')
  const file = await open(path, 'w')
  let over = false
  const piece = Buffer.alloc(1 << 16)
  const filling = (async () => {
    while (!over) {
      const { bavail, bsize } = statfsSync(folder)
      const write = file.write(piece, 0, Math.min(piece.length, bavail * bsize))
      if (bavail > 0) await write.catch(() => {})
      else await sleep(2)
    }
    await file.close()
    await rm(path)
  })()
  const free = () => ((over = true), filling)
  atEnd(t, () => free().catch(() => {}))
  await until(() => statfsSync(folder).bavail === 0, 'the disk is full')
  return free
}

const refused = (load: OutageLoad) => load.answers.filter(({ status }) => status === 503).length

const refusesMore = async (load: OutageLoad, more = 24) => {
  const goal = refused(load) + more
  await until(() => refused(load) >= goal, 'requests are refused')
}

/** Everything is as it was; what was acknowledged before, meanwhile and afterwards is there. */
async function recovers(t: TestContext, { load }: Disk): Promise<void> {
  const since = performance.now()
  await until(() => load.readiness.at(-1) === 200, 'readyz says 200 again')
  const took = Math.round(performance.now() - since)
  await load.goesOn(16)
  await load.stop()
  await load.check()
  const slowest = Math.round(Math.max(...load.answers.map(({ took: ms }) => ms)))
  t.diagnostic(
    `${load.acknowledged.length} runs; ${refused(load)} requests refused, the slowest answer after ${slowest} ms; ` +
      `/readyz said ${load.readiness.join(', ')}, 200 after ${took} ms`,
  )
}

const smallDataDir = 'mount -t tmpfs -o size=256m,mode=755 tmpfs "$DIR"'

test('a disk that is full under load refuses writes, ends Postgres, loses nothing, and all goes on when it has room', async (t) => {
  const disk = await onSmallDisk(t, { mounts: smallDataDir, place: '.', dir: await makeFolder(t) })
  const { load } = disk
  const free = await disk.fill()
  await until(() => load.readiness.at(-1) === 503, 'readyz says 503')
  // Without room for its log Postgres gives up, and cannot start again either.
  const ends = () =>
    disk.sql('select pg_switch_wal(), txid_current()').then(
      () => disk.postmaster(),
      () => disk.postmaster(),
    )
  const before = await disk.postmaster()
  await until(
    () =>
      ends().then(
        (pid) => pid !== before,
        () => true,
      ),
    'Postgres ends',
  )
  await refusesMore(load)
  disk.goOn()
  await free()
  await recovers(t, disk)
})

// The log of Postgres has room, its tables have none: it lives on and refuses what makes them grow.
const smallTables = `
  cp -a "$DIR/postgres/base" "$DIR/base"
  mount -t tmpfs -o size=64m tmpfs "$DIR/postgres/base"
  cp -a "$DIR/base/." "$DIR/postgres/base"`

test('while tables have no room under load, runs keep what their models said and wait', async (t) => {
  const dir = await makeFolder(t)
  await (await startPostgres(t, dir)).stop()
  const disk = await onSmallDisk(t, { mounts: smallTables, place: 'postgres/base', dir })
  const { load, mock } = disk
  const postgres = await disk.postmaster()
  const free = await disk.fill()
  await until(() => load.readiness.at(-1) === 503, 'readyz says 503')
  disk.goOn()
  await refusesMore(load)
  await free()
  await recovers(t, disk)
  assert.equal(await disk.postmaster(), postgres)
  // No run was given up and begun anew: each called its model once.
  assert.deepEqual(await disk.sql('select id from runs where attempts > 0'), [])
  assert.equal(mock.requests.length, load.acknowledged.length)
})
