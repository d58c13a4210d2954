import { Api } from '../api.ts'
import type { Bench, Line, Subject } from '../bench.ts'
import { cloneThreads, lengthenThread } from '../fill.ts'
import { median } from '../samples.ts'
import { withDatabase, type ThreadmillServer } from '../servers.ts'

// Two servers: one whose database is nearly empty and whose long thread is short, and one that is full. What they are
// asked is the same, in turn, one request at a time.

export const growth: Line = {
  name: 'growth',
  about: 'the same requests to a full database and to one that is nearly empty',
  own: true,
  async run(bench) {
    for (const subject of bench.subjects) {
      await bench.withFresh(subject, (small) =>
        bench.withFresh(subject, (full) => compare(bench, subject, small, full)),
      )
    }
  },
}

interface Place {
  target: string
  api: Api
  assistant: string
  /** The long thread, a run of it, and a message in its middle. */
  thread: string
  run: string
  middle: string
}

async function compare(
  bench: Bench,
  { name }: Subject,
  small: ThreadmillServer,
  full: ThreadmillServer,
): Promise<void> {
  const { options, samples } = bench
  // More messages than the model's window takes, in both: the prompts are the same.
  const [short, long] = options.quick ? [400, 2_000] : [1_000, 100_000]
  const ownsSmall = name === 'threadmill'
  const since = performance.now()
  const places = [
    await prepare(small, ownsSmall ? 'small' : `small of ${name}`, short, 10),
    await prepare(full, name, long, options.fill),
  ]
  samples.add('filled in s', name, (performance.now() - since) / 1_000)
  for (const place of places) await ask(place, options.quick ? 2 : 10)
  for (let round = 0; round < options.rounds; round++) {
    for (const place of round % 2 === 0 ? places : places.toReversed()) {
      const times = await ask(place, options.quick ? 3 : 30)
      for (const [metric, values] of times) samples.add(metric, place.target, median(values))
    }
  }
  for (const { api } of places) await api.close()
}

async function prepare(
  server: ThreadmillServer,
  target: string,
  length: number,
  runs: number,
): Promise<Place> {
  const api = new Api(server.base)
  const assistant = await api.assistant({ instructions: 'Be brief.' })
  const finished = await api.thread('Good morning?')
  await api.timedStream(finished, assistant)
  const thread = await api.thread('All work and no play makes a thread long. '.repeat(9))
  await withDatabase(server, async (client) => {
    await cloneThreads(client, finished, runs)
    await lengthenThread(client, thread, length)
  })
  const run = await api.run(thread, assistant)
  await api.ended(thread, run)
  const middle = await withDatabase(server, async (client) => {
    const text = 'select id from messages where thread_id = $1 and seq >= $2 order by seq limit 1'
    return (await client.query<{ id: string }>(text, [thread, length / 2])).rows[0]?.id ?? ''
  })
  return { target, api, assistant, thread, run, middle }
}

/** Milliseconds of each request, by metric. */
async function ask(place: Place, times: number): Promise<Map<string, number[]>> {
  const { api, assistant, thread, run, middle } = place
  const lastTwenty = { truncation_strategy: { type: 'last_messages', last_messages: 20 } }
  const asked: Record<string, () => Promise<unknown>> = {
    'run on the long thread, ms': () => api.timedStream(thread, assistant),
    'run, last_messages 20, ms': () => api.timedStream(thread, assistant, lastTwenty),
    'page of messages, newest, ms': () => api.messages(thread),
    'page of messages, middle, ms': () => api.messages(thread, `limit=20&after=${middle}`),
    'page of steps, ms': () => api.steps(thread, run),
    'whole job on a new thread, ms': async () => {
      const fresh = await api.thread('hello')
      await api.timedStream(fresh, assistant)
      await api.messages(fresh, 'limit=1')
    },
  }
  const found = new Map<string, number[]>()
  for (const [metric, request] of Object.entries(asked)) {
    const values: number[] = []
    for (let i = 0; i < times; i++) {
      const since = performance.now()
      await request()
      values.push(performance.now() - since)
    }
    found.set(metric, values)
  }
  return found
}
