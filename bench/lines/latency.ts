import { fileURLToPath } from 'node:url'
import { runDirect, runLoad } from '../baseline-load.ts'
import { Api } from '../api.ts'
import type { Bench, Line } from '../bench.ts'
import { plainAnswer } from '../mock.ts'
import { killTree, startNode, until } from '../processes.ts'
import { quantile } from '../samples.ts'
import type { Server } from '../servers.ts'

export const latency: Line = {
  name: 'latency',
  about: 'time to the first delta, and of a GET while runs execute',
  own: false,
  async run(bench) {
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const conc of bench.options.quick ? [16] : [1, 16]) await firstDelta(bench, round, conc)
      await bench.eachContender(round, (server) => readWhileBusy(bench, server))
    }
  },
}

async function firstDelta(bench: Bench, round: number, conc: number): Promise<void> {
  const { samples, mock, options } = bench
  const record = (name: string, p50?: number, p99?: number) => {
    samples.add(`first delta p50, c=${conc}, ms`, name, p50 ?? NaN)
    samples.add(`first delta p99, c=${conc}, ms`, name, p99 ?? NaN)
  }
  const direct = await runDirect(mock.url, true, conc, Math.min(options.seconds, 2))
  record('direct', direct.ttfd_p50, direct.ttfd_p99)
  await bench.eachContender(round, async (server) => {
    const load = await runLoad(server, mock.url, { phase: 'stream', conc, seconds: options.seconds })
    record(server.name, load.ttfd_p50, load.ttfd_p99)
  })
}

/** 64 runs at a time on a model that takes 1 s; beside them one reader, 100 reads a second, of a run that executes. */
async function readWhileBusy({ samples, mock, options }: Bench, server: Server): Promise<void> {
  await mock.set({ tokens: 20, ttft: 100, itl: 45 })
  const script = fileURLToPath(new URL('../busy.ts', import.meta.url))
  const env = { PATH: process.env['PATH'] ?? '' }
  const load = startNode([script, server.base, '64'], env, process.cwd())
  try {
    await until(async () => (await mock.stats()).inflight >= 60, 30_000)
    const times = await readRuns(server.base, Math.max(options.seconds, 1))
    samples.add('GET run p50, 64 executing, ms', server.name, quantile(times, 0.5))
    samples.add('GET run p99, 64 executing, ms', server.name, quantile(times, 0.99))
    if (load.child.exitCode !== null) throw new Error(`the load beside the reads failed: ${load.output()}`)
  } finally {
    killTree(load.pid)
    await load.ended
    await until(async () => (await mock.stats()).inflight === 0, 30_000)
    await mock.set(plainAnswer)
  }
}

/** Milliseconds of each read, one every 10 ms; the run is another every 700 ms, so that it always executes. */
async function readRuns(base: string, seconds: number): Promise<number[]> {
  const api = new Api(base)
  const times: number[] = []
  const assistant = await api.assistant()
  const end = performance.now() + seconds * 1_000
  while (performance.now() < end) {
    const thread = await api.thread('read me')
    const run = await api.run(thread, assistant)
    const ends = Math.min(end, performance.now() + 700)
    for (let next = performance.now(); next < ends; next += 10) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())))
      const since = performance.now()
      await api.getRun(thread, run)
      times.push(performance.now() - since)
    }
  }
  await api.close()
  return times
}
