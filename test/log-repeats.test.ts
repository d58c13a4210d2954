import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type LookupFunction } from 'node:net'
import { test } from 'node:test'
import { createLog, reasonOf, RepeatedWarning } from '../src/log.ts'
import { gate, text } from './support/mock-model.ts'
import { getEvents, OpenStream } from './support/run-events.ts'
import { readyToRun, startServer } from './support/server.ts'

// What an outage makes happen many times a second is not logged many times a second, and is told with its reason.

function lines() {
  const all: string[] = []
  const log = createLog('warn', (line) => all.push(line) > 0)
  const said = (what: string) =>
    all.filter((line) => line.includes(what)).map((line) => JSON.parse(line) as object)
  return { log, said }
}

test('a warning that repeats itself is written at once, and then every 10 s with how often it came', () => {
  const { log, said } = lines()
  let now = 0
  const warning = new RepeatedWarning(log, 'again', () => now)
  for (now = 0; now <= 30_000; now += 100) warning.say({ run: `run_${now}` })
  assert.deepEqual(
    said('again').map((line) => [(line as { run: string }).run, (line as { times: number }).times]),
    [
      ['run_0', 1],
      ['run_10000', 100],
      ['run_20000', 100],
      ['run_30000', 100],
    ],
  )
})

test('why a name of several addresses cannot be reached is told by each of them', async () => {
  const lookup: LookupFunction = (_name, _options, done) =>
    done(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '127.0.0.2', family: 4 },
    ])
  const socket = connect({ host: 'both.test', port: 1, autoSelectFamily: true, lookup })
  const [error] = (await once(socket, 'error')) as [Error]
  assert.match(reasonOf(error), /ECONNREFUSED 127\.0\.0\.1:1; .*ECONNREFUSED 127\.0\.0\.2:1/)
})

test('streams that cannot read their runs, again and again, say so in one line', async () => {
  const { log, said } = lines()
  const server = await startServer({ log })
  const { assistant, thread } = await readyToRun(server)
  const over = gate()
  server.mock.next(text('Slowly, ', over.opened, 'slowly.'))
  const run = await server.client.beta.threads.runs.create(thread, { assistant_id: assistant })
  const { pool } = server.app.store
  const query = pool.query.bind(pool)
  const failures = Promise.withResolvers<void>()
  let count = 0
  pool.query = ((statement: { name?: string }, ...rest: unknown[]) => {
    if (statement.name !== 'read_events') return (query as (...of: unknown[]) => unknown)(statement, ...rest)
    if (++count === 5) failures.resolve()
    return Promise.reject(new Error('timeout of an outage'))
  }) as typeof pool.query
  const streams = await Promise.all(
    Array.from({ length: 3 }, async () => new OpenStream(await getEvents(server, { thread, run: run.id }))),
  )
  over.open()
  await failures.promise
  pool.query = query
  for (const stream of streams) await stream.until('thread.run.completed')
  assert.equal(said('a stream could not read its run').length, 1)
})
