import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import { root } from '../test/support/embedded-postgres.ts'
import { endPostgres, freePort, plainEnvironment, postgresOf, start } from '../test/support/npm-start.ts'

// The tarball as its users get it: installed into an empty folder, without install scripts, under the oldest Node that is
// supported.

const oldestNode = '22.19.0'
const folder = mkdtempSync('/tmp/threadmill-packed-')
// As root, Postgres runs as another user, who must get in.
chmodSync(folder, 0o755)
const app = join(folder, 'app')
const dataDir = join(app, 'data')
after(() => {
  endPostgres(dataDir)
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

const env = plainEnvironment()
const program = (command: string, args: string[], cwd: string) =>
  execFileSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: 120_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
let tarball = ''

/** Makes a folder with an empty package in it. */
function emptyPackage(name: string): string {
  const path = join(folder, name)
  mkdirSync(path)
  writeFileSync(join(path, 'package.json'), `{ "name": "${name}", "version": "1.0.0", "private": true }`)
  return path
}

const quietly = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline']

before(() => {
  program('npm', ['pack', '--silent', '--pack-destination', folder], root)
  tarball = join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? assert.fail('no tarball'),
  )
  // The packages that the package `node` is made of.
  const binary = `node-${process.platform}-${process.arch}`
  const node = emptyPackage('node')
  program('npm', ['install', ...quietly, `${binary}@${oldestNode}`], node)
  env['PATH'] = join(node, 'node_modules', binary, 'bin') + delimiter + env['PATH']
  assert.equal(program('node', ['--version'], folder), `v${oldestNode}\n`)
  emptyPackage('app')
  program('npm', ['install', ...quietly, tarball], app)
})

/** The folders of installed packages below `path`, however deep. */
function installed(path: string): string[] {
  const modules = join(path, 'node_modules')
  if (!existsSync(modules)) return []
  const names = readdirSync(modules).filter((name) => !name.startsWith('.'))
  const packages = names.flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(modules, name)).map((one) => join(name, one)) : name,
  )
  return packages.map((name) => join(modules, name)).flatMap((one) => [one, ...installed(one)])
}

test('the tarball holds what runs, its pages and licence, and no source, test or map', () => {
  const files = program('tar', ['-tzf', tarball], folder).trim().split('\n')
  const others = files.filter(
    (file) =>
      !/^package\/(dist\/[\w/-]+\.js|sql\/\d{4}_\w+\.sql|docs\/[\w-]+\.md|deploy\/[\w.-]+)$/.test(file),
  )
  assert.deepEqual(others.toSorted(), [
    'package/CHANGELOG.md',
    'package/LICENSE',
    'package/README.md',
    'package/bin/environment-file.mjs',
    'package/bin/threadmill.mjs',
    'package/package.json',
  ])
  assert.ok(!files.some((file) => file.endsWith('.test.js')))
})

test('an install brings at most 100 packages, 15 of them direct', (t) => {
  const packages = installed(app).filter((path) => existsSync(join(path, 'package.json')))
  t.diagnostic(`${packages.length} packages`)
  assert.ok(packages.length > 20 && packages.length <= 100, String(packages.length))
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(join(app, 'node_modules/threadmill/package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>
  const direct = new Set([...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {})])
  assert.ok(direct.size <= 15, String(direct.size))
})

test('npm sbom tells what an install is made of', () => {
  const text = program('npm', ['sbom', '--sbom-format=cyclonedx', '--omit=dev'], app)
  const { components } = JSON.parse(text) as { components: { name: string; version: string; purl: string }[] }
  const names = components.map(({ name }) => name)
  for (const name of ['threadmill', 'fastify', 'pg', 'undici']) assert.ok(names.includes(name), name)
  assert.ok(components.every(({ purl, version }) => purl.startsWith('pkg:npm/') && version !== ''))
})

test('npx threadmill serves a run to the official SDK, from an empty folder and without install scripts', async (t) => {
  const port = String(await freePort())
  const server = start(t, { command: ['npx', 'threadmill'], cwd: app, env: { ...env, PORT: port } })
  const banner = await server.listening()
  assert.ok(banner.includes(` in ${dataDir}\n`), banner)
  const client = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'unused', maxRetries: 0 })
  const { id: assistant_id } = await client.beta.assistants.create({ model: 'demo' })
  const { id } = await client.beta.threads.create({ messages: [{ role: 'user', content: 'Packed?' }] })
  const run = await client.beta.threads.runs.createAndPoll(id, { assistant_id })
  assert.equal(run.status, 'completed')
  const events: string[] = []
  const stream = client.beta.threads.runs.stream(id, { assistant_id })
  stream.on('event', ({ event }) => void events.push(event))
  assert.equal((await stream.finalRun()).status, 'completed')
  assert.ok(events.includes('thread.message.delta'))
  server.signalGroup('SIGTERM')
  // npx itself, and its shell, end by the signal.
  await server.ended()
  assert.match(server.output(), /SIGTERM: stopping/)
  assert.deepEqual(postgresOf(dataDir), [])
})

test('npx runs it from the tarball itself, and each command tells of itself', () => {
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  const npx = (...words: string[]) =>
    program('npx', ['--yes', ...quietly, `--package=file:${tarball}`, 'threadmill', ...words], empty)
  assert.match(npx('--version'), /^\d+\.\d+\.\d+\n$/)
  assert.match(npx('--help'), /Usage: threadmill/)
  assert.deepEqual(readdirSync(empty), [])
})
