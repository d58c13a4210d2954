import { parseArgs } from 'node:util'
import { reportOf, simulate } from '../test/support/simulation/campaign.ts'
import { makeTemplate, startPostgres, template, withName } from '../test/support/postgres-server.ts'
import { RealDatabase } from '../test/support/simulation/real-database.ts'
import { buildWeb } from '../test/support/simulation/web.ts'

// `npm run simulate -- --seeds 10000 --from 1`: as test/simulation.test.ts, for as long as one likes. `--trace` prints
// the steps. It goes on after a failure and exits with 1 at the end.

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
  },
})
const [from, seeds] = [Number(values.from), Number(values.seeds)]
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(seeds) || seeds < 1) {
  console.error('--from and --seeds take whole numbers')
  process.exit(1)
}

const given = process.env['TEST_DATABASE_URL']
const server = given ? { url: given, stop: async () => {} } : await startPostgres()
try {
  await makeTemplate(server.url)
  process.exitCode = (await campaign(withName(server.url, template))) === 0 ? 0 : 1
} finally {
  await server.stop()
}

/** How many seeds failed. */
async function campaign(url: string): Promise<number> {
  const [database, web] = [await RealDatabase.open(url), await buildWeb()]
  const sum = { steps: 0, runs: 0, early: 0, faults: 0, failed: 0 }
  const since = performance.now()
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await simulate(database, web, seed)
    for (const key of ['steps', 'runs', 'early', 'faults'] as const) sum[key] += result[key]
    if (values.trace) console.log(result.trace.join('\n'))
    if (result.failure !== null) {
      sum.failed += 1
      console.log(reportOf(result))
    }
  }
  await database.end()
  const seconds = ((performance.now() - since) / 1_000).toFixed(1)
  const { steps, runs, early, faults, failed } = sum
  console.log(
    `${seeds} seeds in ${seconds} s: ${steps} steps, ${runs} runs, ${early} early, ${faults} faults, ${failed} failed`,
  )
  return failed
}
