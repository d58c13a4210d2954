import type { TestContext } from 'node:test'
import OpenAI from 'openai'
import pg from 'pg'
import { startApp, type App, type Tuning } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { judgingFetch } from './contract.ts'
import { atEnd } from './database.ts'
import { startServer, type ServerOptions, type TestServer } from './server.ts'

// Several servers on one database, and rows of it that someone else holds.

export interface TestNode {
  app: App
  client: OpenAI
}

/** A server that ends with its test: a file with many of them would use up the connections of Postgres. */
export async function oneNode(t: TestContext, options: ServerOptions = {}): Promise<TestServer> {
  const server = await startServer({ ...options, tuning: { alone: false, ...options.tuning } })
  t.after(() => server.app.stop())
  return server
}

/** Another server on the database and the model of `server`; it ends with its test. */
export async function anotherNode(
  t: TestContext,
  server: TestServer,
  tuning: Tuning = {},
  env: Record<string, string> = {},
): Promise<TestNode> {
  const config = readConfig({
    ...env,
    PORT: '0',
    DATABASE_URL: server.db.url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
    ...env,
  })
  const app = await startApp(config, createLog('silent'), tuning)
  t.after(() => app.stop())
  const settings = { baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch }
  return { app, client: new OpenAI(settings) }
}

/** A server on the model of `server` and the database at `url`, for all tests of the file; and requests to it by hand. */
export async function nodeAt(
  server: TestServer,
  url: string,
  tuning: Tuning = {},
): Promise<Pick<TestServer, 'fetch'>> {
  const config = readConfig({
    PORT: '0',
    DATABASE_URL: url,
    OPENAI_BASE_URL: server.mock.baseUrl,
    OPENAI_API_KEY: 'sk-test-of-the-backend',
  })
  const app = await startApp(config, createLog('silent'), tuning)
  atEnd(() => app.stop())
  const fetch: TestServer['fetch'] = (path, init = {}) => {
    const headers = new Headers(init.headers)
    if (!headers.has('openai-beta')) headers.set('openai-beta', 'assistants=v2')
    return judgingFetch(app.url + path, { ...init, headers })
  }
  return { fetch }
}

/** Runs a statement in a transaction that stays open, for the locks it takes; answers how to end it. */
export async function hold(url: string, statement: string, values: unknown[]): Promise<() => Promise<void>> {
  const holder = new pg.Client({ connectionString: url })
  holder.on('error', () => {})
  await holder.connect()
  await holder.query('begin')
  await holder.query(statement, values)
  return () => holder.end()
}

/** When the node's last beat was, by the database's clock; 0 if it is not known. */
export async function lastBeat({ db }: TestServer, { store }: App): Promise<number> {
  const rows = await db.sql<{ seen_at: number }>('select seen_at from nodes where id = $1', [store.node])
  return rows[0]?.seen_at ?? 0
}
