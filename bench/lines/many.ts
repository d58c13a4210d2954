import { Api, inParallel } from '../api.ts'
import { runLoad, runSlow } from '../baseline-load.ts'
import type { Bench, Line, Subject } from '../bench.ts'
import { cloneThreads } from '../fill.ts'
import { plainAnswer } from '../mock.ts'
import { rssMiB, treeCpuMs, until, watchRss } from '../processes.ts'
import { quantile } from '../samples.ts'
import { withDatabase, type ThreadmillServer } from '../servers.ts'

export const many: Line = {
  name: 'many',
  about: '500 runs at once, 10,000 in flight, 100,000 that wait for their client',
  own: false,
  async run(bench) {
    await fiveHundred(bench)
    if (bench.options.baseUrl !== null) return
    for (const subject of bench.subjects) {
      await bench.withFresh(subject, (server) => inFlight(bench, subject, server))
      await bench.withFresh(subject, (server) => waiting(bench, subject, server))
    }
  },
}

async function fiveHundred(bench: Bench): Promise<void> {
  const { samples, options, mock } = bench
  const [runs, slowMs] = options.quick ? [20, 300] : [500, 5_000]
  for (let round = 0; round < Math.min(options.rounds, 3); round++) {
    await bench.eachContender(round, async (server) => {
      const result = await runSlow(server, mock.url, runs, slowMs)
      samples.add('500 runs of 5 s, s', server.name, result.seconds)
      samples.add('500 runs of 5 s, not completed', server.name, runs - result.finished_right)
      samples.add('500 runs of 5 s, RSS of all processes MiB', server.name, result.rss_peak_mib)
    })
  }
}

/** Runs on a model that is silent for so long that all of them are under way together. */
async function inFlight(bench: Bench, { name }: Subject, server: ThreadmillServer): Promise<void> {
  const { samples, mock, options } = bench
  const [runs, silentMs] = options.quick ? [50, 2_000] : [10_000, 150_000]
  const record = (what: string, value: number) => samples.add(`10,000 runs at once, ${what}`, name, value)
  const api = new Api(server.base)
  const peak = watchRss(server.pid)
  record('RSS before MiB', rssMiB(server.pid))
  await mock.reset()
  await mock.set({ tokens: 20, ttft: silentMs, itl: 0 })
  const assistant = await api.assistant()
  const started: { thread: string; run: string }[] = []
  const since = performance.now()
  await inParallel(runs, 64, async (i) => {
    const thread = await api.thread(`hello ${i}`)
    started.push({ thread, run: await api.run(thread, assistant) })
  })
  record('started in s', (performance.now() - since) / 1_000)
  await until(async () => (await mock.stats()).inflight >= runs, 30_000).catch(() => undefined)
  record('in flight', (await mock.stats()).maxInflight)
  const times: number[] = []
  for (let i = 0; i < 300; i++) {
    const { thread, run } = started[(i * 37) % started.length] ?? { thread: '', run: '' }
    const asked = performance.now()
    await api.getRun(thread, run)
    times.push(performance.now() - asked)
  }
  record('GET run p99, ms', quantile(times, 0.99))
  record('RSS in flight MiB', peak())
  const peakOfEnd = watchRss(server.pid)
  // From here on all answers come within the time that it took to start them.
  const count = "select count(*)::int as n from runs where status = 'completed'"
  const completed = async () =>
    withDatabase(server, async (client) => (await client.query<{ n: number }>(count)).rows[0]?.n ?? 0)
  await until(async () => (await completed()) >= runs, 240_000).catch(() => undefined)
  record('not completed', runs - (await completed()))
  record('RSS at most MiB, while they end', peakOfEnd())
  await mock.set(plainAnswer)
  await api.close()
}

/** Runs in requires_action: some made as a client makes them, the others copied from one of these by SQL. */
async function waiting(bench: Bench, { name }: Subject, server: ThreadmillServer): Promise<void> {
  const { samples, options, mock } = bench
  const copies = options.quick ? 1_000 : 100_000
  const record = (what: string, target: string, value: number) =>
    samples.add(`100,000 waiting, ${what}`, target, value)
  const api = new Api(server.base)
  const load = async () =>
    (await runLoad(server, mock.url, { phase: 'load', conc: 16, seconds: options.seconds })).per_s
  await load()
  record('jobs/s, c=16', 'before', await load())
  const before = { rss: rssMiB(server.pid), cpu: await idleCpu(server.pid, options.quick) }
  const tools = [
    { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } },
  ]
  const assistant = await api.assistant({ tools })
  const thread = await api.thread('CALL_TOOL please')
  const run = await api.run(thread, assistant)
  const { required_action } = await api.ended(thread, run)
  const call = required_action?.submit_tool_outputs.tool_calls[0]
  if (!call) throw new Error('the run did not ask for its tool')
  await withDatabase(server, (client) => cloneThreads(client, thread, copies, { deadline: 4_000_000_000 }))
  record('RSS more, MiB', name, rssMiB(server.pid) - before.rss)
  record('CPU more, ms/s', name, (await idleCpu(server.pid, options.quick)) - before.cpu)
  record('jobs/s, c=16', name, await load())
  const outputs = { tool_outputs: [{ tool_call_id: call.id, output: '1' }] }
  await api.call('POST', `/threads/${thread}/runs/${run}/submit_tool_outputs`, outputs)
  const { status } = await api.ended(thread, run)
  if (status !== 'completed') throw new Error(`the run that had waited ended ${status}`)
  await api.close()
}

/** Milliseconds of CPU a second that the server uses when nobody asks for anything. */
async function idleCpu(pid: number, quick: boolean): Promise<number> {
  const seconds = quick ? 0.5 : 8
  const before = treeCpuMs(pid)
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
  return (treeCpuMs(pid) - before) / seconds
}
