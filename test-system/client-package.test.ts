import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { clientRoot, run } from '../test/client/installed-client.ts'
import { root } from '../test/support/embedded-postgres.ts'
import { freePort, plainEnvironment } from '../test/support/npm-start.ts'
import { startServer } from '../test/support/server.ts'

// The tarball of the client as its users get it: installed into an empty project, without a network, and used under the
// Node of the system, which may be older than the one that this repository brings.

const project = mkdtempSync(join(tmpdir(), 'threadmill-tarball-'))
after(() => rmSync(project, { recursive: true, force: true }))
const environment = plainEnvironment()
const program = (command: string, args: string[], cwd = project) =>
  execFileSync(command, args, { cwd, env: environment, encoding: 'utf8', timeout: 120_000, stdio: 'pipe' })
const systemNode = program('sh', ['-c', 'command -v node']).trim()
let tarball = ''

const server = await startServer({ demo: true })
const closedPort = await freePort()
const { port } = new URL(server.app.url)

before(() => {
  program('npm', ['pack', '--silent', '--pack-destination', project], clientRoot)
  tarball = join(
    project,
    readdirSync(project).find((name) => name.endsWith('.tgz')) ?? assert.fail('no tarball'),
  )
  writeFileSync(join(project, 'package.json'), '{ "private": true }')
  program('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball])
})

test('the tarball holds the compiled files, the pages, the licence, and nothing else', (t) => {
  t.diagnostic(`${statSync(tarball).size} bytes packed`)
  assert.ok(statSync(tarball).size < 100_000)
  const files = program('tar', ['-tzf', tarball]).trim().split('\n')
  const others = files.filter((file) => !/^package\/(dist\/(esm|cjs)|docs)\//.test(file))
  assert.deepEqual(others.toSorted(), ['package/LICENSE', 'package/README.md', 'package/package.json'])
  assert.ok(files.includes('package/dist/cjs/package.json'))
  assert.deepEqual(
    readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.')),
    ['open_ai_assistants_api'],
  )
})

/** Whole flows, by a name and by an address: what of Node they need must be there in the oldest one too. */
const calls = `
  const rejected = (promise) => promise.then(() => 'nothing', ({ name, status, code }) => name + ' ' + (status ?? code))
  for (const base of ['http://127.0.0.1:${port}', 'http://memgpt.localhost:${port}']) {
    const client = new api.ApiClient(base)
    const runs = new api.RunsApi(client)
    const assistants = new api.AssistantsApi(client)
    const assistant = await assistants.createAssistantV1AssistantsPost({ model: 'demo', name: 'a', instructions: '' })
    const thread = await new api.ThreadsApi(client).createThreadV1ThreadsPost({ messages: ['Hello!'] })
    const request = new api.CreateRunRequest(assistant.id, '')
    const { id } = await runs.createRunV1ThreadsThreadIdRunsPost(thread.id, request)
    const { signal } = new AbortController()
    const run = await runs.waitForRun(thread.id, id, { timeout: 20000, signal })
    const events = []
    for await (const { event } of runs.streamEvents(thread.id, id, { signal })) events.push(event)
    const [step] = await runs.listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(thread.id, id, { order: "'asc'" })
    const aborted = runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet(thread.id, id)
    aborted.abort()
    const closed = new api.RunsApi(new api.ApiClient(base.replace(/:[0-9]+$/, ':${closedPort}')))
    console.log(
      run.status,
      events.at(-1),
      step.step_defaults instanceof api.StepDefaults,
      await rejected(runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet(thread.id, 'run_none')),
      await rejected(aborted),
      await rejected(closed.retrieveRunV1ThreadsThreadIdRunsRunIdGet('t', 'r')),
    )
  }
  console.log('under', process.version)`
const line = 'completed thread.run.completed true ApiError 404 AbortError ABORTED NetworkError ECONNREFUSED\n'
const printed = new RegExp(`^${line}${line}under v\\d+\\S+\n$`)

for (const node of new Set([systemNode, process.execPath])) {
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()

  test(`the installed tarball is imported and goes through whole flows under Node ${version} (${node})`, async () => {
    assert.match(await run(project, `import api from 'open_ai_assistants_api'\n${calls}`, { node }), printed)
  })

  test(`the installed tarball is required and goes through whole flows under Node ${version} (${node})`, async () => {
    const text = `const api = require('open_ai_assistants_api')\nvoid (async () => {${calls}})()`
    assert.match(await run(project, text, { node, type: 'cjs' }), printed)
  })
}

const consumer = `import OpenAiAssistantsApi, { ApiError, RunsApi, type OpenAIRun, type RunEvent } from 'open_ai_assistants_api'
const runs = new OpenAiAssistantsApi.RunsApi()
const other: RunsApi = runs
export async function use(): Promise<OpenAIRun> {
  const request = new OpenAiAssistantsApi.CreateRunRequest('asst_1', '')
  const run = await other.createRunV1ThreadsThreadIdRunsPost('thread_1', request)
  const created: number = run.created_at + run.createdAt
  runs.listRunsV1ThreadsThreadIdRunsGet('thread_1', { limit: created }, (error, data, response) => {
    if (error instanceof ApiError) console.log(error.status, error.validationError?.detail?.[0]?.loc)
    else console.log(data?.[0]?.required_action?.submit_tool_outputs[0]?.function.name, response?.status)
  })
  for await (const event of runs.streamEvents('thread_1', run.id)) show(event)
  const [step] = await runs.listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet('thread_1', run.id)
  if (step?.step_defaults instanceof OpenAiAssistantsApi.OpenAIMessageCreationStep)
    console.log(step.step_defaults.message_id)
  // @ts-expect-error -- an id is missing
  void runs.retrieveRunV1ThreadsThreadIdRunsRunIdGet('thread_1')
  // @ts-expect-error -- it is a number
  const text: string = run.created_at
  return runs.waitForRun(text, run.id, { timeout: 1000 })
}
function show({ id, event }: RunEvent): void {
  console.log(id, event)
}
`

const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))

for (const [file, module, resolution] of [
  ['consumer.mts', 'nodenext', 'nodenext'],
  ['consumer.cts', 'nodenext', 'nodenext'],
  ['consumer.ts', 'preserve', 'bundler'],
] as const) {
  test(`TypeScript finds the types of the installed tarball in ${file} by ${resolution} resolution`, () => {
    const folder = join(project, `types-${file}`)
    mkdirSync(folder)
    writeFileSync(join(folder, file), consumer)
    const compilerOptions = {
      module,
      moduleResolution: resolution,
      target: 'es2022',
      strict: true,
      noEmit: true,
    }
    const libraries = { lib: ['es2022', 'dom', 'dom.iterable', 'dom.asynciterable'], types: [] }
    const settings = { compilerOptions: { ...compilerOptions, ...libraries }, files: [file] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
    try {
      program(process.execPath, [tsc, '-p', folder], root)
    } catch (error) {
      assert.fail(String((error as { stdout: string }).stdout))
    }
  })
}
