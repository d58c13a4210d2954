import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { build } from 'esbuild'
import { clientRoot, installClient, run } from './installed-client.ts'

// The package: what can be imported, how, and how much it is. test-system/client-package.test.ts installs the tarball.

const project = installClient()
const folder = join(project, 'node_modules/open_ai_assistants_api')
const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, unknown>

test('original defect: the package can be imported, and has the default export that its pages import', async () => {
  const output = await run(
    project,
    `import OpenAiAssistantsApi, { RunsApi } from 'open_ai_assistants_api'
     import * as all from 'open_ai_assistants_api'
     const { default: _, ...single } = all
     const same = Object.keys(single).every((name) => single[name] === OpenAiAssistantsApi[name])
     console.log(OpenAiAssistantsApi.RunsApi === RunsApi, same, Object.keys(single).length)`,
  )
  assert.match(output, /^true true 47\n$/)
})

test('original defect: the package can be required', async () => {
  const output = await run(
    project,
    `const OpenAiAssistantsApi = require('open_ai_assistants_api')
     const { RunsApi, default: all } = OpenAiAssistantsApi
     const same = Object.keys(all).every((name) => all[name] === OpenAiAssistantsApi[name])
     console.log(all.RunsApi === RunsApi, same, Object.keys(all).length, new RunsApi().apiClient.basePath)`,
    { type: 'cjs' },
  )
  assert.equal(output, 'true true 47 http://memgpt.localhost\n')
})

test('the package needs no other, and has the files that it names, with types for both ways', () => {
  for (const kind of ['dependencies', 'peerDependencies', 'optionalDependencies'])
    assert.equal(manifest[kind], undefined)
  assert.equal(manifest['sideEffects'], false)
  const named = JSON.stringify([manifest['exports'], manifest['main'], manifest['module'], manifest['types']])
  const files = new Set([...named.matchAll(/"(\.\/[^"*]+\.(?:js|ts|json))"/g)].map(([, file = '']) => file))
  assert.equal(files.size, 5)
  for (const file of files) assert.ok(existsSync(join(folder, file)), file)
  for (const kind of ['esm', 'cjs']) {
    const compiled = readdirSync(join(folder, 'dist', kind), { recursive: true }).map(String)
    const scripts = compiled.filter((file) => file.endsWith('.js'))
    assert.ok(scripts.length > 50)
    for (const file of scripts) assert.ok(compiled.includes(file.replace(/\.js$/, '.d.ts')), file)
  }
})

test('the source of the client stands alone: it imports only itself, and of Node only types', () => {
  const source = join(clientRoot, 'src')
  const files = readdirSync(source, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.ts'))
  const faults = files.flatMap((file) => {
    const text = readFileSync(join(source, file), 'utf8')
    const imported = [...text.matchAll(/^(import|export)( type)?\b[^;'"]*from '([^']+)'/gm)]
    const foreign = imported.filter(([, , type, name = '']) => {
      if (name.startsWith('node:')) return type === undefined
      return !join(source, file, '..', name).startsWith(source)
    })
    const isLong = text.split('\n').length > 400
    return [
      ...foreign.map(([line]) => `${file}: ${line}`),
      ...(isLong ? [`${file} is longer than 400 lines`] : []),
    ]
  })
  assert.deepEqual(faults, [])
  assert.ok(files.length > 60)
})

/** The bundle of a program for browsers; nothing is left out of it. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: project },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

test('all of the package is less than 30 kB minified, for browsers too', async (t) => {
  const all = await bundle(
    `import OpenAiAssistantsApi from 'open_ai_assistants_api'; console.log(OpenAiAssistantsApi)`,
  )
  const bytes = Buffer.byteLength(all)
  t.diagnostic(`${bytes} bytes minified`)
  assert.ok(bytes < 30_000, `${bytes} bytes`)
  assert.ok(all.includes('listAssistants'))
  assert.doesNotMatch(all, /\brequire\(|from ?"node:|import\("node:/)
})

test('what is not imported is not bundled', async (t) => {
  const runs = await bundle(`import { RunsApi } from 'open_ai_assistants_api'; console.log(RunsApi)`)
  t.diagnostic(`${Buffer.byteLength(runs)} bytes with RunsApi alone`)
  assert.ok(runs.includes('createThreadAndRun'))
  assert.doesNotMatch(runs, /listAssistants|createMessage|CreateAssistantRequest|deleteThread/)
  const usage = await bundle(`import { OpenAIUsage } from 'open_ai_assistants_api'; console.log(OpenAIUsage)`)
  assert.ok(usage.length < 4_000, `${usage.length}`)
  assert.doesNotMatch(usage, /OpenAIRun|ApiClient|fetch/)
})

test('what is required can be bundled for browsers too', async () => {
  const required = await bundle(`console.log(require('open_ai_assistants_api').RunsApi)`)
  assert.ok(required.includes('createThreadAndRun'))
})
