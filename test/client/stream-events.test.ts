import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { RunsApi, type RunEvent } from '../../client/src/index.ts'
import { readEvents } from '../../client/src/server-sent-events.ts'
import { json, startStub, wireRun, type StubAnswer } from './stub-server.ts'

// streamEvents against a server that speaks server-sent events as the test says.

function frame(id: string, event: string, data: unknown): string {
  return `id: ${id}\nevent: ${event}\ndata: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
}

const done = frame('1.9', 'done', '[DONE]')

function open(response: ServerResponse, ...frames: string[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(`retry: 10\n\n${frames.join('')}`)
}

async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const seen: RunEvent[] = []
  for await (const event of events) seen.push(event)
  return seen
}

test('streamEvents yields the events of the run and ends with it', async (t) => {
  const stub = await startStub(t, (response) => {
    open(
      response,
      frame('1.1', 'thread.run.created', { id: 'r' }),
      frame('1.2', 'thread.run.completed', { id: 'r' }),
      done,
    )
    response.end()
  })
  const seen = await collect(new RunsApi(stub.client).streamEvents('t/1', 'r'))
  assert.deepEqual(seen, [
    { id: '1.1', event: 'thread.run.created', data: { id: 'r' } },
    { id: '1.2', event: 'thread.run.completed', data: { id: 'r' } },
  ])
  const { method, url, headers } = stub.last()
  assert.equal(`${method} ${url}`, 'GET /v1/threads/t%2F1/runs/r/events')
  assert.equal(headers.accept, 'text/event-stream')
  assert.equal(headers['x-assistants-dialect'], 'memgpt')
  assert.equal(headers['last-event-id'], undefined)
})

test('a stream that breaks is taken up behind the last event that came, and none comes twice', async (t) => {
  const events = ['1', '2', '3', '4', '5'].map((id) => frame(id, 'thread.message.delta', { n: Number(id) }))
  const stub = await startStub(t, (response, { headers }) => {
    const from = Number(headers['last-event-id'] ?? 0)
    // The connection breaks within the event after the next.
    open(response, events[from] ?? done, (events[from + 1] ?? '').slice(0, 30))
    setTimeout(() => response.destroy(), 5)
  })
  for (const base of [stub.url, `http://memgpt.localhost:${stub.port}`]) {
    stub.client.basePath = base
    stub.requests.length = 0
    const seen = await collect(new RunsApi(stub.client).streamEvents('t', 'r'))
    assert.deepEqual(
      seen.map(({ id }) => id),
      ['1', '2', '3', '4', '5'],
    )
    // What had not been read when the connection broke is asked for again.
    const asked = new Set(stub.requests.map(({ headers }) => headers['last-event-id']))
    assert.deepEqual([...asked], [undefined, '1', '2', '3', '4', '5'])
  }
})

test('a stream begins behind lastEventId', async (t) => {
  const stub = await startStub(t, (response) => {
    open(response, frame('3.2', 'thread.run.completed', {}), done)
    response.end()
  })
  await collect(new RunsApi(stub.client).streamEvents('t', 'r', { lastEventId: '3.1' }))
  assert.equal(stub.last().headers['last-event-id'], '3.1')
})

test('a server that is away while a stream is taken up is asked again', async (t) => {
  let count = 0
  const stub = await startStub(t, (response, request) => {
    count += 1
    if (count === 1) {
      open(response, frame('1', 'thread.run.in_progress', {}))
      response.end()
    } else if (count < 4) json({ detail: 'Draining.' }, 503, { 'retry-after': '0' })(response, request)
    else {
      open(response, frame('2', 'thread.run.completed', {}), done)
      response.end()
    }
  })
  const seen = await collect(new RunsApi(stub.client).streamEvents('t', 'r'))
  assert.deepEqual(
    seen.map(({ event }) => event),
    ['thread.run.in_progress', 'thread.run.completed'],
  )
})

test('an error that will not pass ends the stream', async (t) => {
  const stub = await startStub(t, json({ detail: 'Unauthorized' }, 401))
  await assert.rejects(collect(new RunsApi(stub.client).streamEvents('t', 'r')), {
    name: 'ApiError',
    status: 401,
    body: { detail: 'Unauthorized' },
  })
})

test('who leaves the loop closes the connection, and so does a signal', async (t) => {
  const closed: string[] = []
  const stub = await startStub(t, (response, { headers }) => {
    response.on('close', () => closed.push(String(headers['x-assistants-dialect'])))
    open(response, frame('1', 'thread.run.queued', {}))
  })
  const runs = new RunsApi(stub.client)
  for (const base of [stub.url, `http://memgpt.localhost:${stub.port}`]) {
    stub.client.basePath = base
    closed.length = 0
    for await (const { id } of runs.streamEvents('t', 'r')) if (id === '1') break
    const controller = new AbortController()
    const events = runs.streamEvents('t', 'r', { signal: controller.signal })
    await events.next()
    const second = events.next()
    controller.abort()
    await assert.rejects(second, { name: 'AbortError' })
    while (closed.length < 2) await new Promise(setImmediate)
  }
})

test('a connection on which nothing comes any more is given up and taken up again', async (t) => {
  const stub = await startStub(t, (response, { headers }) => {
    if (headers['last-event-id'] === undefined) open(response, frame('1', 'thread.run.queued', {}))
    else {
      open(response, frame('2', 'thread.run.completed', {}), done)
      response.end()
    }
  })
  stub.client.timeout = 60
  const seen = await collect(new RunsApi(stub.client).streamEvents('t', 'r'))
  assert.deepEqual(
    seen.map(({ id }) => id),
    ['1', '2'],
  )
})

test('signs of life keep a silent stream', async (t) => {
  const stub = await startStub(t, (response) => {
    open(response, frame('1', 'thread.run.queued', {}))
    let pings = 0
    const timer = setInterval(() => {
      pings += 1
      response.write(pings < 8 ? ': ping\n\n' : frame('2', 'thread.run.completed', {}) + done)
      if (pings === 8) clearInterval(timer)
    }, 60)
  })
  stub.client.timeout = 400
  assert.equal((await collect(new RunsApi(stub.client).streamEvents('t', 'r'))).length, 2)
  assert.equal(stub.requests.length, 1)
})

test('where the server has no stream, the changes of the status come as events', async (t) => {
  const statuses = ['queued', 'in_progress', 'in_progress', 'requires_action', 'requires_action', 'completed']
  let polls = 0
  const answer: StubAnswer = (response, request) => {
    const missing = request.url.endsWith('/events')
    if (missing)
      return json({ detail: 'Unknown request URL: GET /v1/threads/t/runs/r/events.' }, 404)(response, request)
    const run = { ...wireRun, status: statuses[polls] }
    polls += 1
    return json(run, 200, { 'openai-poll-after-ms': '0' })(response, request)
  }
  const stub = await startStub(t, answer)
  const seen = await collect(new RunsApi(stub.client).streamEvents('t', 'r'))
  assert.deepEqual(
    seen.map(({ id, event }) => [id, event]),
    [
      [null, 'thread.run.queued'],
      [null, 'thread.run.in_progress'],
      [null, 'thread.run.requires_action'],
      [null, 'thread.run.completed'],
    ],
  )
  assert.deepEqual(seen[0]?.data, { ...wireRun, status: 'queued' })
})

test('the stream of a run that does not exist is a 404', async (t) => {
  const stub = await startStub(t, json({ detail: "No run found with id 'r'." }, 404))
  await assert.rejects(collect(new RunsApi(stub.client).streamEvents('t', 'r')), { status: 404 })
})

test('events are read from bytes that are cut anywhere, with any line ends', async () => {
  const text = [
    ': a comment\r\nid: 1\r\nevent: a\r\ndata: grün\r\ndata:  two\r\n\r\n',
    'data:x\rdata\r\rdata: {"a": ": b"}\n\n',
    'event: no data\n\nid\ndata: last\n\ndata: cut off',
  ].join('')
  const bytes = new TextEncoder().encode(text)
  for (let size = 1; size <= bytes.length; size += 7) {
    let at = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at >= bytes.length) controller.close()
        else controller.enqueue(bytes.slice(at, (at += size)))
      },
    })
    const seen: [string, string, string][] = []
    for await (const { id, event, data } of readEvents(body)) seen.push([id, event, data])
    assert.deepEqual(seen, [
      ['1', 'a', 'grün\n two'],
      ['1', 'message', 'x\n'],
      ['1', 'message', '{"a": ": b"}'],
      ['', 'message', 'last'],
    ])
  }
})
