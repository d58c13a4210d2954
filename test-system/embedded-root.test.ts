// The embedded PostgreSQL started by root, and disks that are full or read-only. Everything that mounts does so in a
// mount namespace of its own, which ends with the process.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { canReach } from '../src/store/embedded/account.ts'
import { socketFolderOf } from '../src/store/embedded/socket-folder.ts'
import { atEnd, cloneTo, makeFolder, pidIn, query, root, start } from '../test/support/embedded-postgres.ts'

const nobody = 65534
// Debian's user games: an ordinary one with a name.
const ordinary = 5
const drop = `setpriv --reuid=${ordinary} --regid=${ordinary} --clear-groups`
// In a clone that only root may enter no ordinary user can run anything.
const skip =
  !canReach({ uid: ordinary, gid: ordinary }, root, [process.execPath]) &&
  'the tree is closed to ordinary users'

interface Outcome {
  error?: string
  dataDir?: string
  notice?: string | null
  kept?: number
}

// Starts and stops servers over the given DATA_DIRs one after the other; each adds a row and counts them.
function program(tree: string): string {
  return `
    import pg from ${JSON.stringify(join(root, 'node_modules/pg/esm/index.mjs'))}
    import { startEmbeddedPostgres } from ${JSON.stringify(join(tree, 'src/store/embedded/launcher.ts'))}
    import { createLog } from ${JSON.stringify(join(tree, 'src/log.ts'))}
    for (const dataDir of process.argv.slice(1)) {
      try {
        const postgres = await startEmbeddedPostgres({ dataDir, log: createLog('silent') })
        const client = new pg.Client(postgres.connection)
        await client.connect()
        await client.query('create table if not exists kept (id int)')
        await client.query('insert into kept values (1)')
        const kept = (await client.query('select from kept')).rowCount
        await client.end()
        await postgres.stop()
        console.log(JSON.stringify({ dataDir: postgres.dataDir, notice: postgres.notice, kept }))
      } catch (error) {
        console.log(JSON.stringify({ error: error.name === 'StoreStartError' ? error.message : error.stack }))
      }
    }`
}

// Runs a shell script in a mount namespace; "serve DIR..." in it starts servers over those folders. It
// returns their outcomes.
function inNamespace(script: string, { tree = root, flags = ['-m'] } = {}): Outcome[] {
  const serve = `serve() { ${quote(process.execPath)} --input-type=module -e ${quote(program(tree))} "$@"; }`
  const result = spawnSync('unshare', [...flags, 'sh', '-euc', `${serve}\n${script}`], { encoding: 'utf8' })
  assert.equal(result.status, 0, result.stderr)
  return result.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Outcome)
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

// A folder as /root often is: only root may enter.
async function makeRootOnly(t: TestContext): Promise<string> {
  const folder = join(await makeFolder(t), 'root')
  await mkdir(folder, { mode: 0o700 })
  return folder
}

const hideVarLib = 'mount -t tmpfs tmpfs /var/lib'

test('for root, postgres runs as nobody, also when the umask closes every new folder', async (t) => {
  const folder = await makeFolder(t)
  const before = process.umask(0o077)
  atEnd(t, () => process.umask(before))
  const postgres = await start(t, join(folder, 'new', 'data'))
  process.umask(before)
  assert.equal(postgres.notice, null)
  const owner = execFileSync('ps', ['-o', 'uid=', '-p', String(pidIn(join(postgres.dataDir, 'postgres')))])
  assert.equal(Number(owner), nobody)
  assert.equal((await lstat(join(postgres.dataDir, 'postgres'))).uid, nobody)
})

test('an empty DATA_DIR that only root may enter, as mkdtemp makes it, is opened for passing through', async (t) => {
  const data = await makeRootOnly(t)
  const postgres = await start(t, data)
  assert.deepEqual([postgres.dataDir, postgres.notice], [data, null])
  assert.equal((await lstat(data)).mode & 0o777, 0o711)
})

test('in a folder only root may enter, programs and data go to /var/lib/threadmill, and the next start finds them', async (t) => {
  const tree = await makeRootOnly(t)
  await cloneTo(tree)
  const data = join(tree, 'data')
  const [first, second] = inNamespace(`${hideVarLib}; serve ${quote(data)} ${quote(data)}`, {
    tree,
  })
  assert.equal(first?.error, undefined)
  assert.match(first?.dataDir ?? '', /^\/var\/lib\/threadmill\/data-[0-9a-f]{12}$/)
  assert.match(first?.notice ?? '', new RegExp(`The data are in ${first?.dataDir}: .* cannot enter ${data}`))
  assert.deepEqual(second, { ...first, kept: 2 })
  assert.equal(existsSync(data), false)
})

test('two servers that copy the programs at the same time both start, and leave one copy', async (t) => {
  const tree = await makeRootOnly(t)
  await cloneTo(tree)
  const [one, two] = [join(tree, 'one'), join(tree, 'two')].map(quote)
  const script = `${hideVarLib}; serve ${one} & first=$!; serve ${two}; wait $first;
    test "$(ls -d /var/lib/threadmill/postgres-* | wc -l)" = 1`
  const outcomes = inNamespace(script, { tree })
  assert.deepEqual(
    outcomes.map(({ kept, error }) => kept ?? error),
    [1, 1],
  )
})

test('programs closed by a strict umask at installation are copied too, and DATA_DIR stays where it was asked for', async (t) => {
  const folder = await makeFolder(t)
  const tree = join(folder, 'tree')
  await chmod(await cloneTo(tree), 0o700)
  const [outcome] = inNamespace(`${hideVarLib}; umask 077; serve ${quote(join(folder, 'data'))}`, { tree })
  assert.deepEqual(outcome, { dataDir: join(folder, 'data'), notice: null, kept: 1 })
})

test('when /var/lib cannot serve either, the error says to set DATA_DIR', async (t) => {
  const data = join(await makeRootOnly(t), 'data')
  const [readOnly] = inNamespace(`${hideVarLib}; mount -o remount,ro /var/lib; serve ${quote(data)}`)
  assert.match(readOnly?.error ?? '', new RegExp(`cannot enter ${data}.*Set DATA_DIR.*read-only`))
  const [open] = inNamespace(`${hideVarLib}; mkdir -m 777 /var/lib/threadmill; serve ${quote(data)}`)
  assert.match(open?.error ?? '', /Set DATA_DIR.*threadmill must belong to root/)
})

test('a database that became unreachable is not silently replaced by an empty one elsewhere', async (t) => {
  const folder = await makeFolder(t)
  const data = join(folder, 'data')
  await (await start(t, data)).stop()
  await chmod(folder, 0o700)
  const [outcome] = inNamespace(`${hideVarLib}; serve ${quote(data)}; test ! -e /var/lib/threadmill`)
  assert.match(
    outcome?.error ?? '',
    new RegExp(`DATA_DIR ${data} holds a database, but uid ${nobody}.*Nothing was changed`),
  )
})

test('data placed elsewhere are still found when DATA_DIR can be reached later', async (t) => {
  const folder = await makeRootOnly(t)
  const data = quote(join(folder, 'data'))
  const outcomes = inNamespace(`${hideVarLib}; serve ${data}; chmod 755 ${quote(folder)}; serve ${data}`)
  assert.deepEqual(
    outcomes.map(({ kept, error }) => kept ?? error),
    [1, 2],
  )
})

test('a full disk is named when the cluster is made, and nothing of it is left', async (t) => {
  const disk = await makeFolder(t)
  const [outcome] =
    inNamespace(`mount -t tmpfs -o size=20m tmpfs ${disk}; chmod 755 ${disk}; serve ${disk}/data
    test -z "$(find ${disk}/data -name 'postgres*' ! -path '*/postgres-lib*')"`)
  assert.match(outcome?.error ?? '', new RegExp(`The disk that holds ${disk}/data/postgres is full`))
})

test('a full disk is named when the cluster exists, and after making room it starts with its data', async (t) => {
  const disk = await makeFolder(t)
  const outcomes =
    inNamespace(`mount -t tmpfs -o size=150m tmpfs ${disk}; chmod 755 ${disk}; serve ${disk}/data
    dd if=/dev/zero of=${disk}/filler bs=64k 2>/dev/null || dd if=/dev/zero of=${disk}/filler2 bs=512 2>/dev/null || true
    serve ${disk}/data; rm ${disk}/filler*; serve ${disk}/data`)
  assert.match(outcomes[1]?.error ?? '', new RegExp(`The disk that holds ${disk}/data.* is full`))
  assert.deepEqual([outcomes[0]?.kept, outcomes[2]?.kept], [1, 2])
})

test('a read-only disk is named, with and without a cluster on it', async (t) => {
  const disk = await makeFolder(t)
  const outcomes = inNamespace(`mount -t tmpfs tmpfs ${disk}; chmod 755 ${disk}; serve ${disk}/data
    mount -o remount,ro ${disk}; serve ${disk}/data ${disk}/other`)
  assert.equal(outcomes[0]?.kept, 1)
  assert.match(outcomes[1]?.error ?? '', new RegExp(`The disk that holds ${disk}/data is read-only`))
  assert.match(outcomes[2]?.error ?? '', new RegExp(`The disk that holds ${disk}/other is read-only`))
})

test('a server in another container on the same DATA_DIR is noticed, though its pids cannot be seen', async (t) => {
  const folder = await makeFolder(t)
  const postgres = await start(t, join(folder, 'data'))
  const [outcome] = inNamespace(`serve ${quote(postgres.dataDir)}`, {
    flags: ['-p', '-f', '-m', '--mount-proc'],
  })
  assert.match(outcome?.error ?? '', /is in use: a PostgreSQL that this server cannot see/)
  assert.deepEqual(await query(postgres.connection, 'select 1'), [1])
})

test(
  'a cluster made by an ordinary user is run as that user, who can go on using it',
  { skip },
  async (t) => {
    const folder = await makeFolder(t)
    await chown(folder, ordinary, ordinary)
    const data = quote(join(folder, 'data'))
    const asUser = `${drop} ${quote(process.execPath)} --input-type=module -e ${quote(program(root))} ${data}`
    const outcomes = inNamespace(`${asUser}; serve ${data}; ${asUser}`)
    assert.deepEqual(
      outcomes.map(({ kept, error }) => kept ?? error),
      [1, 2, 3],
    )
  },
)

test('a DATA_DIR of root is refused to an ordinary user by name', { skip }, async (t) => {
  const data = join(await makeFolder(t), 'data')
  await (await start(t, data)).stop()
  const [outcome] = inNamespace(
    `${drop} ${quote(process.execPath)} --input-type=module -e ${quote(program(root))} ${quote(data)}`,
  )
  assert.match(outcome?.error ?? '', new RegExp(`No permission to use ${data}`))
})

test('a user id without a name is told that PostgreSQL needs one', { skip }, async (t) => {
  const folder = await makeFolder(t)
  await chown(folder, 54321, 54321)
  const drop = 'setpriv --reuid=54321 --regid=54321 --clear-groups'
  const [outcome] = inNamespace(
    `${drop} ${quote(process.execPath)} --input-type=module -e ${quote(program(root))} ${quote(folder)}`,
  )
  assert.match(outcome?.error ?? '', /PostgreSQL needs a user with a name/)
})

test('a cluster whose files belong to root, as after restoring a backup, is given to the one who runs postgres', async (t) => {
  const data = join(await makeFolder(t), 'data')
  const first = await start(t, data)
  await query(first.connection, 'create table kept as select 5 as answer')
  await first.stop()
  execFileSync('chown', ['-R', '0:0', data])
  assert.deepEqual(await query((await start(t, data)).connection, 'select answer from kept'), [5])
})

test('a root that may not switch users is told so', async (t) => {
  const data = quote(join(await makeFolder(t), 'data'))
  const [outcome] = inNamespace(
    `setpriv --bounding-set=-setuid,-setgid ${quote(process.execPath)} --input-type=module -e ${quote(program(root))} ${data}`,
  )
  assert.match(outcome?.error ?? '', /may not switch to uid 65534: run the server as an ordinary user/)
})

test('a socket folder under /tmp that belongs to someone else is not used', async (t) => {
  const data = join(await makeFolder(t), 'd'.repeat(120))
  const trap = socketFolderOf(data, { uid: nobody, gid: nobody })
  await mkdir(trap)
  atEnd(t, () => rm(trap, { recursive: true, force: true }))
  await chown(trap, ordinary, ordinary)
  const postgres = await start(t, data)
  assert.notEqual(postgres.connection.host, trap)
  assert.equal((await lstat(postgres.connection.host)).uid, nobody)
  assert.equal((await lstat(trap)).uid, ordinary)
  assert.deepEqual(await readdir(trap), [])
})
