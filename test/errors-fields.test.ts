import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { startServer } from './support/server.ts'

// What is wrong with a field of a body: status, code, parameter and text of wire.md §9.

const server = await startServer()
const { client } = server

let thread = ''
let assistant = ''
before(async () => {
  thread = (await client.beta.threads.create()).id
  assistant = (await client.beta.assistants.create({ model: 'mock-model' })).id
})

const paths = {
  assistant: () => '/v1/assistants',
  change: () => `/v1/assistants/${assistant}`,
  thread: () => '/v1/threads',
  message: () => `/v1/threads/${thread}/messages`,
  run: () => `/v1/threads/${thread}/runs`,
  threadAndRun: () => '/v1/threads/runs',
  outputs: () => `/v1/threads/${thread}/runs/run_000000000000000000000000/submit_tool_outputs`,
}
const smallest: Record<keyof typeof paths, () => object> = {
  assistant: () => ({ model: 'm' }),
  change: () => ({}),
  thread: () => ({}),
  message: () => ({ role: 'user', content: 'x' }),
  run: () => ({ assistant_id: assistant }),
  threadAndRun: () => ({ assistant_id: assistant }),
  outputs: () => ({ tool_outputs: [] }),
}

const counted = `select (select count(*) from assistants) as assistants, (select count(*) from threads) as threads,
  (select count(*) from messages) as messages, (select count(*) from runs) as runs,
  (select md5(string_agg(a::text, '' order by id)) from assistants a) as assistant_rows`

/** Sends the smallest good body with `fields` over it; undefined leaves a field out. */
async function refused(
  kind: keyof typeof paths,
  fields: object,
  code: string | null,
  param: string | null,
  message: string,
): Promise<void> {
  const before = await server.db.sql(counted)
  const answer = await server.fetch(paths[kind](), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...smallest[kind](), ...fields }),
  })
  const error = { message, type: 'invalid_request_error', param, code }
  assert.deepEqual([answer.status, await answer.json()], [400, { error }])
  assert.match(answer.headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
  assert.deepEqual(await server.db.sql(counted), before, 'a refused request writes nothing')
}

const fn = (name: unknown) => ({ type: 'function', function: { name } })

test('a missing field is named', async () => {
  const missing = (kind: keyof typeof paths, fields: object, param: string) =>
    refused(kind, fields, 'missing_required_parameter', param, `Missing required parameter: '${param}'.`)
  await missing('assistant', { model: undefined }, 'model')
  await missing('message', { role: undefined }, 'role')
  await missing('message', { content: undefined }, 'content')
  await missing('run', { assistant_id: undefined }, 'assistant_id')
  await missing('threadAndRun', { assistant_id: undefined }, 'assistant_id')
  await missing('outputs', { tool_outputs: undefined }, 'tool_outputs')
  await missing('assistant', { tools: [{ type: 'function' }] }, 'tools[0].function')
  await missing('assistant', { tools: [fn('f'), fn(undefined)] }, 'tools[1].function.name')
  await missing('assistant', { tools: [{}] }, 'tools[0].type')
  await missing('message', { content: [{ type: 'text' }] }, 'content[0].text')
  await missing('thread', { messages: [{ role: 'user' }] }, 'messages[0].content')
  const json = { type: 'json_schema', json_schema: {} }
  await missing('run', { response_format: json }, 'response_format.json_schema.name')
})

test('an unknown field is named', async () => {
  const unknown = (kind: keyof typeof paths, fields: object, param: string) =>
    refused(kind, fields, 'unknown_parameter', param, `Unknown parameter: '${param}'.`)
  for (const kind of Object.keys(paths) as (keyof typeof paths)[])
    await unknown(kind, { colour: 1 }, 'colour')
  await unknown('threadAndRun', { additional_messages: [] }, 'additional_messages')
  await unknown('assistant', { tools: [{ ...fn('f'), strict: true }] }, 'tools[0].strict')
  await unknown('thread', { tool_resources: { files: [] } }, 'tool_resources.files')
  await unknown('message', { content: [{ type: 'text', text: 'x', bold: 1 }] }, 'content[0].bold')
  const answer = await server.fetch('/v1/assistants', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"model":"m","constructor":1}',
  })
  const { error } = (await answer.json()) as { error: { code: string; param: string } }
  assert.deepEqual([answer.status, error.code, error.param], [400, 'unknown_parameter', 'constructor'])
})

test('a value of the wrong type is told with what was expected and what came', async () => {
  const wrong = (kind: keyof typeof paths, fields: object, param: string, expected: string, got: string) =>
    refused(
      kind,
      fields,
      'invalid_type',
      param,
      `Invalid type for '${param}': expected ${expected}, but got ${got} instead.`,
    )
  await wrong('assistant', { model: 7 }, 'model', 'a string', 'an integer')
  await wrong('assistant', { model: null }, 'model', 'a string', 'null')
  await wrong('assistant', { name: ['x'] }, 'name', 'a string', 'an array')
  await wrong('assistant', { temperature: '1' }, 'temperature', 'a decimal', 'a string')
  await wrong('assistant', { tools: {} }, 'tools', 'an array', 'an object')
  await wrong('assistant', { tools: ['f'] }, 'tools[0]', 'an object', 'a string')
  await wrong('assistant', { metadata: 'x' }, 'metadata', 'an object', 'a string')
  await wrong('assistant', { metadata: { a: 1 } }, 'metadata.a', 'a string', 'an integer')
  await wrong('assistant', { metadata: { a: null } }, 'metadata.a', 'a string', 'null')
  await wrong('change', { metadata: { a: true } }, 'metadata.a', 'a string', 'a boolean')
  await wrong('change', { model: null }, 'model', 'a string', 'null')
  await wrong('message', { content: 7 }, 'content', 'one of a string or an array', 'an integer')
  await wrong('message', { content: null }, 'content', 'one of a string or an array', 'null')
  await wrong('run', { stream: 'true' }, 'stream', 'a boolean', 'a string')
  await wrong('run', { max_prompt_tokens: 256.5 }, 'max_prompt_tokens', 'an integer', 'a decimal')
  await wrong('run', { response_format: 7 }, 'response_format', 'one of a string or an object', 'an integer')
  await wrong('run', { assistant_id: null }, 'assistant_id', 'a string', 'null')
  const outputs = [{ tool_call_id: 'call_a', output: { ok: true } }]
  await wrong('outputs', { tool_outputs: outputs }, 'tool_outputs[0].output', 'a string', 'an object')
})

test('a value that is not among the allowed ones is told with all of them', async () => {
  const invalid = (
    kind: keyof typeof paths,
    fields: object,
    param: string,
    got: string,
    ...values: string[]
  ) => {
    const list = values.map((value) => `'${value}'`).join(', ')
    const message = `Invalid value: '${got}'. Supported values are: ${list}.`
    return refused(kind, fields, 'invalid_value', param, message)
  }
  await invalid('message', { role: 'system' }, 'role', 'system', 'user', 'assistant')
  const kinds = ['function', 'code_interpreter', 'file_search']
  await invalid('assistant', { tools: [{ type: 'browser' }] }, 'tools[0].type', 'browser', ...kinds)
  const parts = ['text', 'image_file', 'image_url']
  await invalid('message', { content: [{ type: 'audio' }] }, 'content[0].type', 'audio', ...parts)
  await invalid('run', { tool_choice: 'always' }, 'tool_choice', 'always', 'none', 'auto', 'required')
  const choice = { type: 'computer', function: {} }
  const choices = ['function', 'file_search', 'code_interpreter']
  await invalid('run', { tool_choice: choice }, 'tool_choice.type', 'computer', ...choices)
  await invalid('run', { response_format: 'json' }, 'response_format', 'json', 'auto')
  const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']
  await invalid('assistant', { reasoning_effort: 'huge' }, 'reasoning_effort', 'huge', ...efforts)
  const truncation = { truncation_strategy: { type: 'middle' } }
  await invalid('run', truncation, 'truncation_strategy.type', 'middle', 'auto', 'last_messages')
  const image = [{ type: 'image_url', image_url: { url: 'https://x', detail: 'ultra' } }]
  await invalid('message', { content: image }, 'content[0].image_url.detail', 'ultra', 'auto', 'low', 'high')
})

test('text that is too long or empty is told with both lengths, in code points', async () => {
  const long = (kind: keyof typeof paths, fields: object, param: string, most: number, got: number) =>
    refused(
      kind,
      fields,
      'string_above_max_length',
      param,
      `Invalid '${param}': string too long. Expected a string with maximum length ${most}, but got a string with length ${got} instead.`,
    )
  await long('assistant', { name: 'x'.repeat(257) }, 'name', 256, 257)
  await long('assistant', { name: '🌾'.repeat(257) }, 'name', 256, 257)
  await long('assistant', { description: 'x'.repeat(513) }, 'description', 512, 513)
  await long('assistant', { instructions: 'x'.repeat(256_001) }, 'instructions', 256_000, 256_001)
  await long('message', { content: 'x'.repeat(256_001) }, 'content', 256_000, 256_001)
  // Two code points that are read as one character count as two.
  await long('assistant', { metadata: { a: 'e\u0301'.repeat(257) } }, 'metadata.a', 512, 514)
  await long('change', { metadata: { a: 'x'.repeat(513) } }, 'metadata.a', 512, 513)
  await long('assistant', { tools: [fn('f'.repeat(65))] }, 'tools[0].function.name', 64, 65)

  const short = (fields: object, param: string) =>
    refused(
      'message',
      fields,
      'string_below_min_length',
      param,
      `Invalid '${param}': string too short. Expected a string with minimum length 1, but got an empty string instead.`,
    )
  await short({ content: '' }, 'content')
  await short({ content: [{ type: 'text', text: '' }] }, 'content[0].text')
})

test('lists and metadata that are too large or empty are told with both sizes', async () => {
  const many = (kind: keyof typeof paths, fields: object, param: string, most: number) =>
    refused(
      kind,
      fields,
      'array_above_max_length',
      param,
      `Invalid '${param}': array too long. Expected an array with maximum length ${most}, but got an array with length ${most + 1} instead.`,
    )
  const tools = (n: number) => Array.from({ length: n }, (_, i) => fn(`f${i}`))
  await many('assistant', { tools: tools(129) }, 'tools', 128)
  await many('change', { tools: tools(129) }, 'tools', 128)
  await many('run', { tools: tools(21) }, 'tools', 20)
  const file_ids = Array.from({ length: 21 }, (_, i) => `file-${i}`)
  const resources = { tool_resources: { code_interpreter: { file_ids } } }
  await many('thread', resources, 'tool_resources.code_interpreter.file_ids', 20)
  await refused(
    'message',
    { content: [] },
    'array_below_min_length',
    'content',
    "Invalid 'content': array too short. Expected an array with minimum length 1, but got an array with length 0 instead.",
  )

  const metadata = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, 'v']))
  for (const kind of ['assistant', 'change', 'thread', 'message', 'run'] as const) {
    await refused(
      kind,
      { metadata },
      'object_above_max_properties',
      'metadata',
      "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    )
  }
  const key = '🌾'.repeat(65)
  await refused(
    'assistant',
    { metadata: { [key]: 'v' } },
    'property_name_above_max_length',
    `metadata.${key}`,
    `Invalid property name in 'metadata': '${key}' is too long. Expected a string with maximum length 64, but got a string with length 65 instead.`,
  )
})

test('numbers out of bounds are told with the bound', async () => {
  const bound = (fields: object, param: string, word: 'integer' | 'decimal', rest: string) => {
    const above = rest.startsWith('<=')
    const [text, code] = above ? ['above maximum', 'above_max'] : ['below minimum', 'below_min']
    const message = `Invalid '${param}': ${word} ${text} value. Expected a value ${rest} instead.`
    return refused('run', fields, `${word}_${code}_value`, param, message)
  }
  await bound({ temperature: 2.1 }, 'temperature', 'decimal', '<= 2, but got 2.1')
  await bound({ temperature: -0.1 }, 'temperature', 'decimal', '>= 0, but got -0.1')
  await bound({ top_p: 1.5 }, 'top_p', 'decimal', '<= 1, but got 1.5')
  await bound({ max_prompt_tokens: 255 }, 'max_prompt_tokens', 'integer', '>= 256, but got 255')
  await bound({ max_completion_tokens: 0 }, 'max_completion_tokens', 'integer', '>= 256, but got 0')
  const strategy = { truncation_strategy: { type: 'last_messages', last_messages: 0 } }
  await bound(strategy, 'truncation_strategy.last_messages', 'integer', '>= 1, but got 0')
})

test('the largest allowed values are taken', async () => {
  const { id } = await client.beta.assistants.create({
    model: 'm'.repeat(256),
    name: '🌾'.repeat(256),
    description: 'x'.repeat(512),
    instructions: 'x'.repeat(256_000),
    temperature: 2,
    top_p: 1,
    tools: Array.from(
      { length: 128 },
      (_, i) => ({ type: 'function', function: { name: `f${i}` } }) as const,
    ),
  })
  const { tools, name } = await client.beta.assistants.retrieve(id)
  assert.equal(tools.length, 128)
  assert.equal(name, '🌾'.repeat(256))
})

test('a tool choice that the run cannot follow is refused, naming the tool', async () => {
  const unknown = { tools: [fn('f')], tool_choice: fn('g') }
  const message = "tool_choice names the function 'g', which is not among the run's tools."
  await refused('run', unknown, null, null, message)
  await refused('threadAndRun', unknown, null, null, message)
  const search = "This server does not run the tool 'file_search' that tool_choice demands."
  await refused('run', { tool_choice: { type: 'file_search' } }, null, null, search)
})
