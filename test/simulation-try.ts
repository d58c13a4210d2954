import { test } from 'node:test'
import { RealDatabase } from './support/simulation/real-database.ts'
import { Simulation } from './support/simulation/simulation.ts'
import { buildWeb } from './support/simulation/web.ts'
test('x', async () => {
  const db = await RealDatabase.create()
  let ttl = 600
  const web = await buildWeb({ runTtl: () => ttl })
  const from = Number(process.env['S'] ?? 1), n = Number(process.env['N'] ?? 1)
  const begin = performance.now()
  let steps = 0
  for (let seed = from; seed < from + n; seed++) {
    const s = new Simulation(seed, db, web)
    ttl = s.weather.runTtl
    const t = performance.now()
    try { await s.run(); steps += s.step; if (n < 20) console.log(seed, 'ok', s.step, Math.round(s.now), Math.round(performance.now() - t), s.watch.suspicions) }
    catch (e) { console.log(seed, 'FAIL', s.step, Math.round(s.now), Math.round(performance.now() - t), String(e instanceof Error ? e.stack : e).slice(0, 600)); if (process.env['T']) console.log(s.trace.join('\n')) }
  }
  console.log(n, 'seeds', Math.round(performance.now() - begin), 'ms', steps, 'steps')
  await db.end()
})
