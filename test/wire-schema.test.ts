import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, test } from 'node:test'
import { startServer, uploaded } from './support/server.ts'

// The published request schemas, parameter by parameter: every bound, list of values, null, requirement and unknown
// key is tried from both sides. A body that is taken gets past validation: the answer is 200, or 404 for a thread that
// is not there, or tool_choice does not fit the tools any more.

interface Schema {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  minimum?: number
  maximum?: number
  maxLength?: number
  maxItems?: number
  minItems?: number
}

const spec = JSON.parse(
  readFileSync(new URL('./fixtures/assistants-v2.openapi.json', import.meta.url), 'utf8'),
) as { components: { schemas: Record<string, Schema> } }

const server = await startServer()
const nowhere = 'thread_000000000000000000000000'
const id = { assistant: '', changed: '', thread: '', file: '' }

before(async () => {
  id.assistant = (await server.client.beta.assistants.create({ model: 'mock-model' })).id
  id.changed = (await server.client.beta.assistants.create({ model: 'mock-model' })).id
  id.thread = (await server.client.beta.threads.create()).id
  id.file = await uploaded(server)
})

const fn = { type: 'function', function: { name: 'f', description: 'd', parameters: {}, strict: false } }
const search = {
  type: 'file_search',
  file_search: { max_num_results: 5, ranking_options: { ranker: 'auto', score_threshold: 0.5 } },
}
const format = {
  type: 'json_schema',
  json_schema: { name: 'n', description: 'd', schema: {}, strict: true },
}
const resources = () => ({
  code_interpreter: { file_ids: [id.file] },
  file_search: { vector_store_ids: ['vs_1'] },
})
const newResources = () => ({
  code_interpreter: { file_ids: [id.file] },
  file_search: {
    vector_stores: [
      {
        file_ids: [id.file],
        chunking_strategy: {
          type: 'static',
          static: { max_chunk_size_tokens: 800, chunk_overlap_tokens: 40 },
        },
        metadata: { a: 'b' },
      },
    ],
  },
})
const message = () => ({
  role: 'user',
  content: [
    { type: 'text', text: 'x' },
    { type: 'image_file', image_file: { file_id: id.file, detail: 'low' } },
    { type: 'image_url', image_url: { url: 'https://example.com/x.png', detail: 'low' } },
  ],
  attachments: [{ file_id: id.file, tools: [{ type: 'file_search' }, { type: 'code_interpreter' }] }],
  metadata: { a: 'b' },
})
const assistant = () => ({
  model: 'mock-model',
  name: 'n',
  description: 'd',
  instructions: 'i',
  reasoning_effort: 'low',
  tools: [fn, search, { type: 'code_interpreter' }],
  metadata: { a: 'b' },
  temperature: 1,
  top_p: 1,
  response_format: format,
})
const run = () => ({
  assistant_id: id.assistant,
  model: 'mock-model',
  instructions: 'i',
  reasoning_effort: 'low',
  tools: [fn],
  metadata: { a: 'b' },
  temperature: 1,
  top_p: 1,
  stream: false,
  max_prompt_tokens: 256,
  max_completion_tokens: 256,
  truncation_strategy: { type: 'last_messages', last_messages: 3 },
  tool_choice: { type: 'function', function: { name: 'f' } },
  parallel_tool_calls: true,
  response_format: format,
})

interface Operation {
  schema: string
  path: () => string
  /** A body with every parameter. */
  body: () => object
}

const operations: Operation[] = [
  {
    schema: 'CreateAssistantRequest',
    path: () => '/v1/assistants',
    body: () => ({ ...assistant(), tool_resources: newResources() }),
  },
  {
    schema: 'ModifyAssistantRequest',
    path: () => `/v1/assistants/${id.changed}`,
    body: () => ({ ...assistant(), tool_resources: resources() }),
  },
  {
    schema: 'CreateThreadRequest',
    path: () => '/v1/threads',
    body: () => ({ messages: [message()], tool_resources: newResources(), metadata: { a: 'b' } }),
  },
  {
    schema: 'ModifyThreadRequest',
    path: () => `/v1/threads/${id.thread}`,
    body: () => ({ tool_resources: resources(), metadata: { a: 'b' } }),
  },
  { schema: 'CreateMessageRequest', path: () => `/v1/threads/${id.thread}/messages`, body: message },
  {
    schema: 'ModifyMessageRequest',
    path: () => `/v1/threads/${nowhere}/messages/msg_0`,
    body: () => ({ metadata: { a: 'b' } }),
  },
  {
    schema: 'CreateRunRequest',
    path: () => `/v1/threads/${nowhere}/runs`,
    body: () => ({ ...run(), additional_instructions: 'a', additional_messages: [message()] }),
  },
  {
    schema: 'CreateThreadAndRunRequest',
    path: () => '/v1/threads/runs',
    body: () => ({
      ...run(),
      thread: { messages: [message()], tool_resources: newResources(), metadata: { a: 'b' } },
      tool_resources: resources(),
    }),
  },
  {
    schema: 'ModifyRunRequest',
    path: () => `/v1/threads/${nowhere}/runs/run_0`,
    body: () => ({ metadata: { a: 'b' } }),
  },
  {
    schema: 'SubmitToolOutputsRunRequest',
    path: () => `/v1/threads/${nowhere}/runs/run_0/submit_tool_outputs`,
    body: () => ({ tool_outputs: [{ tool_call_id: 'call_a', output: 'o' }], stream: false }),
  },
]

type Path = (string | number)[]
/** A change of one place of a body, and what must follow: it is taken, or refused with this code. */
interface Case {
  path: Path
  value: unknown
  refused: string | null
}

const absent = Symbol('absent')

function resolved(schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined ? schema : resolved(spec.components.schemas[name] ?? {})
}

/** What `schema` may be besides null, one schema each. */
function variants(schema: Schema): Schema[] {
  const { anyOf, oneOf, ...rest } = resolved(schema)
  const options = anyOf ?? (rest.properties ? undefined : oneOf)
  if (options) return options.flatMap(variants)
  const types = [rest.type ?? 'object'].flat().filter((type) => type !== 'null')
  return types.map((type) => ({ ...rest, type }))
}

function takesNull(schema: Schema): boolean {
  const { anyOf, oneOf, type } = resolved(schema)
  return [type].flat().includes('null') || [...(anyOf ?? []), ...(oneOf ?? [])].some(nullOnly)
}

function nullOnly(schema: Schema): boolean {
  return takesNull(schema) || resolved(schema).type === 'null'
}

/** The variant that a value of the sample is of. */
function variantFor(schema: Schema, value: unknown): Schema | undefined {
  const typed = variants(schema).filter(({ type }) =>
    Array.isArray(value)
      ? type === 'array'
      : typeof value === 'number'
        ? type === 'number' || type === 'integer'
        : type === typeof value,
  )
  if (typed.length < 2 || typeof value !== 'object') return typed[0]
  const kind = (value as { type?: unknown }).type
  return typed.find(({ properties }) => resolved(properties?.['type'] ?? {}).enum?.includes(kind)) ?? typed[0]
}

function* cases(schema: Schema, value: unknown, path: Path): Generator<Case> {
  if (path.length > 0) yield { path, value: null, refused: takesNull(schema) ? null : 'invalid_type' }
  const variant = variantFor(schema, value)
  assert.ok(variant, `the sample has something else at ${path.join('.')}`)
  if (typeof value === 'string') yield* stringCases(variants(schema), path)
  if (typeof value === 'number') yield* numberCases(variant, path)
  if (Array.isArray(value)) yield* arrayCases(variant, value as unknown[], path)
  else if (typeof value === 'object') yield* objectCases(variant, value as Record<string, unknown>, path)
}

function* stringCases(options: Schema[], path: Path): Generator<Case> {
  const strings = options.filter(({ type }) => type === 'string')
  const enumerated = strings.every((option) => option.enum)
  for (const option of strings.flatMap((one) => one.enum ?? [])) {
    // Another type would need other fields beside it.
    if (path.at(-1) !== 'type') yield { path, value: option, refused: null }
  }
  if (enumerated) yield { path, value: 'nonsense', refused: 'invalid_value' }
  yield { path, value: 7, refused: 'invalid_type' }
  const most = strings.find(({ maxLength }) => maxLength !== undefined)?.maxLength
  if (most === undefined) return
  yield { path, value: '🌾'.repeat(most), refused: null }
  yield { path, value: '🌾'.repeat(most + 1), refused: 'string_above_max_length' }
}

function* numberCases({ type, minimum, maximum }: Schema, path: Path): Generator<Case> {
  const word = type === 'integer' ? 'integer' : 'decimal'
  const step = type === 'integer' ? 1 : 0.01
  yield { path, value: 'seven', refused: 'invalid_type' }
  if (type === 'integer') yield { path, value: 300.5, refused: 'invalid_type' }
  if (minimum !== undefined) {
    yield { path, value: minimum, refused: null }
    yield { path, value: minimum - step, refused: `${word}_below_min_value` }
  }
  if (maximum !== undefined) {
    yield { path, value: maximum, refused: null }
    yield { path, value: maximum + step, refused: `${word}_above_max_value` }
  }
}

function* arrayCases({ items, maxItems, minItems }: Schema, value: unknown[], path: Path): Generator<Case> {
  yield { path, value: {}, refused: 'invalid_type' }
  if (minItems === undefined) yield { path, value: [], refused: null }
  else yield { path, value: [], refused: 'array_below_min_length' }
  if (maxItems !== undefined && maxItems < 1_000) {
    yield { path, value: Array.from({ length: maxItems }, () => value[0]), refused: null }
    const more = Array.from({ length: maxItems + 1 }, () => value[0])
    yield { path, value: more, refused: 'array_above_max_length' }
  }
  for (const [i, item] of value.entries()) if (items) yield* cases(items, item, [...path, i])
}

function* objectCases(schema: Schema, value: Record<string, unknown>, path: Path): Generator<Case> {
  if (path.length > 0) yield { path, value: true, refused: 'invalid_type' }
  const { properties = {}, required = [], additionalProperties } = schema
  for (const [key, property] of Object.entries(properties)) {
    assert.ok(
      Object.hasOwn(value, key) || isAlternative(key, value),
      `the sample has no ${[...path, key].join('.')}`,
    )
    if (!Object.hasOwn(value, key)) continue
    const needed = required.includes(key) || isNeededHere(key, value)
    yield { path: [...path, key], value: absent, refused: needed ? 'missing_required_parameter' : null }
    yield* cases(property, value[key], [...path, key])
  }
  if (typeof additionalProperties === 'object') return
  const open = additionalProperties === true || !schema.properties
  yield { path: [...path, 'colour'], value: 'red', refused: open ? null : 'unknown_parameter' }
}

/** Of two keys that exclude each other the sample has one (overrides.json). */
function isAlternative(key: string, value: object): boolean {
  return key === 'vector_store_ids' && 'vector_stores' in value
}

/** What the schema leaves optional and wire.md §5 does not: these say nothing without it. */
function isNeededHere(key: string, value: Record<string, unknown>): boolean {
  if (key === 'last_messages') return value['type'] === 'last_messages'
  return key === 'function' && value['type'] === 'function'
}

function changed(body: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value
  const copy = (Array.isArray(body) ? [...(body as unknown[])] : { ...(body as object) }) as Record<
    string | number,
    unknown
  >
  if (rest.length > 0) copy[key] = changed(copy[key], rest, value)
  else if (value === absent) delete copy[key]
  else copy[key] = value
  return copy
}

function wirePath(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i > 0 ? '.' : ''}${part}`))
    .join('')
}

/** Where wire.md or this server asks for more than the schema, and why. */
const stricter: [RegExp, unknown, string][] = [
  // Null says "no number" here, and `last_messages` without a number cuts nothing off.
  [/^truncation_strategy\.last_messages$/, null, 'missing_required_parameter'],
  // wire.md §4 has both as required; the schema says so of the list, where it means nothing.
  [/attachments\[0\]\.(file_id|tools)$/, absent, 'missing_required_parameter'],
]

async function send(
  path: string,
  body: unknown,
): Promise<[number, { code?: string; param?: string; message?: string }]> {
  const answer = await server.fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const { error = {} } = (await answer.json()) as { error?: object }
  return [answer.status, error]
}

const past = / found with id |^tool_choice /

for (const { schema, path, body } of operations) {
  test(`${schema}: every parameter is taken and refused as the published schema says`, async () => {
    const sample = body()
    let tried = 0
    for (const { path: at, value, refused } of cases({ $ref: `#/${schema}` }, sample, [])) {
      const param = wirePath(at)
      const exception = stricter.find(([place, given]) => place.test(param) && given === value)
      const expected = exception?.[2] ?? refused
      const [status, error] = await send(path(), changed(sample, at, value))
      const what = `${param} = ${String(JSON.stringify(value))?.slice(0, 60)}: ${error.message ?? ''}`
      if (expected === null) {
        assert.ok(status === 200 || past.test(error.message ?? ''), what)
      } else {
        assert.deepEqual([status, error.code, error.param], [400, expected, param], what)
      }
      tried += 1
    }
    assert.ok(tried > 3)
  })
}
