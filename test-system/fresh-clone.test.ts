import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { sharedFolder } from '../src/store/embedded/data-place.ts'
import { atEnd, makeFolder, root } from '../test/support/embedded-postgres.ts'
import {
  commandIn,
  endPostgres,
  freePort,
  plainEnvironment,
  postgresOf,
  shell,
  start,
  within,
} from '../test/support/npm-start.ts'

// The first minutes of a new user: git clone, npm ci, npm start. What is committed counts, not what lies about here.

const nobody = 65534

interface Clone {
  tree: string
  env: Record<string, string>
  uid?: number
}

interface CloneOptions {
  /** Who clones; without it root. */
  uid?: number
  /** Nobody but root may enter the folder that the clone is in, as /root often is. */
  closed?: boolean
  ignoreScripts?: boolean
}

/** Clones HEAD into a folder of the test and installs it there. */
async function cloneAndInstall(t: TestContext, options: CloneOptions = {}): Promise<Clone> {
  const folder = await makeFolder(t)
  const tree = join(folder, 'threadmill')
  // The repository may belong to somebody else than this user, which git minds.
  const gitconfig = join(folder, 'gitconfig')
  writeFileSync(gitconfig, '[safe]\n\tdirectory = *\n')
  const env: Record<string, string> = { ...plainEnvironment(), npm_config_prefer_offline: 'true' }
  await execute('git', ['clone', '--quiet', root, tree], { env: { ...env, GIT_CONFIG_GLOBAL: gitconfig } })
  const { uid } = options
  if (uid !== undefined) {
    mkdirSync(join(folder, 'home'))
    env['HOME'] = join(folder, 'home')
    env['npm_config_cache'] = join(folder, 'home/.npm')
    await execute('chown', ['-R', `${uid}:${uid}`, folder], { env })
  }
  if (options.closed) chmodSync(folder, 0o700)
  const install = ['ci', '--no-audit', '--no-fund', ...(options.ignoreScripts ? ['--ignore-scripts'] : [])]
  await execute('npm', install, { env, cwd: tree, uid })
  return { tree, env, uid }
}

/** Runs a program to its end, which must be a good one. */
async function execute(
  program: string,
  args: string[],
  { env, cwd, uid }: { env: Record<string, string>; cwd?: string; uid?: number },
): Promise<void> {
  const who = uid === undefined ? {} : { uid, gid: uid }
  const child = spawn(program, args, { env, cwd, ...who, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  try {
    assert.equal(await within(ended, 180_000, () => output), 0, `${program} ${args.join(' ')}\n${output}`)
  } finally {
    if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
}

/** `npm start` in the clone, with nothing set but a free port. */
async function npmStart(t: TestContext, { tree, env, uid }: Clone) {
  const port = await freePort()
  const started = start(t, { cwd: tree, uid, env: { ...env, PORT: String(port) } })
  const banner = await started.listening()
  const dataDir = / {2}store {2}embedded PostgreSQL \S+ in (.*)\n/.exec(banner)?.[1] ?? assert.fail(banner)
  // Registered after the server's own end, so it comes before it.
  atEnd(t, () => endPostgres(dataDir))
  return { ...started, banner, dataDir, url: `http://127.0.0.1:${port}` }
}

/** Tries what the banner says to try; returns the id of the thread that it made. */
async function tryIt(t: TestContext, banner: string): Promise<string> {
  const streamed = await shell(t, commandIn(banner))
  assert.match(streamed, /\nevent: thread\.run\.completed\n[\s\S]*\nevent: done\ndata: \[DONE\]\n\n$/)
  return /"thread_[A-Za-z0-9]+"/.exec(streamed)?.[0].slice(1, -1) ?? assert.fail(streamed)
}

async function stop(server: Awaited<ReturnType<typeof npmStart>>): Promise<void> {
  server.signalGroup('SIGTERM')
  assert.equal(await server.ended(), 0, server.output())
  assert.deepEqual(postgresOf(server.dataDir), [])
}

/** The messages of a thread, as the server has them. */
async function messagesOf(url: string, thread: string): Promise<unknown[]> {
  const answer = await fetch(`${url}/v1/threads/${thread}/messages`, {
    headers: { 'openai-beta': 'assistants=v2' },
  })
  assert.equal(answer.status, 200)
  return ((await answer.json()) as { data: unknown[] }).data
}

test('a fresh clone of root serves after npm ci and npm start, with its data in the clone', async (t) => {
  const clone = await cloneAndInstall(t)
  const server = await npmStart(t, clone)
  assert.equal(server.dataDir, join(clone.tree, 'data'))
  assert.doesNotMatch(server.banner, /\n {2}note /)
  await tryIt(t, server.banner)
  await stop(server)
})

test('a fresh clone of an ordinary user serves after npm ci and npm start, and everything stays theirs', async (t) => {
  const clone = await cloneAndInstall(t, { uid: nobody })
  const server = await npmStart(t, clone)
  assert.equal(server.dataDir, join(clone.tree, 'data'))
  assert.doesNotMatch(server.banner, /\n {2}note /)
  await tryIt(t, server.banner)
  await stop(server)
  assert.equal(statSync(join(clone.tree, 'data/postgres')).uid, nobody)
})

test('in a folder only root may enter, npm start says where the data went, and finds them again', async (t) => {
  const before = existsSync(sharedFolder) ? readdirSync(sharedFolder) : null
  const clone = await cloneAndInstall(t, { closed: true })
  const first = await npmStart(t, clone)
  atEnd(t, () => removeShared(first.dataDir, before))
  assert.match(first.dataDir, /^\/var\/lib\/threadmill\/data-[0-9a-f]{12}$/)
  const note = `note   The data are in ${first.dataDir}: PostgreSQL does not run as root`
  assert.ok(first.banner.includes(note), first.banner)
  const thread = await tryIt(t, first.banner)
  await stop(first)

  const second = await npmStart(t, clone)
  assert.equal(second.dataDir, first.dataDir)
  assert.ok(second.banner.includes(note), second.banner)
  assert.equal((await messagesOf(second.url, thread)).length, 2)
  await stop(second)
  assert.equal(existsSync(join(clone.tree, 'data')), false)
})

/** Removes what a server put into the folder that root's servers share, and nothing that was there before. */
function removeShared(dataDir: string, before: string[] | null): void {
  endPostgres(dataDir)
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 })
  for (const name of readdirSync(sharedFolder))
    if (name.startsWith('postgres-') && !before?.includes(name))
      rmSync(join(sharedFolder, name), { recursive: true, force: true })
  if (before === null && readdirSync(sharedFolder).length === 0) rmdirSync(sharedFolder)
}

test('after npm ci --ignore-scripts a new enough Node serves, and an older one is told what is needed', async (t) => {
  const clone = await cloneAndInstall(t, { ignoreScripts: true })
  assert.equal(existsSync(join(clone.tree, 'node_modules/.bin/node')), false)
  const { stdout } = spawnSync('node', ['-p', 'process.versions.node'], { env: clone.env, encoding: 'utf8' })
  const [major = 0, minor = 0] = stdout.split('.').map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) {
    const server = await npmStart(t, clone)
    await tryIt(t, server.banner)
    return stop(server)
  }
  const started = start(t, { cwd: clone.tree, env: clone.env })
  assert.equal(await started.ended(), 1, started.output())
  const sentence = `Threadmill needs Node 22.19 or newer, and this is Node ${stdout.trim()}.\n`
  assert.ok(started.output().includes(sentence), started.output())
  assert.match(started.output(), /run `npm ci` \(with install scripts allowed\) and then `npm start`/)
  assert.doesNotMatch(started.output(), /SyntaxError|\n {4}at /)
})
