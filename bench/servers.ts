import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { request } from 'undici'
import { freePort, killTree, startNode, stop, temporary, type Spawned } from './processes.ts'

// Servers under test, each a process of its own: Threadmill of some folder, and the bare server.

export interface Server {
  name: string
  /** With /v1. */
  base: string
  /** Of its main process, or null if that is not known. */
  pid: number | null
  /** Of its embedded Postgres, or the given one. */
  database: (() => Promise<pg.ClientConfig>) | null
  /** Milliseconds from its start to its first good answer of /readyz. */
  readyMs: number
  /** Ends it and removes its data. */
  stop(): Promise<void>
}

export interface ThreadmillServer extends Server {
  pid: number
  database: () => Promise<pg.ClientConfig>
  /** How late its timers came since the last call, in milliseconds. */
  delays(): Promise<Delays>
  /** Ends it, `SIGKILL` at once and without its Postgres, and starts it again over the same data. */
  restart(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>
}

export interface StartOptions {
  name: string
  /** The folder of the sources. */
  root: string
  mockUrl: string
  databaseUrl: string | null
  /** More settings. */
  env?: Record<string, string>
  /** More arguments of node. */
  nodeArgs?: string[]
}

export const ownRoot = fileURLToPath(new URL('..', import.meta.url))
const preload = new URL('event-loop-delay.mjs', import.meta.url).href
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** A fresh server over a new DATA_DIR. */
export async function startThreadmill(options: StartOptions): Promise<ThreadmillServer> {
  const folder = await mkdtemp(join(tmpdir(), 'threadmill-bench-'))
  temporary.add(folder)
  // As root, Postgres runs as another user, who must get in.
  await chmod(folder, 0o755)
  const delayFile = join(folder, 'delays.json')
  const port = await freePort()
  const database = options.databaseUrl ? await makeDatabase(options.databaseUrl) : null
  const env = {
    PATH: process.env['PATH'] ?? '',
    PORT: String(port),
    DATA_DIR: join(folder, 'data'),
    OPENAI_BASE_URL: `${options.mockUrl}/v1`,
    OPENAI_API_KEY: 'bench',
    BENCH_DELAY_FILE: delayFile,
    ...(database ? { DATABASE_URL: database.url } : {}),
    ...options.env,
  }
  const start = () =>
    startNode(
      ['--import', preload, ...(options.nodeArgs ?? []), join(options.root, 'bin/threadmill.mjs')],
      env,
      options.root,
    )
  let spawned = start()
  const base = `http://127.0.0.1:${port}`
  const server: ThreadmillServer = {
    name: options.name,
    base: `${base}/v1`,
    pid: spawned.pid,
    readyMs: await ready(base, spawned),
    database: async () =>
      database ? { connectionString: database.url } : embeddedConnection(join(folder, 'data', 'postgres')),
    delays: () => readDelays(delayFile, spawned.pid),
    async restart(signal = 'SIGTERM') {
      if (signal === 'SIGTERM') await stop(spawned)
      else spawned.child.kill('SIGKILL')
      await spawned.ended
      spawned = start()
      server.pid = spawned.pid
      server.readyMs = await ready(base, spawned)
    },
    async stop() {
      await stop(spawned)
      await database?.drop()
      await rm(folder, { recursive: true, force: true })
      temporary.delete(folder)
    },
  }
  return server
}

/** A database of its own on someone else's Postgres. */
async function makeDatabase(serverUrl: string): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `bench_${randomBytes(6).toString('hex')}`
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  const execute = (sql: string) =>
    withDatabase({ database: async () => ({ connectionString: serverUrl }) }, (client) => client.query(sql))
  await execute(`create database ${name}`)
  return { url: url.href, drop: async () => void (await execute(`drop database ${name} with (force)`)) }
}

/** The bare server of bench/baseline. */
export async function startBare(mockUrl: string): Promise<Server> {
  const port = await freePort()
  const script = fileURLToPath(new URL('baseline/bare-server.mjs', import.meta.url))
  const env = { PATH: process.env['PATH'] ?? '', PORT: String(port), OPENAI_BASE_URL: `${mockUrl}/v1` }
  const spawned = startNode([script], env, ownRoot)
  const base = `http://127.0.0.1:${port}`
  const readyMs = await ready(base, spawned)
  return {
    name: 'bare',
    base: `${base}/v1`,
    pid: spawned.pid,
    database: null,
    readyMs,
    stop: async () => {
      killTree(spawned.pid)
      await spawned.ended
    },
  }
}

/** Milliseconds until it answers. */
async function ready(base: string, { child, output }: Spawned): Promise<number> {
  const since = performance.now()
  while (performance.now() - since < 120_000) {
    const status = await request(`${base}/readyz`).then(
      async ({ statusCode, body }) => {
        await body.dump()
        return statusCode
      },
      () => 0,
    )
    if (status === 200) return performance.now() - since
    if (child.exitCode !== null || child.signalCode !== null) break
    await pause(5)
  }
  throw new Error(`a server did not start:\n${output().slice(-2_000)}`)
}

/** The file that a postmaster keeps says where it listens. */
async function embeddedConnection(pgdata: string): Promise<pg.ClientConfig> {
  const lines = (await readFile(join(pgdata, 'postmaster.pid'), 'utf8')).split('\n')
  const [port = '', host = ''] = lines.slice(3, 5)
  return { host, port: Number(port), user: 'threadmill', database: 'threadmill', ssl: false }
}

interface Delays {
  stamp: number
  p50: number
  p99: number
  max: number
}

async function readDelays(file: string, pid: number): Promise<Delays> {
  const read = async () => JSON.parse(await readFile(file, 'utf8').catch(() => '{"stamp":0}')) as Delays
  const before = (await read()).stamp
  process.kill(pid, 'SIGUSR2')
  for (const until = performance.now() + 10_000; performance.now() < until;) {
    const now = await read()
    if (now.stamp !== before) return now
    await pause(20)
  }
  throw new Error('the server did not tell how late its timers are')
}

/** Runs `work` with a connection to the server's database. */
export async function withDatabase<T>(
  server: { database: () => Promise<pg.ClientConfig> },
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(await server.database())
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
