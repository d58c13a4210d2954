import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { allChecks, areas } from './checks.ts'
import { withTable } from './document.ts'
import { startConformanceModel, type ConformanceModel } from './mock-model.ts'
import { score } from './score.ts'
import { table, total } from './table.ts'
import { Target } from './target.ts'

// The score of a server: docs/conformance.md.

const usage = `npm run conformance -- --base-url URL [options]

  --base-url URL       the server under test, for instance http://127.0.0.1:8283/v1
  --api-key KEY        sent to it; default: unused
  --model NAME         that its assistants name; default: conformance
  --run-ttl SECONDS    after which its runs expire; without it the checks of expiry are not run
  --mock-port N        where the model listens; default: 8299, 0 for any
  --only PATTERN       checks whose id matches this regular expression
  --timeout SECONDS    for one check; default: 30
  --concurrency N      checks at a time; default: 6
  --wait SECONDS       for the server to answer; default: 60
  --json FILE          writes the results
  --write-document     writes the table of docs/conformance.md anew, and does nothing else
`

const { values } = parseArgs({
  options: {
    'base-url': { type: 'string' },
    'api-key': { type: 'string', default: 'unused' },
    model: { type: 'string', default: 'conformance' },
    'run-ttl': { type: 'string' },
    'mock-port': { type: 'string', default: '8299' },
    only: { type: 'string', default: '' },
    timeout: { type: 'string', default: '30' },
    concurrency: { type: 'string', default: '6' },
    wait: { type: 'string', default: '60' },
    json: { type: 'string' },
    'write-document': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** A whole number that was given; throws if it is none. */
function whole(name: 'run-ttl' | 'mock-port' | 'timeout' | 'concurrency' | 'wait'): number {
  const text = values[name] ?? ''
  if (/^\d+$/.test(text)) return Number(text)
  throw new Error(`--${name} must be a whole number, and it is "${text}".`)
}

const say = (text: string) => process.stdout.write(`${text}\n`)

function writeDocument(): void {
  const place = new URL('../docs/conformance.md', import.meta.url)
  writeFileSync(place, withTable(readFileSync(place, 'utf8'), allChecks))
}

/** Waits until the server answers at all. */
async function reachable(target: Target): Promise<boolean> {
  const end = performance.now() + whole('wait') * 1_000
  while (performance.now() < end) {
    const answer = await fetch(`${target.url}/v1/assistants`).catch(() => null)
    await answer?.body?.cancel()
    if (answer && answer.status < 500) return true
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  return false
}

/** Whether the server asks this model at all; without it nearly all checks would fail for one reason. */
async function asksModel(target: Target, model: ConformanceModel): Promise<boolean> {
  const run = await target.ran('Is anybody there?').catch(() => null)
  return run !== null && model.askedWith('Is anybody there?').length > 0
}

async function main(): Promise<number> {
  if (values['write-document']) {
    writeDocument()
    return 0
  }
  const url = values['base-url']
  if (url === undefined || values.help) {
    say(usage)
    return values.help ? 0 : 2
  }
  const runTtl = values['run-ttl'] === undefined ? null : whole('run-ttl')
  await using model = await startConformanceModel(whole('mock-port'))
  const target = new Target(url, model, { apiKey: values['api-key'], modelName: values.model, runTtl })
  say(`The model listens. Start the server under test with it, for Threadmill:`)
  say(
    `  OPENAI_BASE_URL=${model.url} RUN_EXPIRES_AFTER=${runTtl ?? 20} npm start${runTtl ? '' : '   (and say --run-ttl 20)'}\n`,
  )
  if (!(await reachable(target))) {
    say(`${target.url} does not answer.`)
    return 2
  }
  if (!(await asksModel(target, model))) {
    say(`A run on ${target.url} did not reach the model at ${model.url}: start the server with that URL.`)
    return 2
  }
  const only = new RegExp(values.only)
  const checks = allChecks.filter(({ id }) => only.test(id))
  const options = { timeoutMs: whole('timeout') * 1_000, concurrency: whole('concurrency') }
  const results = await score(checks, target, options)
  say(table(areas, results))
  if (values.json)
    writeFileSync(values.json, `${JSON.stringify({ total: total(results), results }, null, 2)}\n`)
  return results.length > 0 && results.every(({ outcome }) => outcome === 'passed') ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  // A port that is taken, an option that cannot be used.
  say(error instanceof Error ? error.message : String(error))
  process.exitCode = 2
}
