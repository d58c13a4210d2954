import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  identify,
  isPostmasterOf,
  isRunning,
  postgresProcessesIn,
} from '../../src/store/embedded/processes.ts'
import { atEnd, makeFolder, root } from './embedded-postgres.ts'

// The server as its users start it: `npm start` in a process group of its own.

export interface Started {
  child: ChildProcess
  /** All it has written so far. */
  output(): string
  /** Resolves with its banner when it listens; rejects when it ends before. */
  listening(): Promise<string>
  /** Resolves with its exit code when it has ended. */
  ended(): Promise<number | null>
  /** Signals the whole process group, as a terminal does. */
  signalGroup(name: NodeJS.Signals): void
}

export interface StartOptions {
  env?: Record<string, string>
  cwd?: string
  uid?: number
  /** Without it `npm start`. */
  command?: [string, ...string[]]
}

/** What of the environment would change how the server starts. */
const settings =
  /^(HOST|PORT|DATA_DIR|DATABASE_URL|OPENAI_.*|MODEL_.*|LOG_LEVEL|RUN_EXPIRES_AFTER|MAX_CONCURRENT_RUNS|PG[A-Z]+)$/
/** What the test runner and `npm test` put there, which would lead another npm astray. */
const ofThisRun =
  /^(NODE_TEST_CONTEXT|NODE_V8_COVERAGE|npm_(package_|lifecycle_|command|execpath|node_execpath).*|npm_config_(local_prefix|prefix|global_prefix|globalconfig|userconfig|user_agent))$/

/** This process's environment without those: as it is in a user's terminal. */
export function plainEnvironment(): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env))
    if (value !== undefined && !settings.test(name) && !ofThisRun.test(name)) env[name] = value
  // `npm test` puts the repository's own programs first on the PATH; users have theirs.
  const path = (env['PATH'] ?? '').split(delimiter).filter((part) => !part.includes('node_modules'))
  return { ...env, PATH: path.join(delimiter), LOG_LEVEL: 'warn' }
}

/** Starts the server; the test ends it. */
export function start(t: TestContext, options: StartOptions = {}): Started {
  const [program, ...args] = options.command ?? ['npm', 'start']
  const child = spawn(program, args, {
    cwd: options.cwd ?? root,
    env: { ...plainEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  })
  let output = ''
  const { promise: listening, resolve, reject } = Promise.withResolvers<string>()
  listening.catch(() => undefined)
  const take = (chunk: string) => {
    output += chunk
    if (output.includes("apiKey: 'unused'")) resolve(output)
  }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  const exited = new Promise<number | null>((done) => {
    child.once('error', reject)
    child.once('close', (code) => {
      reject(new Error(`it ended with code ${code} before it listened:\n${output}`))
      done(code)
    })
  })
  const signalGroup = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, name)
  }
  atEnd(t, async () => {
    signalGroup('SIGKILL')
    await exited
  })
  return {
    child,
    output: () => output,
    listening: () => within(listening, 60_000, () => output),
    ended: () => within(exited, 30_000, () => output),
    signalGroup,
  }
}

/** Starts the server over `dataDir` on a free port and waits until it listens. */
export async function serve(t: TestContext, dataDir: string, options: StartOptions = {}) {
  const port = await freePort()
  const started = start(t, { ...options, env: { PORT: String(port), DATA_DIR: dataDir, ...options.env } })
  const banner = await started.listening()
  return { ...started, port, banner, url: `http://127.0.0.1:${port}` }
}

/** As `serve`, without npm around the server: one process, which a signal reaches at once. */
export function serveAlone(t: TestContext, dataDir: string, options: StartOptions = {}) {
  return serve(t, dataDir, { ...options, command: [process.execPath, join(root, 'src/main.ts')] })
}

/** The command that the banner offers to try. */
export function commandIn(banner: string): string {
  const [, command] = /Try it:\n([\s\S]*?)\n\n/.exec(banner) ?? assert.fail(`no command in:\n${banner}`)
  return command ?? ''
}

/** Runs a shell command to its end and returns what it printed; `curl` is stood in for where there is none. */
export async function shell(t: TestContext, command: string): Promise<string> {
  const env = plainEnvironment()
  env['PATH'] = `${env['PATH']}${delimiter}${await curlFolder(t)}`
  const child = spawn('sh', ['-c', command], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [printed, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (printed += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  const code = await within(
    new Promise((resolve) => child.on('close', resolve)),
    30_000,
    () => printed + errors,
  ).finally(() => child.kill('SIGKILL'))
  assert.equal(code, 0, errors)
  return printed
}

/** A folder with a curl that can do what the banner needs; it is last on the PATH, so a real one wins. */
async function curlFolder(t: TestContext): Promise<string> {
  const folder = await makeFolder(t)
  const program = `const { argv } = process
    const after = (name) => argv.flatMap((arg, at) => (argv[at - 1] === name ? [arg] : []))
    const headers = Object.fromEntries(after('-H').map((text) => text.split(': ')))
    fetch(argv.find((arg) => arg.startsWith('http')), { method: 'POST', headers, body: after('-d')[0] })
      .then((answer) => answer.text()).then((text) => process.stdout.write(text))`
  await writeFile(join(folder, 'curl.cjs'), program)
  const starter = `#!/bin/sh\nexec '${process.execPath}' '${join(folder, 'curl.cjs')}' "$@"\n`
  await writeFile(join(folder, 'curl'), starter, { mode: 0o755 })
  return folder
}

/** Ends a Postgres that still serves `dataDir`, whatever became of its server. */
export function endPostgres(dataDir: string): void {
  for (const pid of postgresOf(dataDir)) process.kill(pid, 'SIGKILL')
}

/** The processes of the Postgres that serves `dataDir`. */
export function postgresOf(dataDir: string): number[] {
  const pgdata = join(dataDir, 'postgres')
  let postmaster = 0
  try {
    postmaster = Number(readFileSync(join(pgdata, 'postmaster.pid'), 'utf8').split('\n')[0])
  } catch {
    // Nobody serves it, or nobody ever did.
  }
  const identity = isPostmasterOf(postmaster, pgdata) ? identify(postmaster) : null
  const children = postgresProcessesIn(pgdata).map((child) => child.pid)
  return [...new Set([...(identity && isRunning(identity) ? [postmaster] : []), ...children])]
}

/** Fails, with what it says by then, when `promise` takes longer than `ms`. */
export async function within<T>(promise: Promise<T>, ms: number, said: () => string): Promise<T> {
  const timer = new AbortController()
  const late = sleep(ms, null, { signal: timer.signal, ref: false }).then(
    () => {
      throw new Error(`waited ${ms} ms in vain. So far:\n${said()}`)
    },
    () => promise,
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}

/** Waits until the condition holds; fails after 20 s. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const limit = performance.now() + 20_000
  while (!(await condition())) {
    assert.ok(performance.now() < limit, `waited 20 s in vain: ${what}`)
    await sleep(20)
  }
}

/** A port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : assert.fail('no port')
}
