import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createDatabase } from './support/database.ts'

// The bench is kept from rotting: it runs to its end and measures what it is for. How fast is not asked here.

const folder = await mkdtemp(join(tmpdir(), 'threadmill-bench-test-'))
after(() => rm(folder, { recursive: true, force: true }))
const main = fileURLToPath(new URL('../bench/main.ts', import.meta.url))

/** Runs the bench on the Postgres of the tests; returns the numbers it wrote. */
async function bench(...lines: string[]) {
  const db = await createDatabase()
  const json = join(folder, 'results.json')
  const args = [main, '--quick', '--only', lines.join(','), '--database-url', db.url, '--json', json]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  await db.drop()
  return { stdout, ...(JSON.parse(await readFile(json, 'utf8')) as Results) }
}

interface Results {
  failures: string[]
  rows: { metric: string; ours: number | null; reference: number | null; verdict: string }[]
}

test('the bench measures a fresh server and the baselines, prints a table and writes JSON', async () => {
  const { stdout, rows, failures } = await bench('throughput')
  assert.deepEqual(failures, [])
  const speed = rows.find(({ metric }) => metric === 'jobs/s, c=16') ?? assert.fail('no speed')
  assert.ok((speed.ours ?? 0) > 0 && (speed.reference ?? 0) > 0)
  assert.match(speed.verdict, /^(pass|MISS)$/)
  assert.match(stdout, /^\| jobs\/s, c=16 .*% of bare/m)
})

test('the bench fills a database by the present schema and finds every delta of its streams', async () => {
  const { rows, failures } = await bench('growth', 'streaming')
  assert.deepEqual(failures, [])
  const numbers = new Map(rows.map(({ metric, ours }) => [metric, ours]))
  assert.equal(numbers.get('streams that lost something'), 0)
  for (const metric of ['page of messages, middle, ms', 'event-loop delay p99, ms'])
    assert.notEqual(numbers.get(metric) ?? null, null, metric)
})
