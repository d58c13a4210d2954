import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atEnd, createDatabase } from './support/database.ts'
import { reportOf, simulate } from './support/simulation/campaign.ts'
import { RealDatabase } from './support/simulation/real-database.ts'
import { buildWeb } from './support/simulation/web.ts'

// Several servers in this process over one real database; what happens next - a statement, its answer, a timer, a word
// of the model, a client, a fault - is drawn from a seed (docs/decisions/0015). `npm run simulate` runs more of them.

const seeds = 1_000

/** Milliseconds. A minute on two idle cores; each statement waits for a turn of the processor where others want it too. */
const maxMs = 1_200_000

const clone = await createDatabase()
const [database, web] = [await RealDatabase.open(clone.url), await buildWeb()]
atEnd(async () => {
  await database.end()
  await clone.drop()
})

test('the same seed gives the same steps', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const [first, second] = [await simulate(database, web, seed), await simulate(database, web, seed)]
    assert.ok(first.steps > 20)
    assert.deepEqual(first.trace, second.trace)
  }
})

test('whatever happens in whichever order, all invariants hold', { timeout: maxMs }, async (t) => {
  const sum = { steps: 0, runs: 0, faults: 0, early: 0 }
  for (let seed = 1; seed <= seeds; seed++) {
    const result = await simulate(database, web, seed)
    if (result.failure !== null) assert.fail(reportOf(result))
    for (const key of ['steps', 'runs', 'faults', 'early'] as const) sum[key] += result[key]
  }
  t.diagnostic(
    `${seeds} seeds, ${sum.steps} steps, ${sum.runs} runs, ${sum.early} early, ${sum.faults} faults`,
  )
  // A simulation in which nothing happens finds nothing.
  assert.ok(sum.runs > seeds && sum.faults > seeds / 2 && sum.early > seeds / 10)
})
