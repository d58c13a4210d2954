import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { readConfig } from '../src/config.ts'
import { createLog } from '../src/log.ts'
import { Counter, Labelled } from '../src/observe/instruments.ts'
import { SpanExporter } from '../src/observe/otlp.ts'
import type { Span } from '../src/observe/span.ts'
import { createSampler, parseTraceparent, samplers } from '../src/observe/trace-context.ts'
import { tracesUrl } from '../src/trace-settings.ts'
import { atEnd } from './support/database.ts'
import { text } from './support/mock-model.ts'
import { oneNode } from './support/nodes.ts'
import { until } from './support/npm-start.ts'
import { answer, startReceiver } from './support/otlp-receiver.ts'
import { readyToRun } from './support/server.ts'

// How spans reach a collector, and that a collector which does not take them harms nobody.

const receiver = await startReceiver()
const timing = { delay: 10, timeout: 300, firstPause: 20, longestPause: 40, closing: 200 }

function exporter(url = `${receiver.url}/v1/traces`) {
  const counters = new Labelled(() => new Counter(), 10)
  const lines: string[] = []
  const made = new SpanExporter({
    url,
    headers: { 'x-key': 'secret' },
    resource: { 'service.name': 'mill' },
    log: createLog('info', (line) => lines.push(line) > 0),
    count: (outcome) => counters.with(outcome),
    timing,
  })
  const counted = (outcome: string) => counters.with(outcome).value
  return { made, counted, lines }
}

const span = (n: number): Span => ({
  traceId: 'a'.repeat(32),
  spanId: n.toString(16).padStart(16, '1'),
  parentSpanId: null,
  name: 'chat m',
  kind: 'client',
  start: 1_800_000_000_000,
  end: 1_800_000_000_001.5,
  attributes: { n },
  failed: false,
})

/** A server that takes connections and never says anything. */
async function silentServer(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => void sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}

test('a batch is sent again after 429, 502, 503 and 504, not before it is asked for, and told of once', async () => {
  const { made, counted, lines } = exporter()
  const requests = receiver.raw.length
  receiver.next(...[429, 502, 503, 504].map((code) => answer(code)))
  made.add(span(1))
  await until(() => counted('exported') === 1, 'the span is exported')
  assert.equal(receiver.raw.length - requests, 5)
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as { message: string }).message),
    ['the collector of traces does not take them', 'the collector of traces takes them again'],
  )
  assert.ok(!lines.join('').includes('secret'))
  receiver.next(answer(503, {}, { 'retry-after': '1' }))
  const since = performance.now()
  made.add(span(2))
  await until(() => receiver.raw.length - requests === 6, 'the first request')
  await made.close()
  assert.ok(performance.now() - since < 1_000, 'a stop waits for no retry-after')
  assert.equal(counted('dropped'), 1)
})

test('what waits for another try holds nothing when it is over: a collector may be away for weeks', async (t) => {
  const signals: AbortSignal[] = []
  const { AbortController: Original } = globalThis
  globalThis.AbortController = class extends Original {
    constructor() {
      super()
      signals.push(this.signal)
    }
  }
  t.after(() => (globalThis.AbortController = Original))
  const { made, counted } = exporter('http://127.0.0.1:1/v1/traces')
  globalThis.AbortController = Original
  made.add(span(3))
  await until(() => counted('dropped') === 1, 'the span is given up')
  assert.ok(signals.length > 0)
  for (const signal of signals) assert.deepEqual(getEventListeners(signal, 'abort'), [])
  await made.close()
})

test('a batch that is refused for good is dropped, and what a collector rejects of one is counted', async () => {
  const { made, counted } = exporter()
  const requests = receiver.raw.length
  receiver.next(answer(400), answer(500), answer(200, { partialSuccess: { rejectedSpans: '1' } }))
  made.add(span(1))
  await until(() => counted('dropped') === 1, 'the first is dropped')
  made.add(span(2))
  await until(() => counted('dropped') === 2, 'the second is dropped')
  made.add(span(3))
  made.add(span(4))
  await until(() => counted('rejected') === 1, 'one is rejected')
  assert.equal(counted('exported'), 1)
  assert.equal(receiver.raw.length - requests, 3)
  assert.equal(receiver.headers.at(-1)?.['x-key'], 'secret')
  await made.close()
})

test('a collector that never answers holds a bounded number of spans, costs no time and keeps no stop', async () => {
  const { made, counted } = exporter(await silentServer())
  const since = performance.now()
  for (let n = 1; n <= 50_000; n++) made.add(span(n))
  const took = performance.now() - since
  assert.ok(took < 2_000, `${took} ms for 50,000 spans`)
  // One batch at most is on its way.
  assert.ok(counted('dropped') >= 50_000 - 2_048 - 512)
  const stopping = performance.now()
  await made.close()
  assert.ok(performance.now() - stopping < 1_000)
  assert.equal(counted('dropped'), 50_000)
  made.add(span(1))
  assert.equal(counted('dropped'), 50_001)
})

for (const [what, url] of [
  ['is not there', async () => 'http://127.0.0.1:9'],
  ['never answers', silentServer],
] as const) {
  test(`runs and the stop of a server take no longer when its collector ${what}`, async (t) => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: await url() }
    const server = await oneNode(t, { env, tuning: { traceTiming: { ...timing, timeout: 60_000 } } })
    const { assistant } = await readyToRun(server)
    server.mock.when(() => true, text('Done.'))
    const since = performance.now()
    const runs = await Promise.all(
      Array.from({ length: 100 }, () =>
        server.client.beta.threads.createAndRunPoll({ assistant_id: assistant }),
      ),
    )
    const took = performance.now() - since
    assert.ok(runs.every((run) => run.status === 'completed'))
    assert.ok(took < 20_000, `${took} ms`)
    const stopping = performance.now()
    await server.app.stop()
    assert.ok(performance.now() - stopping < 3_000, `stopped after ${performance.now() - stopping} ms`)
  })
}

test('samplers decide alike for a trace wherever they are asked, and follow the parent if their name says so', () => {
  const id = (n: number) =>
    `${'0'.repeat(19)}${Math.floor((n / 1_000) * 2 ** 52)
      .toString(16)
      .padStart(13, '0')}`
  const ids = Array.from({ length: 1_000 }, (_, n) => id(n))
  const share = (name: (typeof samplers)[number], parent: boolean | null = null, ratio = 0.25) =>
    ids.filter((traceId) =>
      createSampler(name, ratio)(traceId, parent === null ? null : { traceId, spanId: '', sampled: parent }),
    ).length
  assert.deepEqual(
    samplers.map((name) => [share(name), share(name, true), share(name, false)]),
    [
      [1000, 1000, 1000],
      [0, 0, 0],
      [250, 250, 250],
      [1000, 1000, 0],
      [0, 1000, 0],
      [250, 1000, 0],
    ],
  )
  assert.equal(share('traceidratio', null, 0), 0)
  assert.equal(share('traceidratio', null, 1), 1000)
})

test('a traceparent is read as W3C Trace Context has it, and anything else is none', () => {
  const [trace, parent] = ['a'.repeat(32), 'b'.repeat(16)]
  assert.deepEqual(parseTraceparent(`00-${trace}-${parent}-01`), {
    traceId: trace,
    spanId: parent,
    sampled: true,
  })
  assert.equal(parseTraceparent(`00-${trace}-${parent}-02`)?.sampled, false)
  assert.equal(parseTraceparent(`cc-${trace}-${parent}-03-more`)?.sampled, true)
  for (const bad of [
    undefined,
    '',
    `ff-${trace}-${parent}-01`,
    `00-${trace}-${parent}-01-more`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}-${parent}`,
    `01-${trace}-${parent}-01-${'x'.repeat(300)}`,
  ])
    assert.equal(parseTraceparent(bad), null, bad)
})

test('the settings of traces are those of OpenTelemetry, and one that cannot be used says so without its secrets', () => {
  const url = (env: Record<string, string>) => tracesUrl(readConfig(env))
  const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/base/' }
  assert.equal(url({}), null)
  assert.equal(url(base), 'http://collector:4318/base/v1/traces')
  assert.equal(
    url({ ...base, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://other:4318/x' }),
    'http://other:4318/x',
  )
  assert.equal(url({ ...base, OTEL_SDK_DISABLED: 'true' }), null)
  assert.equal(
    url({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector/otlp?tenant=a' }),
    'https://collector/otlp/v1/traces?tenant=a',
  )
  const { otlpHeaders, otelResource } = readConfig({
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x, x-b=1',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  })
  assert.deepEqual(otlpHeaders, { authorization: 'Bearer x', 'x-b': '1' })
  assert.deepEqual(otelResource, { 'deployment.environment.name': 'test' })
  for (const [name, value] of [
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://user:hunter2@collector:4318'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'hunter2'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a=%hunter2'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'a b=hunter2'],
    ['OTEL_EXPORTER_OTLP_TRACES_HEADERS', 'a=hunter2%0A'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'Content-Length=1'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_TRACES_SAMPLER_ARG', '2'],
  ] as const)
    assert.throws(
      () => readConfig({ [name]: value }),
      (error: Error) => error.message.includes(name) && !error.message.includes('hunter2'),
    )
})
