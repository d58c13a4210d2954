import { Api, inParallel } from '../api.ts'
import type { Bench, Line } from '../bench.ts'
import { plainAnswer } from '../mock.ts'
import { cpuMs, rssMiB, until, watchRss } from '../processes.ts'
import type { Server } from '../servers.ts'

export const streaming: Line = {
  name: 'streaming',
  about: '1,000 streams of 15 tokens a second, and readers that do not read',
  own: false,
  async run(bench) {
    for (const server of await bench.contenders()) {
      if (server.name === 'bare') continue
      await manyStreams(bench, server)
      if (server.pid !== null) await slowReaders(bench, server, server.pid)
    }
  },
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function manyStreams(bench: Bench, server: Server): Promise<void> {
  const { samples, mock, options } = bench
  const [streams, tokens] = options.quick ? [20, 15] : [1_000, 300]
  const itl = 1_000 / 15
  const api = new Api(server.base, streams + 64)
  const assistant = await api.assistant()
  const threads: string[] = []
  await inParallel(streams, 64, async (i) => void threads.push(await api.thread(`hello ${i}`)))
  await mock.reset()
  await mock.set({ tokens, ttft: 0, itl })
  const since = performance.now()
  const all = Promise.all(
    threads.map(async (thread) => {
      const { ms, text } = await api.timedStream(thread, assistant)
      return { thread, ms, text }
    }),
  )
  // A failure before it is waited for below is told there.
  all.catch(() => undefined)
  await until(async () => (await mock.stats()).maxInflight >= streams, 60_000)
  samples.add('1,000 streams started in s', server.name, (performance.now() - since) / 1_000)
  await steadyState(bench, server, options.quick ? 0.3 : 8)
  const ended = await all
  const lost: string[] = []
  await inParallel(ended.length, 64, async (i) => {
    const one = ended[i]
    if (!one) return
    const stored = (await api.messages(one.thread, 'limit=1')).data[0]?.content?.[0]?.text?.value ?? ''
    if (textOf(one.text) !== stored || stored.split(' ').length !== tokens) lost.push(one.thread)
  })
  samples.add('streams that lost something', server.name, lost.length)
  samples.add(
    'slowest stream, of the model’s time',
    server.name,
    Math.max(...ended.map(({ ms }) => ms)) / (tokens * itl),
  )
  await mock.set(plainAnswer)
  await api.close()
}

/** What the server is like while all streams run. */
async function steadyState({ samples }: Bench, server: Server, seconds: number): Promise<void> {
  if (server.pid === null) return
  const { pid } = server
  const delays =
    'delays' in server ? (server as { delays(): Promise<{ p50: number; p99: number; max: number }> }) : null
  await delays?.delays()
  const [cpu, peak] = [cpuMs(pid), watchRss(pid)]
  await pause(seconds * 1_000)
  samples.add('1,000 streams, CPU of Node, % of a core', server.name, (cpuMs(pid) - cpu) / seconds / 10)
  samples.add('1,000 streams, RSS MiB', server.name, peak())
  const late = await delays?.delays()
  samples.add('event-loop delay p50, ms', server.name, late?.p50 ?? NaN)
  samples.add('event-loop delay p99, ms', server.name, late?.p99 ?? NaN)
  samples.add('event-loop delay max, ms', server.name, late?.max ?? NaN)
}

/** The text of all deltas of a stream, provided that it came to its proper end. */
function textOf(stream: string): string | null {
  if (!stream.trimEnd().endsWith('data: [DONE]')) return null
  let text = ''
  for (const frame of stream.split('\n\n')) {
    if (!frame.includes('event: thread.message.delta')) continue
    const [, data = ''] = /^data: (.*)$/m.exec(frame) ?? []
    const { delta } = JSON.parse(data) as { delta: { content: { text?: { value?: string } }[] } }
    for (const part of delta.content) text += part.text?.value ?? ''
  }
  return text
}

/** Clients that ask for long answers and never read them. */
async function slowReaders({ samples, mock, options }: Bench, server: Server, pid: number): Promise<void> {
  const [readers, tokens] = options.quick ? [2, 2_000] : [50, 20_000]
  const api = new Api(server.base, readers + 4)
  const assistant = await api.assistant()
  const before = rssMiB(pid)
  const peak = watchRss(pid)
  await mock.reset()
  await mock.set({ tokens, ttft: 0, itl: 0 })
  const bodies = await Promise.all(
    Array.from({ length: readers }, async () => {
      const thread = await api.thread('Tell me everything.')
      return api.stream(`/threads/${thread}/runs`, { assistant_id: assistant })
    }),
  )
  await until(async () => (await mock.stats()).finished >= readers, 60_000)
  await pause(options.quick ? 100 : 3_000)
  samples.add('slow readers, RSS more, MiB each', server.name, (peak() - before) / readers)
  for (const body of bodies) body.on('error', () => undefined).destroy()
  await mock.set(plainAnswer)
  await api.close()
}
