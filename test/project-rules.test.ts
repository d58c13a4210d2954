import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

// The rules of the project that no linter knows: who may import whom, and where SQL may stand.

const root = fileURLToPath(new URL('..', import.meta.url))

interface File {
  /** From the root of the repository. */
  path: string
  text: string
}

function filesBelow(folder: string): File[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

const isTest = ({ path }: File) => path.endsWith('.test.ts')
const source = filesBelow('src').filter((file) => !isTest(file))
const tests = ['src', 'test', 'test-system'].flatMap(filesBelow).filter(isTest)
// This very file shows what it forbids.
const otherTests = tests.filter(({ path }) => path !== relative(root, fileURLToPath(import.meta.url)))

/** What each folder of src may import, besides itself. */
const imports: Record<string, string[]> = {
  contract: [],
  domain: ['contract'],
  observe: ['domain', 'contract', 'log'],
  store: ['observe', 'domain', 'contract', 'log'],
  models: ['domain', 'contract', 'log'],
  tools: ['store', 'models', 'domain', 'contract', 'log'],
  memory: ['tools', 'store', 'models', 'domain', 'contract', 'log'],
  engine: ['memory', 'tools', 'models', 'store', 'observe', 'domain', 'contract', 'log'],
  http: ['store', 'observe', 'domain', 'contract', 'log'],
  // Single files.
  log: [],
  // Settings are judged by those who use them.
  setting: [],
  'trace-settings': ['setting', 'observe', 'contract'],
  'time-settings': ['setting'],
  config: ['setting', 'time-settings', 'trace-settings', 'models', 'contract', 'log'],
  'self-url': ['config'],
  traces: ['config', 'trace-settings', 'models', 'observe', 'log'],
  app: [
    'config',
    'traces',
    'self-url',
    'http',
    'engine',
    'memory',
    'tools',
    'models',
    'store',
    'observe',
    'log',
  ],
  cli: ['app', 'config', 'store', 'observe', 'domain', 'contract', 'log'],
  main: ['cli'],
}

/** The folder of src that a path is in, or the name of a file that is in none. */
function roomOf(path: string): string {
  return path.split('/')[1]?.replace(/\.ts$/, '') ?? ''
}

/** The files that a module imports, statically, dynamically or for types alone. */
function importsOf({ path, text }: File): string[] {
  const names = [...text.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"\n]+)['"]/g)].map(
    (match) => match[1] ?? '',
  )
  return names.filter((name) => name.startsWith('.')).map((name) => join(dirname(path), name))
}

/** What breaks the import order, in words. */
function importFaults(file: File): string[] {
  const room = roomOf(file.path)
  const allowed = imports[room]
  if (!allowed) return [`${file.path}: the import order (DESIGN.md, Rooms) does not know src/${room}`]
  return importsOf(file)
    .filter(
      (target) => roomOf(target) !== room && !(target.startsWith('src/') && allowed.includes(roomOf(target))),
    )
    .map(
      (target) =>
        `${file.path} imports ${target}: ${room} may import ${allowed.join(', ') || 'nothing of ours'}`,
    )
}

test('every file of src imports only what its place in the import order allows', () => {
  assert.deepEqual(source.flatMap(importFaults), [])
  assert.ok(source.flatMap(importsOf).length > 100, 'imports were found')
})

test('the check of the import order knows a forbidden import when it sees one', () => {
  const faultsOf = (path: string, text: string) => importFaults({ path, text }).length
  assert.equal(faultsOf('src/http/a.ts', `import { Engine } from '../engine/engine.ts'`), 1)
  assert.equal(faultsOf('src/http/routes/a.ts', `const x = await import('../../models/model.ts')`), 1)
  assert.equal(faultsOf('src/contract/a.ts', `import type { Log } from '../log.ts'`), 1)
  assert.equal(faultsOf('src/contract/a.ts', `export * from '../domain/run.ts'`), 1)
  assert.equal(faultsOf('src/engine/a.ts', `import '../main.ts'`), 1)
  assert.equal(faultsOf('src/store/a.ts', `import {\n  a,\n} from '../../test/support/server.ts'`), 1)
  assert.equal(faultsOf('src/new-room/a.ts', ''), 1)
  assert.equal(faultsOf('src/http/a.ts', `import { a } from '../store/runs.ts'\nimport pg from 'pg'`), 0)
})

test('only config.ts reads the environment; main.ts hands it over', () => {
  const reading = source.filter(({ text }) =>
    /process\s*\.\s*env|process\[|env\s*}\s*=\s*process|from 'node:process'/.test(text),
  )
  const faults = reading.filter(
    ({ path, text }) =>
      path !== 'src/config.ts' && text.replace(', process.env, {', '').includes('process.env'),
  )
  assert.deepEqual(
    faults.map(({ path }) => `${path} reads process.env`),
    [],
  )
  assert.deepEqual(
    reading.map(({ path }) => path).filter((path) => !['src/config.ts', 'src/main.ts'].includes(path)),
    [],
  )
})

test('no file of src is longer than 400 lines', () => {
  const long = filesBelow('src').filter(({ text }) => text.trimEnd().split('\n').length > 400)
  assert.deepEqual(
    long.map(({ path }) => path),
    [],
  )
})

/** Template literals and quoted texts of a file, comments left out; roughly, but SQL is written plainly here. */
function textsOf(code: string): string[] {
  const pattern = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|`(?:\\.|[^`\\])*`|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g
  return [...code.matchAll(pattern)].map(([text]) => text).filter((text) => !text.startsWith('/'))
}

const isSql = (text: string) =>
  /^[`'"]\s*(with|select|insert|update|delete|create|alter|drop|set|listen|notify|copy|truncate|begin)\s/.test(
    text,
  ) || /\s(from|where|returning|order by)\s[\s\S]*\$(\d|\{)/.test(text)

const setsStatusOfRun =
  /\bupdate\s+runs\b[^;]*?\bset\b(?:(?!\b(?:from|where|returning)\b)[\s\S])*\bstatus\s*=/i

test('the status of a run is written by one statement only, that of thread-write-sql.ts', () => {
  const writing = source.flatMap(({ path, text }) =>
    textsOf(text)
      .filter((each) => setsStatusOfRun.test(each) || /insert\s+into\s+runs\b/i.test(each))
      .map(() => path),
  )
  // Its parts: one makes new runs, one changes those that are there.
  assert.deepEqual(writing, ['src/store/thread-write-sql.ts', 'src/store/thread-write-sql.ts'])
  const migrations = readdirSync(join(root, 'sql')).map((name) =>
    readFileSync(join(root, 'sql', name), 'utf8'),
  )
  assert.equal(migrations.filter((text) => setsStatusOfRun.test(text)).length, 0)
  assert.match('update runs r set version = 2, status = h.status from held', setsStatusOfRun)
  assert.doesNotMatch(`update runs set owner_node = $1 where status = 'queued'`, setsStatusOfRun)
})

const store = source.filter(({ path }) => path.startsWith('src/store/'))

/** Names of the texts that stand at the top of a module. */
function constantsOf(code: string): string[] {
  return [...code.matchAll(/^(?:export )?const (\w+)(?:: string)? =\s*['"`]/gm)].map(
    (match) => match[1] ?? '',
  )
}

/** The same of those that it imports from another module of the store. */
function importedConstantsOf(code: string): string[] {
  const imported = [...code.matchAll(/^import {([^}]*)} from '\.[^']*'/gm)].flatMap((match) =>
    (match[1] ?? '').split(',').map((name) => name.trim()),
  )
  const exported = store.flatMap(({ text }) =>
    constantsOf(text).filter((name) => text.includes(`export const ${name} `)),
  )
  return imported.filter((name) => exported.includes(name))
}

/** SQL of a file that has something else than such constants put into it. */
function builtSql({ path, text: code }: File): string[] {
  const constants = new Set([...constantsOf(code), ...importedConstantsOf(code)])
  return textsOf(code)
    .filter(isSql)
    .flatMap((sql) => [...sql.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1] ?? ''))
    .filter((name) => !constants.has(name.trim()))
    .map((name) => `${path}: \${${name}} in a statement; values go in as parameters`)
}

test('no SQL statement has anything but constants of its module put into it', () => {
  assert.deepEqual(store.flatMap(builtSql), [])
  const found = store.flatMap(({ text }) => textsOf(text)).filter(isSql)
  assert.ok(found.length > 30, `${found.length} statements were found`)
  const bad = 'const q = (id: string) => pool.query(`select * from runs where id = ${id}`)'
  assert.equal(builtSql({ path: 'a.ts', text: bad }).length, 1)
  const good = "const columns = 'a, b'\nconst text = `select ${columns} from runs where id = $1`"
  assert.equal(builtSql({ path: 'a.ts', text: good }).length, 0)
})

test('no test is focused, skipped for good or left to do', () => {
  const faults = otherTests.flatMap(({ path, text }) =>
    [...text.matchAll(/\b(?:test|it|suite|describe|t)\.(only|skip|todo)\b|\b(only|skip|todo): true\b/g)].map(
      (match) => `${path}: ${match[0]}`,
    ),
  )
  assert.deepEqual(faults, [])
})

test('no two tests of a file have one title', () => {
  const faults = otherTests.flatMap(({ path, text }) => {
    const titles = [...text.matchAll(/\b(?:test|it)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g)].map(
      (match) => match[2] ?? '',
    )
    return titles
      .filter((title, at) => titles.indexOf(title) !== at)
      .map((title) => `${path} has two tests called "${title}"`)
  })
  assert.deepEqual(faults, [])
})

test('package-lock.json names no place to download from, so that every registry serves', () => {
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
  // A workspace is resolved to its own folder.
  assert.doesNotMatch(lock, /"resolved": "(?!client")/)
})

test('package-lock.json has an entry for every optional package of another platform, without which npm ci fails', () => {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>
  }
  const missing = Object.values(packages)
    .flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies))
    .filter((name) => !Object.keys(packages).some((path) => path.endsWith(`node_modules/${name}`)))
  assert.deepEqual(missing, [])
})

test('no code is made of text, and no process is started but the embedded Postgres', () => {
  const made = /\beval\s*\(|\bnew Function\b|node:vm|\bimport\((?!['`])/
  // A pattern of a client's is never compiled: those of validate.ts are in the schemas of contract/.
  const compiled = /new RegExp\((?!['`/])/
  const started = /node:child_process|node:worker_threads/
  const found = (pattern: RegExp) =>
    source.flatMap(({ path, text }) =>
      pattern.test(text) && !path.startsWith('src/store/embedded/') ? [path] : [],
    )
  assert.deepEqual([found(made), found(started), found(compiled)], [[], [], ['src/http/validate.ts']])
  assert.ok(made.test('eval (x)') && started.test("import { spawn } from 'node:child_process'"))
})
