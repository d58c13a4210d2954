import assert from 'node:assert/strict'
import { test } from 'node:test'
import { campaign, randomFaults } from '../chaos/campaign.ts'
import { everyPoint } from '../chaos/every-point.ts'
import { everything } from '../chaos/plans.ts'

// A short part of `npm run chaos`: real processes are killed, paused and cut off while clients work.

test('servers and Postgres are killed, paused and cut off under load, and nothing is lost, doubled or stuck', async () => {
  const seed = Number(process.env['CHAOS_SEED'] ?? 1 + Math.floor(Math.random() * 2 ** 31))
  const weights = { ...everything.weights, 'pause of 30 s': 0 }
  const faults = {
    ...everything,
    weights,
    clients: 4,
    ms: 20_000,
    kills: Infinity,
    every: 2_000,
    pauseMs: 5_500,
  }
  const result = await campaign({ seed, nodes: 2 }, randomFaults(faults))
  const again = `CHAOS_SEED=${seed} node_modules/.bin/node --test test/chaos.test.ts`
  assert.deepEqual([...result.violations, ...result.crashes], [], `Run it again:\n  ${again}`)
  assert.ok(result.jobs > 0 && Object.keys(result.faults).length > 1, JSON.stringify(result))
})

test('a server killed behind any statement of a job, before it hears the answer, loses and doubles nothing', async () => {
  const result = await campaign({ seed: 1, nodes: 2 }, everyPoint(['plain'], ['unanswered']))
  assert.deepEqual([...result.violations, ...result.crashes], [])
  // A thread, a message, a run, its begin, its answer.
  assert.ok(Object.keys(result.stopPoints).length >= 5, JSON.stringify(result))
})
