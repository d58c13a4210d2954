import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { allChecks, areas } from '../conformance/checks.ts'
import { withTable } from '../conformance/document.ts'
import { startConformanceModel } from '../conformance/mock-model.ts'
import { allRows, contractRows, reasonLeftOut } from '../conformance/rows.ts'
import { score } from '../conformance/score.ts'
import { table } from '../conformance/table.ts'
import { Target } from '../conformance/target.ts'
import { atEnd } from './support/database.ts'
import { startServer } from './support/server.ts'

// The score of conformance/ for this server, and that docs/conformance.md tells the truth about it.

/** Seconds after which a run expires: more than any check works, so that only those expire that should. */
const runTtl = 12
const key = 'sk-of-the-backend-that-nobody-may-see'

const model = await startConformanceModel(0)
atEnd(() => model.close())
const env = { OPENAI_BASE_URL: model.url, OPENAI_API_KEY: key, RUN_EXPIRES_AFTER: String(runTtl) }
const server = await startServer({ env })
const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')

test('this server has the full score', async () => {
  const target = new Target(server.app.url, model, { apiKey: 'unused', modelName: 'conformance', runTtl })
  const results = await score(allChecks, target, { timeoutMs: 60_000, concurrency: 4 })
  const bad = results.filter(({ outcome }) => outcome !== 'passed')
  assert.deepEqual(
    bad.map(({ id, reason }) => `${id}: ${reason}`),
    [],
  )
  assert.equal(table(areas, results).split('\n').at(-1), `${allChecks.length} of ${allChecks.length}`)
  assert.ok(allChecks.length > 400)
})

/** The rows of docs/conformance.md and the checks that it names for each. */
function documented(): Map<string, string[]> {
  const lines = read('docs/conformance.md').split('\n')
  const rows = lines.flatMap((line) => {
    const [, row, cell] = /^\| ((?:§|seed|memgpt|Azure|SDK) ?.*?) \| (.*) \|$/.exec(line) ?? []
    return row === undefined
      ? []
      : [[row, [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, id]) => id ?? '')] as const]
  })
  return new Map(rows)
}

test('every check of docs/conformance.md exists, and every check is in it, under the rows that it proves', () => {
  const inDocument = [...documented()].flatMap(([row, ids]) => ids.map((id) => `${row}: ${id}`))
  const inCode = allChecks.flatMap(({ id, rows }) => rows.map((row) => `${row}: ${id}`))
  assert.deepEqual(inDocument.toSorted(), inCode.toSorted())
  assert.deepEqual(
    allChecks.filter(({ rows }) => rows.length === 0),
    [],
  )
})

test('every row of wire.md §4 to §9 and each of the nine operations is in docs/conformance.md, proved or with a reason', () => {
  const rows = documented()
  const wire = contractRows(read('docs/contract/wire.md'))
  const seed = [...read('test/fixtures/seed-runs-api.md').matchAll(/^# .*|^## (\w+)$/gm)].flatMap(
    ([, name]) => name ?? [],
  )
  assert.equal(seed.length, 9)
  for (const row of [...wire, ...seed.map((name) => `seed ${name}`)])
    assert.ok(rows.has(row), `${row} is missing`)
  for (const [row, ids] of rows) {
    assert.notEqual(
      ids.length > 0,
      reasonLeftOut(row) !== undefined,
      `${row} has checks or a reason, not both`,
    )
  }
})

test('the rows of the contract are found: nine statuses, 25 event names, all tables', () => {
  const rows = allRows()
  const count = (pattern: RegExp) => rows.filter((row) => pattern.test(row)).length
  assert.equal(count(/^§5 status /), 9)
  assert.equal(count(/^§7 event /), 25)
  assert.equal(count(/^§4 Files /), 5)
  assert.equal(count(/^seed /), 9)
  assert.equal(new Set(rows).size, rows.length)
  // Lines of tables in the contract, their heads aside: counted another way.
  const wire = read('docs/contract/wire.md')
  const sections = wire.slice(wire.indexOf('## 1.'), wire.indexOf('## 10.'))
  const lines = sections.split('\n').filter((line) => line.startsWith('|'))
  const heads = lines.filter((line) => /^\|[-|]+\|$/.test(line)).length
  const fromTables = contractRows(wire).filter((row) => !/^§5 status |^§7 event |^§4 Files /.test(row))
  assert.equal(fromTables.length, lines.length - 2 * heads)
})

test('what docs/conformance.md names as the proof of a row without checks is a test of this project', () => {
  for (const [, file] of read('docs/conformance.md').matchAll(/outside: (test\/[\w-]+\.test\.ts)/g)) {
    assert.ok(read(file ?? '').length > 0)
  }
})

test('the table of docs/conformance.md is as the tool writes it', () => {
  const document = read('docs/conformance.md')
  assert.equal(withTable(document, allChecks), document)
})

test('no two checks have one id', () => {
  const ids = allChecks.map(({ id }) => id)
  assert.deepEqual(
    ids.filter((id, at) => ids.indexOf(id) !== at),
    [],
  )
})

/** The tool as people start it. */
async function tool(...args: string[]): Promise<{ code: number | null; said: string }> {
  const main = fileURLToPath(new URL('../conformance/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, said }
}

test('the tool prints pass or fail with the reason, the total last, and exits 0 only when all pass', async () => {
  // The tool takes the place of this file's model, which the server was told of.
  await model.close()
  const folder = await mkdtemp(join(tmpdir(), 'conformance-'))
  atEnd(() => rm(folder, { recursive: true }))
  const file = join(folder, 'results.json')
  const usual = [
    '--base-url',
    `${server.app.url}/v1/`,
    '--mock-port',
    new URL(model.url).port,
    '--run-ttl',
    String(runTtl),
  ]

  const good = await tool(...usual, '--only', '^errors\\.enum$|^status\\.completed$', '--json', file)
  assert.equal(good.code, 0, good.said)
  assert.match(good.said, /\n {2}pass {4}errors\.enum +\d+ ms\n/)
  assert.match(good.said, /\n2 of 2\n$/)
  const { total, results } = JSON.parse(await readFile(file, 'utf8')) as { total: string; results: object[] }
  assert.deepEqual([total, results.length], ['2 of 2', 2])

  // Runs do not expire after a second here.
  const wrong = await tool(...usual.with(-1, '1'), '--only', '^status\\.(in_progress|queued)$')
  assert.equal(wrong.code, 1)
  assert.match(wrong.said, /\n {2}FAIL {4}status\.in_progress +\d+ ms\n {12}Expected values/)
  assert.match(wrong.said, /\n1 of 2\n$/)

  const idle = await tool(...usual.slice(0, -2), '--only', '^status\\.(expired\\.working|queued)$')
  assert.equal(idle.code, 1)
  assert.match(idle.said, /\n {2}not run status\.expired\.working .*\n {12}needs --run-ttl/)
  assert.match(idle.said, /\n1 of 2, 1 not run\n$/)

  const nothing = await tool(...usual, '--only', 'no such check')
  assert.equal(nothing.code, 1)
})

test('the tool says what is missing: the address, the server, or the model', async () => {
  assert.equal((await tool()).code, 2)
  const away = await tool('--base-url', 'http://127.0.0.1:9', '--mock-port', '0', '--wait', '0')
  assert.deepEqual([away.code, /does not answer/.test(away.said)], [2, true])
  const alone = await tool('--base-url', server.app.url, '--mock-port', '0')
  assert.deepEqual([alone.code, /did not reach the model at http/.test(alone.said)], [2, true], alone.said)
})
