import { exampleOf } from '../../../src/http/docs-example.ts'
import type { Document } from '../../../src/http/openapi.ts'
import type { Placed } from '../described.ts'
import type { Random } from '../simulation/random.ts'

// Requests that are nearly right: a valid one of the server's own description, spoilt in a few places.

export interface FuzzCase {
  method: string
  /** As it goes over the wire. */
  path: string
  headers: Record<string, string>
  body: Buffer | null
}

const texts = [
  '',
  ' ',
  '\0',
  'x'.repeat(5_000),
  '\ud800',
  "' or 1=1; --",
  '${7*7}{{7*7}}',
  '../../../../etc/passwd',
  '<script>alert(1)</script>',
  '\u202e\u0000\ufeff',
  'null',
  '__proto__',
  'constructor',
  '🌾'.repeat(300),
]
const numbers = [-1, 0, 0.5, 1e308, -1e308, 2 ** 31, 2 ** 53, 2 ** 63, 1e-320]
const shapes: unknown[] = [
  null,
  true,
  [],
  {},
  [[]],
  { type: 'text' },
  { type: 'image_url', image_url: { url: 'file:///etc/passwd' } },
]
const ids = [
  'x',
  '..',
  '%2e%2e',
  '%2F',
  'a%2Fb',
  '%00',
  '%',
  '%ff',
  '%E2%82',
  'thread_',
  'a'.repeat(300),
  "'",
  '%0d%0a',
]
const queries = [
  'limit=-1',
  'limit=1e9',
  'limit=',
  'limit=10&limit=20',
  'order=sideways',
  'after=%00',
  'before=nobody',
  'run_id=%27',
  'metadata[a]=b',
  'metadata[__proto__]=b',
  'stream=true',
  'colour=red',
  '&&&===',
  '%',
  'api-version=2024-05-01-preview',
]
const headers: Record<string, readonly string[]> = {
  'content-type': [
    'text/plain',
    'application/json; charset=utf-16',
    'multipart/form-data',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
    'APPLICATION/JSON',
    ';',
  ],
  'content-encoding': ['gzip', 'br', 'identity, gzip'],
  'openai-beta': ['assistants=v1', 'assistants=v3', '', 'x'.repeat(2_000)],
  'x-assistants-dialect': ['memgpt', 'openai', 'latin'],
  'x-thread-policy': ['queue', 'replace', 'reject', 'sometimes', ''],
  'idempotency-key': ['', 'k', 'x'.repeat(300), 'ä', 'a b'],
  'last-event-id': ['1.0', '-1.-1', '999999999.999999999', 'x', '1.1.1'],
  'x-stainless-poll-helper': ['true', 'maybe'],
  'x-stainless-timeout': ['0.01', '-1', 'NaN'],
  authorization: ['Bearer', 'Basic x', 'Bearer sk-tm-x', 'x'.repeat(5_000)],
  'api-key': ['x', 'sk-tm-y'],
  origin: ['https://evil.example', 'null', 'http://localhost:1'],
  accept: ['text/event-stream', '*/*;q=0', 'image/png'],
}

/** Ids of things that are there, by the names of path parameters. */
export type Known = Readonly<Record<string, readonly string[]>>

/** A request that one seed decides. */
export function makeCase(
  random: Random,
  document: Document,
  placed: readonly Placed[],
  known: Known,
): FuzzCase {
  const { path, method, operation } = random.pick(placed)
  const schema = operation.requestBody?.content['application/json']?.schema
  const sent: Record<string, string> = path.startsWith('/memgpt') ? {} : { 'openai-beta': 'assistants=v2' }
  let body: Buffer | null = null
  if (schema) {
    sent['content-type'] = 'application/json'
    body = spoiltText(
      random,
      JSON.stringify(spoilt(random, filledIn(exampleOf(document, schema), known, random))),
    )
  }
  while (random.chance(0.25)) {
    const name = random.pick(Object.keys(headers))
    sent[name] = Buffer.from(random.pick(headers[name] ?? [''])).toString('latin1')
  }
  const query = random.chance(0.3) ? `?${random.pick(queries)}&${random.pick(queries)}` : ''
  return {
    method: random.chance(0.05)
      ? random.pick(['PUT', 'PATCH', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE'])
      : method.toUpperCase(),
    path: path.replaceAll(/\{(\w+)\}/g, (_, name: string) => idFor(random, known[name] ?? [])) + query,
    headers: sent,
    body,
  }
}

function idFor(random: Random, known: readonly string[]): string {
  return known.length > 0 && random.chance(0.7) ? random.pick(known) : random.pick(ids)
}

/** Ids in a body are those of things that are there, mostly. */
function filledIn(value: unknown, known: Known, random: Random): unknown {
  if (Array.isArray(value)) return value.map((one) => filledIn(one, known, random))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      const there = known[key]
      return [key, there && random.chance(0.8) ? random.pick(there) : filledIn(one, known, random)]
    }),
  )
}

/** The same with something else in a few places. */
function spoilt(random: Random, value: unknown): unknown {
  if (random.chance(0.1)) return somethingElse(random)
  if (Array.isArray(value)) {
    const items = value.map((one) => spoilt(random, one))
    return random.chance(0.05)
      ? Array.from({ length: random.between(20, 600) }, () => items[0] ?? null)
      : items
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(() => !random.chance(0.05))
  const changed = entries.map(([key, one]) => [
    random.chance(0.02) ? random.pick(texts) : key,
    spoilt(random, one),
  ])
  if (random.chance(0.1)) changed.push([random.pick(texts), somethingElse(random)])
  return Object.fromEntries(changed) as unknown
}

function somethingElse(random: Random): unknown {
  return random.pick([() => random.pick(texts), () => random.pick(numbers), () => random.pick(shapes)])()
}

/** The bytes of a body, now and then spoilt themselves. */
function spoiltText(random: Random, text: string): Buffer {
  const bytes = Buffer.from(text)
  if (!random.chance(0.15)) return bytes
  const at = random.between(0, bytes.length)
  const [before, behind] = [bytes.subarray(0, at), bytes.subarray(at)]
  const inserted = random.pick([
    '"',
    '{',
    '}',
    ',',
    '\\',
    '\\u0000',
    '\\ud800',
    '\0',
    '[['.repeat(300),
    '"a":1,"a":2,',
  ])
  return random.pick([
    () => before,
    () => Buffer.concat([before, Buffer.from(inserted), behind]),
    () => Buffer.concat([before, Buffer.from([0xff, 0xc0]), behind]),
    () => Buffer.concat([bytes, bytes]),
    () => Buffer.alloc(0),
    () => Buffer.from(`${'['.repeat(5_000)}${']'.repeat(5_000)}`),
  ])()
}
