import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import OpenAI from 'openai'
import { exitCodes } from '../src/cli/command.ts'
import { root } from './support/embedded-postgres.ts'
import {
  commandIn,
  endPostgres,
  freePort,
  plainEnvironment,
  postgresOf,
  serve,
  serveAlone,
  shell,
  start,
  until,
  type StartOptions,
} from './support/npm-start.ts'
import { textOf, tool } from './support/server.ts'

// `npm start` as a user meets it: the banner, signals, restarts over the same data, and everything refused.

// One folder for all, since making a cluster is what takes long. Each test leaves it without a server.
const folder = mkdtempSync(join(tmpdir(), 'threadmill-start-'))
// As root, Postgres runs as another user, who must get in.
chmodSync(folder, 0o755)
const dataDir = join(folder, 'data')
after(() => {
  endPostgres(dataDir)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const clientOf = ({ url }: { url: string }) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })

/** A thread with this message and an assistant of the demo model to run it. */
async function prepare(client: OpenAI, content: string, tools: OpenAI.Beta.AssistantTool[] = []) {
  const [assistant, thread] = await Promise.all([
    client.beta.assistants.create({ model: 'demo', tools }),
    client.beta.threads.create({ messages: [{ role: 'user', content }] }),
  ])
  return { assistant_id: assistant.id, thread: thread.id }
}

/** Starts a server that must refuse to, by one line; returns that line. */
async function refusal(t: TestContext, options: StartOptions): Promise<string> {
  const started = start(t, options)
  const { unavailable, config } = exitCodes
  const code = await started.ended()
  assert.ok(code === unavailable || code === config, `${code}: ${started.output()}`)
  const lines = started
    .output()
    .split('\n')
    .filter((line) => line !== '' && !/^(> |npm )/.test(line))
  assert.equal(lines.length, 1, started.output())
  assert.match(lines[0] ?? '', /^threadmill: \S/)
  return lines[0] ?? ''
}

/** The same without npm, which adds a second to each. */
const directly: [string, ...string[]] = [process.execPath, 'bin/threadmill.mjs']
function refusalOf(t: TestContext, env: Record<string, string>): Promise<string> {
  return refusal(t, { command: directly, env: { PORT: '0', DATA_DIR: join(folder, 'never-made'), ...env } })
}

test('npm start says where it listens, where the data are, that the demo model is scripted, and what to try', async (t) => {
  const server = await serve(t, dataDir)
  const { banner, url } = server
  assert.ok(banner.includes(`Threadmill serves the OpenAI Assistants API at ${url}/v1\n`), banner)
  assert.match(banner, new RegExp(`^ {2}store {2}embedded PostgreSQL 18\\.\\d+ in ${dataDir}$`, 'm'))
  assert.match(banner, /^ {2}model {2}the built-in demo model \(scripted, not a real model\)$/m)
  assert.ok(banner.includes(`new OpenAI({ baseURL: '${url}/v1', apiKey: 'unused' })`), banner)

  const streamed = await shell(t, commandIn(banner))
  assert.match(streamed, /^event: thread\.created\n/)
  assert.match(streamed, /\nevent: thread\.run\.completed\n/)
  assert.match(streamed, /\nevent: done\ndata: \[DONE\]\n\n$/)

  for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(url + path)).status, 200, path)
  const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] }
  assert.ok(models.data.some((model) => model.id === 'demo'))

  const client = clientOf(server)
  const { thread, assistant_id } = await prepare(client, 'Are you there?')
  const run = await client.beta.threads.runs.createAndPoll(thread, { assistant_id })
  assert.equal(run.status, 'completed')

  assert.notDeepEqual(postgresOf(dataDir), [])
  server.signalGroup('SIGTERM')
  assert.equal(await server.ended(), 0, server.output())
  assert.deepEqual(postgresOf(dataDir), [])
  assert.match(server.output(), /\n {2}SIGTERM: stopping\. /)

  const again = await serve(t, dataDir)
  assert.doesNotMatch(again.banner, /\n {2}note /)
  const messages = (await clientOf(again).beta.threads.messages.list(thread)).data
  assert.equal(messages.length, 2)
  assert.match(textOf(messages[0]), /You said: "Are you there\?"/)
  again.signalGroup('SIGTERM')
  assert.equal(await again.ended(), 0)
})

test('a run that waits for outputs survives the restart and takes them', async (t) => {
  const first = await serve(t, dataDir)
  const { thread, assistant_id } = await prepare(clientOf(first), '/call f {"a":1}', [tool('f')])
  const asked = await clientOf(first).beta.threads.runs.createAndPoll(thread, { assistant_id })
  assert.equal(asked.status, 'requires_action')
  first.signalGroup('SIGTERM')
  assert.equal(await first.ended(), 0)

  const second = await serve(t, dataDir)
  const runs = clientOf(second).beta.threads.runs
  const waiting = await runs.retrieve(asked.id, { thread_id: thread })
  assert.equal(waiting.status, 'requires_action')
  const [call] = waiting.required_action?.submit_tool_outputs.tool_calls ?? []
  assert.deepEqual(call?.function, { name: 'f', arguments: '{"a":1}' })
  const ended = await runs.submitToolOutputsAndPoll(asked.id, {
    thread_id: thread,
    tool_outputs: [{ tool_call_id: call?.id ?? '', output: 'forty-two' }],
  })
  assert.equal(ended.status, 'completed')
  const [answer] = (await clientOf(second).beta.threads.messages.list(thread)).data
  assert.match(textOf(answer), /f said "forty-two"/)
  second.signalGroup('SIGTERM')
  assert.equal(await second.ended(), 0)
})

for (const [signals, title] of [
  [['SIGTERM'], 'SIGTERM lets a run that is under way end, and its stream with it'],
  [['SIGINT', 'SIGINT'], 'two SIGINTs at once, as one Ctrl-C may arrive, count as one'],
] satisfies [NodeJS.Signals[], string][]) {
  test(title, async (t) => {
    const server = await serve(t, dataDir)
    const client = clientOf(server)
    const { thread, assistant_id } = await prepare(client, '/slow 2')
    const stream = client.beta.threads.runs.stream(thread, { assistant_id })
    const events: string[] = []
    stream.on('event', ({ event }) => void events.push(event))
    await stream.emitted('textDelta')
    for (const signal of signals) {
      server.signalGroup(signal)
      // Signals that are sent in one moment may arrive as one.
      await until(() => server.output().includes('stopping'), 'it heard the signal')
    }
    assert.equal((await stream.finalRun()).status, 'completed')
    assert.deepEqual(events.slice(-2), ['thread.run.step.completed', 'thread.run.completed'])
    assert.equal(await server.ended(), 0, server.output())
    assert.equal(server.output().match(/stopping/g)?.length, 1)
    assert.deepEqual(postgresOf(dataDir), [])
  })
}

test('a signal that is repeated after a second ends it at once, and the next start takes over', async (t) => {
  const server = await serve(t, dataDir)
  const client = clientOf(server)
  const { thread, assistant_id } = await prepare(client, '/slow 60')
  const stream = client.beta.threads.runs.stream(thread, { assistant_id })
  stream.on('error', () => undefined)
  await stream.emitted('textDelta')
  const before = performance.now()
  server.signalGroup('SIGINT')
  await until(() => {
    server.signalGroup('SIGINT')
    return server.child.exitCode !== null || server.child.signalCode !== null
  }, 'it ends')
  assert.notEqual(await server.ended(), 0)
  const ms = performance.now() - before
  // Less than the 8 s that runs get.
  assert.ok(ms > 1_000 && ms < 5_000, `${ms} ms`)

  const again = await serve(t, dataDir)
  const runs = (await clientOf(again).beta.threads.runs.list(thread)).data
  assert.equal(runs.length, 1)
  again.signalGroup('SIGTERM')
  assert.equal(await again.ended(), 0)
  assert.deepEqual(postgresOf(dataDir), [])
})

test('a signal that comes while it starts ends it at once, in order, and leaves no process behind', async (t) => {
  const early = join(folder, 'early')
  const command: StartOptions['command'] = [process.execPath, join(root, 'src/main.ts')]
  const moments: [what: string, come: () => boolean][] = [
    [
      'initdb',
      () => existsSync(early) && readdirSync(early).some((name) => name.startsWith('postgres.init-')),
    ],
    ['postgres', () => existsSync(join(early, 'postgres/postmaster.pid'))],
  ]
  t.after(() => endPostgres(early))
  for (const [what, come] of moments) {
    const started = start(t, { command, env: { DATA_DIR: early, PORT: '0' } })
    while (!come()) await new Promise(setImmediate)
    started.child.kill('SIGTERM')
    assert.equal(await started.ended(), 0, `${what}: ${started.output()}`)
    assert.match(started.output(), /SIGTERM: stopping/, what)
    assert.doesNotMatch(started.output(), /serves the OpenAI/, what)
    assert.deepEqual(postgresOf(early), [], what)
    assert.deepEqual(
      readdirSync(early).filter((name) => name.startsWith('postgres.init-')),
      [],
      what,
    )
  }
})

test('a terminal that is closed ends the server in order, and its Postgres with it', async (t) => {
  const server = await serveAlone(t, dataDir)
  server.child.kill('SIGHUP')
  assert.equal(await server.ended(), 0, server.output())
  assert.deepEqual(postgresOf(dataDir), [])
})

test('a second server on the same DATA_DIR is refused by name, and the first one goes on', async (t) => {
  const first = await serve(t, dataDir)
  const said = await refusal(t, { env: { PORT: String(await freePort()), DATA_DIR: dataDir } })
  assert.match(
    said,
    new RegExp(`^threadmill: DATA_DIR ${dataDir} is in use by another server \\(pid \\d+\\)`),
  )
  assert.equal((await fetch(`${first.url}/readyz`)).status, 200)
  first.signalGroup('SIGTERM')
  assert.equal(await first.ended(), 0)
})

test('a PORT that is taken is refused by number, and no Postgres is left behind', async (t) => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  t.after(() => other.close())
  const { port } = other.address() as { port: number }
  const said = await refusal(t, { env: { PORT: String(port), DATA_DIR: dataDir } })
  assert.match(said, new RegExp(`^threadmill: port ${port} is taken by another program\\. .*PORT`))
  assert.deepEqual(postgresOf(dataDir), [])
})

test('a setting that cannot be used is refused by its name', async (t) => {
  const cases: [name: string, value: string, says: RegExp][] = [
    ['PORT', 'abc', /PORT must be a whole number from 0 to 65535, and it is "abc"/],
    ['DATABASE_URL', 'mysql://user:hidden-word@host/db', /DATABASE_URL must begin with postgres:\/\//],
    ['DATABASE_URL', 'postgres://user:hidden-word#@host/db', /# \/ \? @ % must be percent-encoded/],
    ['MODEL_ALIASES', 'broken', /MODEL_ALIASES: "broken" is not a pair/],
    ['LOG_LEVEL', 'loud', /LOG_LEVEL must be one of debug, .*"loud"/],
    ['OPENAI_BASE_URL', 'localhost:11434', /OPENAI_BASE_URL must be an http or https URL/],
    [
      'OPENAI_BASE_URL',
      'http://u:%zz@127.0.0.1/v1',
      /OPENAI_BASE_URL has a user or a password with characters/,
    ],
    [
      'OPENAI_BASE_URL',
      'http://u:%E6%97%A5@127.0.0.1/v1',
      /OPENAI_BASE_URL has a user or a password with characters/,
    ],
    ['OPENAI_API_KEY', 'sk-a\nb', /OPENAI_API_KEY has characters that no header can carry/],
    ['OPENAI_API_KEY', 'sk-é', /OPENAI_API_KEY has characters that no header can carry/],
    ['RUN_EXPIRES_AFTER', '0', /RUN_EXPIRES_AFTER must be a whole number from 1/],
  ]
  for (const [name, value, says] of cases) {
    const said = await refusalOf(t, { [name]: value })
    assert.match(said, says)
    assert.doesNotMatch(said, /hidden-word/)
  }
  const both = { ALLOW_ANONYMOUS: '1', REQUIRE_KEYS: '1' }
  assert.match(await refusalOf(t, both), /ALLOW_ANONYMOUS=1 lets everyone in, and REQUIRE_KEYS=1 nobody/)
  const host = { HOST: 'no-such-host.invalid', REQUIRE_KEYS: '1' }
  assert.match(await refusalOf(t, host), /cannot listen on HOST and PORT as they are set: .*no-such-host/)
})

test('a database that cannot be reached is refused without its password', async (t) => {
  const port = await freePort()
  const urls = [
    `postgres://user:hidden-word@127.0.0.1:${port}/db`,
    `postgres://127.0.0.1:${port}/db?user=user&password=hidden-word`,
    'postgres://user:hidden-word@nowhere.invalid/db',
    // A character that belongs escaped, and is not.
    `postgres://user:hidden-word%zz@127.0.0.1:${port}/db`,
  ]
  for (const url of urls) {
    const said = await refusalOf(t, { DATABASE_URL: url })
    assert.match(said, /^threadmill: The database of DATABASE_URL cannot be used: ./)
    assert.doesNotMatch(said, /hidden-word/)
  }
})

test('an OPENAI_BASE_URL that leads to this very server is refused', async (t) => {
  const port = String(await freePort())
  const cases: [host: string, target: string][] = [
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', 'localhost'],
    ['127.0.0.1', 'models.app.localhost'],
    ['::', '[::1]'],
    ['::', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['127.0.0.1', '[::ffff:127.0.0.1]'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.2'],
    ['::', '127.255.3.4'],
  ]
  for (const [host, target] of cases) {
    const url = `http://${target}:${port}/v1`
    const said = await refusalOf(t, { HOST: host, PORT: port, OPENAI_BASE_URL: url, ALLOW_ANONYMOUS: '1' })
    assert.match(
      said,
      /OPENAI_BASE_URL \(http:.*\) is the address of this server itself\. Set it to the model/,
    )
    assert.ok(said.includes(`(${new URL(url).origin})`), said)
  }
})

test('an old Node is told which one is needed instead of failing on the syntax', () => {
  const pretend = (version: string) =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })
         await import(${JSON.stringify(join(root, 'bin/threadmill.mjs'))})`,
      ],
      { encoding: 'utf8', env: { ...process.env, PORT: 'abc' } },
    )
  const results = [pretend('20.20.2'), pretend('22.18.0')]
  // The system's own Node, where there is one and it is old.
  const env = { ...plainEnvironment(), PORT: 'abc' }
  const system = spawnSync('node', ['-p', 'process.versions.node'], { env, encoding: 'utf8' })
  const [major = 0, minor = 0] = (system.stdout ?? '').split('.').map(Number)
  if (system.status === 0 && (major < 22 || (major === 22 && minor < 19)))
    results.push(spawnSync('node', [join(root, 'bin/threadmill.mjs')], { env, encoding: 'utf8' }))
  for (const { status, stdout, stderr } of results) {
    assert.match(stderr, /^Threadmill needs Node 22\.19 or newer, and this is Node \d+\.\d+\.\d+\.\n/)
    assert.doesNotMatch(stderr, /SyntaxError|\n {4}at |PORT/)
    assert.deepEqual([status, stdout], [1, ''])
  }
  // The first one that will do gets past that check.
  assert.match(pretend('22.19.0').stderr, /^threadmill: PORT must be/)
})

test('a server whose words nobody reads any more stops in order all the same', async (t) => {
  const started = await serveAlone(t, join(folder, 'unheard'))
  started.child.stdout?.destroy()
  started.child.stderr?.destroy()
  started.signalGroup('SIGTERM')
  assert.equal(await started.ended(), exitCodes.done)
})
