import OpenAI from 'openai'
import OpenAI6 from 'openai-6'
import { startApp, type App, type Tuning } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { createLog, type Log } from '../../src/log.ts'
import { judgingFetch, parseFrame, type Frame } from './contract.ts'
import { atEnd, createDatabase, type TestDatabase } from './database.ts'
import { startMockModel, type MockModel } from './mock-model.ts'

// A whole server in this process: real HTTP, real Postgres, and a mock model behind real HTTP.

export interface TestServer {
  app: App
  db: TestDatabase
  mock: MockModel
  /** The official SDK, whose every answer is judged by the schema. Retries are off: a test wants to see errors. */
  client: OpenAI
  client6: OpenAI6
  /** A request by hand in the v2 dialect; the path begins with /v1. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** The events of a streaming POST, read to its end. */
  events(path: string, body: object): Promise<Frame[]>
  /** Ends the server and starts another on the same database. */
  restart(): Promise<void>
}

export interface ServerOptions {
  env?: Record<string, string>
  tuning?: Tuning
  /** Without it OPENAI_BASE_URL is the mock's. */
  demo?: boolean
  log?: Log
}

/** Starts a server for the tests of this file; it ends with them. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const [db, mock] = await Promise.all([createDatabase(), startMockModel()])
  const config = readConfig({
    PORT: '0',
    DATABASE_URL: db.url,
    ...(options.demo ? {} : { OPENAI_BASE_URL: mock.baseUrl, OPENAI_API_KEY: 'sk-test-of-the-backend' }),
    ...options.env,
  })
  const log = options.log ?? createLog('silent')
  // As with the embedded Postgres; tests of several nodes say otherwise.
  const start = () => startApp(config, log, { alone: true, ...options.tuning })
  const server = { db, mock } as TestServer
  const use = (app: App) => {
    server.app = app
    const settings = { baseURL: `${app.url}/v1`, apiKey: 'unused', maxRetries: 0, fetch: judgingFetch }
    server.client = new OpenAI(settings)
    server.client6 = new OpenAI6(settings)
  }
  use(await start())
  server.fetch = (path, init = {}) => {
    // Every client that worked with the hosted API sends this; without it runs answer in the memgpt dialect.
    const headers = new Headers(init.headers)
    if (!headers.has('openai-beta')) headers.set('openai-beta', 'assistants=v2')
    return judgingFetch(server.app.url + path, { ...init, headers })
  }
  server.events = async (path, body) => {
    const response = await server.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
    })
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
    return (await response.text()).split('\n\n').flatMap(parseFrame)
  }
  server.restart = async () => {
    await server.app.stop()
    use(await start())
  }
  atEnd(async () => {
    await server.app.stop()
    await mock.close()
    await db.drop()
  })
  return server
}

/** An assistant and a thread with one user message, ready to run. */
export async function readyToRun(
  { client }: TestServer,
  assistant: Partial<OpenAI.Beta.AssistantCreateParams> = {},
): Promise<{ assistant: string; thread: string }> {
  const [a, t] = await Promise.all([
    client.beta.assistants.create({ model: 'mock-model', instructions: 'Be brief.', ...assistant }),
    client.beta.threads.create({ messages: [{ role: 'user', content: 'Good morning?' }] }),
  ])
  return { assistant: a.id, thread: t.id }
}

/** A function tool by name. */
export function tool(name: string): OpenAI.Beta.FunctionTool {
  return { type: 'function', function: { name, parameters: { type: 'object', properties: {} } } }
}

/** The id of a file that has been uploaded. */
export async function uploaded({ client }: TestServer, text = 'Corn, stone.'): Promise<string> {
  const file = new File([text], 'mill.txt')
  return (await client.files.create({ file, purpose: 'assistants' })).id
}

/** The text of a message's first part. */
export function textOf(message: OpenAI.Beta.Threads.Message | undefined): string {
  const part = message?.content[0]
  return part?.type === 'text' ? part.text.value : ''
}

/** Resolves when the run is in progress: the model may be called before that is committed. */
export async function inProgress({ client }: TestServer, thread: string, run: string): Promise<void> {
  const status = async () => (await client.beta.threads.runs.retrieve(run, { thread_id: thread })).status
  while ((await status()) === 'queued') await new Promise(setImmediate)
}
