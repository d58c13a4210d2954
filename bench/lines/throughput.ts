import { runDirect, runLoad } from '../baseline-load.ts'
import type { Bench, Line } from '../bench.ts'

export const throughput: Line = {
  name: 'throughput',
  about: 'jobs a second in a closed loop, and the CPU of a job',
  own: false,
  async run(bench) {
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const conc of bench.options.quick ? [16] : [1, 16, 64]) await cell(bench, round, conc)
    }
  },
}

/** All contenders in turn at one concurrency. */
async function cell(bench: Bench, round: number, conc: number): Promise<void> {
  const { samples, mock, options } = bench
  const direct = await runDirect(mock.url, false, conc, Math.min(options.seconds, 2))
  samples.add(`jobs/s, c=${conc}`, 'direct', direct.per_s)
  await bench.eachContender(round, async (server) => {
    const load = await runLoad(server, mock.url, { phase: 'load', conc, seconds: options.seconds })
    samples.add(`jobs/s, c=${conc}`, server.name, load.per_s)
    if (conc === 1) samples.add('whole job p50, c=1, ms', server.name, load.p50)
    samples.add(`job p99, c=${conc}, ms`, server.name, load.p99)
    const cpu = load.cpu_ms_per_run ?? NaN
    samples.add(`CPU ms a job, c=${conc}`, server.name, cpu)
    if (server.name === 'bare') return
    samples.add(`of it Node, c=${conc}`, server.name, cpu * load.nodeShare)
    samples.add(`of it Postgres, c=${conc}`, server.name, cpu * (1 - load.nodeShare))
  })
}
