import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { atEnd } from './database.ts'
import { until } from './npm-start.ts'

// A collector of OpenTelemetry over HTTP, as strict as the protocol: what opentelemetry-proto does not know fails.

export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  name: string
  kind: number
  /** Nanoseconds. */
  start: bigint
  end: bigint
  attributes: Record<string, unknown>
  /** OTLP's code: 2 is an error. */
  status: number
  /** Of the server that told it. */
  resource: Record<string, unknown>
}

export interface Receiver {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  url: string
  spans: ReceivedSpan[]
  /** Everything that came, headers and bodies, as text. */
  raw: string[]
  headers: IncomingMessage['headers'][]
  /** Answers the next request in this way; without one the answer is 200. */
  next(...answers: ((response: ServerResponse) => void)[]): void
  /** The spans as soon as there are `count` of this trace, or of all. */
  received(count: number, traceId?: string): Promise<ReceivedSpan[]>
}

/** Starts a collector; it ends with the tests of the file. */
export async function startReceiver(): Promise<Receiver> {
  const answers: ((response: ServerResponse) => void)[] = []
  const receiver = { spans: [], raw: [], headers: [] } as unknown as Receiver
  const server = createServer((request, response) => {
    void take(receiver, request, answers.shift()).then((answer) => answer(response))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  atEnd(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  receiver.next = (...more) => void answers.push(...more)
  receiver.received = async (count, traceId) => {
    const found = () => receiver.spans.filter((span) => traceId === undefined || span.traceId === traceId)
    await until(() => found().length >= count, `${count} spans`)
    return found()
  }
  return receiver
}

/** An answer with this status and body. */
export function answer(status: number, body: object = {}, headers: Record<string, string> = {}) {
  return (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
}

async function take(
  receiver: Receiver,
  request: IncomingMessage,
  given: ((response: ServerResponse) => void) | undefined,
): Promise<(response: ServerResponse) => void> {
  let body = ''
  for await (const part of request.setEncoding('utf8')) body += String(part)
  receiver.raw.push(`${JSON.stringify(request.rawHeaders)}\n${body}`)
  receiver.headers.push(request.headers)
  if (given) return given
  try {
    assert.equal(request.method, 'POST')
    assert.equal(request.url, '/v1/traces')
    assert.equal(request.headers['content-type'], 'application/json')
    receiver.spans.push(...spansOf(JSON.parse(body)))
    return answer(200)
  } catch (error) {
    console.error('collector:', error)
    return answer(400, { message: String(error) })
  }
}

type Json = Record<string, unknown>

/** The value as an object that has no other keys than these. */
function known(value: unknown, ...keys: string[]): Json {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), 'an object')
  assert.deepEqual(
    Object.keys(value).filter((key) => !keys.includes(key)),
    [],
  )
  return value as Json
}

function listOf(value: unknown): unknown[] {
  assert.ok(Array.isArray(value) && value.length > 0, 'a list that is not empty')
  return value
}

/** ExportTraceServiceRequest in the JSON encoding of OTLP. */
function spansOf(body: unknown): ReceivedSpan[] {
  return listOf(known(body, 'resourceSpans')['resourceSpans']).flatMap((group) => {
    const { resource, scopeSpans } = known(group, 'resource', 'scopeSpans', 'schemaUrl')
    const attributes = attributesOf(known(resource, 'attributes')['attributes'])
    return listOf(scopeSpans).flatMap((scoped) => {
      const { scope, spans } = known(scoped, 'scope', 'spans', 'schemaUrl')
      const { name, version } = known(scope, 'name', 'version')
      assert.ok(typeof name === 'string' && typeof version === 'string')
      return listOf(spans).map((span) => spanOf(span, attributes))
    })
  })
}

function spanOf(value: unknown, resource: Record<string, unknown>): ReceivedSpan {
  const span = known(
    value,
    'traceId',
    'spanId',
    'parentSpanId',
    'flags',
    'name',
    'kind',
    'startTimeUnixNano',
    'endTimeUnixNano',
    'attributes',
    'status',
  )
  const { traceId, spanId, parentSpanId, name, kind, flags } = span
  assert.match(String(traceId), /^(?!0+$)[0-9a-f]{32}$/)
  for (const id of [spanId, ...(parentSpanId === undefined ? [] : [parentSpanId])])
    assert.match(String(id), /^(?!0+$)[0-9a-f]{16}$/)
  assert.ok(typeof name === 'string' && name !== '')
  assert.ok(Number.isInteger(kind) && Number(kind) >= 1 && Number(kind) <= 5)
  assert.ok(Number.isInteger(flags))
  const [start, end] = [nanoseconds(span['startTimeUnixNano']), nanoseconds(span['endTimeUnixNano'])]
  assert.ok(start <= end, 'a span ends after it began')
  const { code = 0, ...rest } = known(span['status'] ?? {}, 'code', 'message')
  assert.ok([0, 1, 2].includes(Number(code)) && Object.keys(rest).length === 0)
  return {
    traceId: String(traceId),
    spanId: String(spanId),
    name,
    kind: Number(kind),
    start,
    end,
    resource,
    parentSpanId: parentSpanId as string | undefined,
    attributes: attributesOf(span['attributes']),
    status: Number(code),
  }
}

function nanoseconds(value: unknown): bigint {
  assert.ok(typeof value === 'string' && /^\d{19}$/.test(value), '64-bit integers are texts')
  return BigInt(value)
}

function attributesOf(value: unknown): Record<string, unknown> {
  const pairs = listOf(value).map((pair) => {
    const { key, value: given } = known(pair, 'key', 'value')
    assert.ok(typeof key === 'string' && key !== '')
    return [key, valueOf(given)] as const
  })
  assert.equal(new Set(pairs.map(([key]) => key)).size, pairs.length, 'a key comes once')
  return Object.fromEntries(pairs)
}

function valueOf(value: unknown): unknown {
  const [[kind, content], ...more] = Object.entries(value as Json) as [[string, unknown], ...unknown[]]
  assert.equal(more.length, 0, 'a value is of one kind')
  if (kind === 'stringValue') return assert.equal(typeof content, 'string') ?? content
  if (kind === 'boolValue') return assert.equal(typeof content, 'boolean') ?? content
  if (kind === 'doubleValue') return assert.equal(typeof content, 'number') ?? content
  if (kind === 'intValue') return assert.match(content as string, /^-?\d+$/) ?? Number(content)
  assert.equal(kind, 'arrayValue')
  return ((content as Json)['values'] as unknown[]).map(valueOf)
}
