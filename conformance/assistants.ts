import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { check, shows, type Check } from './check.ts'
import { times, tool, type Refusal, type Target } from './target.ts'

const create = '§4 Assistants POST /assistants'
const modify = '§4 Assistants POST /assistants/{id}'

/** Every kind of tool, with all that it may say. */
const tools: OpenAI.Beta.AssistantTool[] = [
  { type: 'code_interpreter' },
  {
    type: 'file_search',
    file_search: { max_num_results: 50, ranking_options: { ranker: 'auto', score_threshold: 0 } },
  },
  {
    type: 'function',
    function: { name: 'f', description: 'Finds.', parameters: { type: 'object' }, strict: true },
  },
]

const full: Partial<OpenAI.Beta.AssistantCreateParams> = {
  name: 'Miller',
  description: 'Grinds.',
  instructions: 'Be brief.',
  tools,
  metadata: { team: 'stone' },
  temperature: 0.25,
  top_p: 0.5,
  response_format: { type: 'json_object' },
}

/** One body of each field that is out of its limits, and the error that it gets. */
const refusals: [string, string, object, Refusal][] = [
  [
    'model-required',
    '§9 missing field',
    { model: undefined },
    { code: 'missing_required_parameter', param: 'model' },
  ],
  ['name-257', create, { name: 'x'.repeat(257) }, { code: 'string_above_max_length', param: 'name' }],
  [
    'description-513',
    create,
    { description: 'x'.repeat(513) },
    { code: 'string_above_max_length', param: 'description' },
  ],
  [
    'instructions-256001',
    create,
    { instructions: 'x'.repeat(256_001) },
    { code: 'string_above_max_length', param: 'instructions' },
  ],
  ['temperature-above-2', create, { temperature: 2.1 }, { param: 'temperature' }],
  ['temperature-below-0', create, { temperature: -0.1 }, { param: 'temperature' }],
  ['top-p-above-1', create, { top_p: 1.1 }, { param: 'top_p' }],
  ['top-p-below-0', create, { top_p: -0.1 }, { param: 'top_p' }],
  [
    'reasoning-effort',
    '§9 enum',
    { reasoning_effort: 'extreme' },
    { code: 'invalid_value', param: 'reasoning_effort' },
  ],
  [
    'tool-type',
    '§9 enum',
    { tools: [{ type: 'retrieval' }] },
    { code: 'invalid_value', param: 'tools[0].type' },
  ],
  [
    'function-name',
    '§9 missing field',
    { tools: [{ type: 'function', function: {} }] },
    { param: 'tools[0].function.name' },
  ],
  ['file-search-0-results', create, searching({ max_num_results: 0 }), { code: 'integer_below_min_value' }],
  ['file-search-51-results', create, searching({ max_num_results: 51 }), { code: 'integer_above_max_value' }],
  [
    'ranker',
    '§9 enum',
    searching({ ranking_options: { ranker: 'best', score_threshold: 0 } }),
    { code: 'invalid_value' },
  ],
  ['score-threshold-above-1', create, searching({ ranking_options: { score_threshold: 1.1 } }), {}],
  [
    'score-threshold-required',
    '§9 missing field',
    searching({ ranking_options: {} }),
    { code: 'missing_required_parameter' },
  ],
  ['response-format', '§9 enum', { response_format: { type: 'yaml' } }, {}],
]

function searching(file_search: object): object {
  return { tools: [{ type: 'file_search', file_search }] }
}

export const assistantChecks: Check[] = [
  check('assistants.create.defaults', create, async (t) => {
    const assistant = await t.assistant()
    shows(assistant, {
      object: 'assistant',
      name: null,
      description: null,
      model: t.options.modelName,
      instructions: null,
      tools: [],
      metadata: {},
      temperature: 1,
      top_p: 1,
      response_format: 'auto',
    })
  }),
  check('assistants.create.every-field', create, async (t) => {
    shows(await t.assistant(full), full as Partial<OpenAI.Beta.Assistant>)
  }),
  check('assistants.create.largest-values', create, async (t) => {
    // Lengths count code points: these are 512 UTF-16 units.
    const most = { name: '🌾'.repeat(256), description: 'd'.repeat(512), instructions: 'i'.repeat(256_000) }
    shows(await t.assistant(most), most)
    for (const bounds of [
      { temperature: 0, top_p: 0 },
      { temperature: 2, top_p: 1 },
    ]) {
      shows(await t.assistant(bounds), bounds)
    }
    const many = { tools: times(128, (index) => tool(`f${index}`)) }
    assert.equal((await t.assistant(many)).tools.length, 128)
  }),
  check('assistants.create.nulls', create, async (t) => {
    const nulls = { name: null, description: null, instructions: null, metadata: null, tool_resources: null }
    const assistant = await t.assistant({ ...nulls, temperature: null, top_p: null, response_format: null })
    shows(assistant, {
      name: null,
      description: null,
      instructions: null,
      metadata: {},
      temperature: 1,
      top_p: 1,
    })
  }),
  check('assistants.create.reasoning-efforts', create, async (t) => {
    const efforts = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max', null] as const
    for (const reasoning_effort of efforts) {
      const { status, text } = await t.post('/v1/assistants', {
        model: t.options.modelName,
        reasoning_effort,
      })
      assert.equal(status, 200, text)
    }
  }),
  check('assistants.create.response-formats', create, async (t) => {
    const json_schema = { name: 'a_Z-9', description: 'd', schema: { type: 'object' }, strict: true }
    const formats: OpenAI.Beta.AssistantResponseFormatOption[] = [
      'auto',
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', json_schema },
    ]
    for (const response_format of formats) shows(await t.assistant({ response_format }), { response_format })
  }),
  check('assistants.create.tool-resources', [create, '§4 tool_resources'], async (t) => {
    const { id } = await t.file()
    const tool_resources = { code_interpreter: { file_ids: [id] } }
    const assistant = await t.assistant({ tools: [{ type: 'code_interpreter' }], tool_resources })
    assert.deepEqual(assistant.tool_resources?.code_interpreter, { file_ids: [id] })
    assert.ok(await t.assistant({ tool_resources: { file_search: {} } }))
  }),
  check('assistants.create.tool-resources-limits', '§4 tool_resources', async (t) => {
    const refused = (tool_resources: object, expected: Refusal) =>
      t.refused('POST', '/v1/assistants', { model: 'm', tool_resources }, expected)
    const many = { code_interpreter: { file_ids: times(21, (index) => `file-${index}`) } }
    await refused(many, { code: 'array_above_max_length', param: 'tool_resources.code_interpreter.file_ids' })
    const two = { file_search: { vector_store_ids: ['vs_1', 'vs_2'] } }
    await refused(two, {
      code: 'array_above_max_length',
      param: 'tool_resources.file_search.vector_store_ids',
    })
    await refused({ file_search: { vector_stores: [{}, {}] } }, { code: 'array_above_max_length' })
    await refused({ file_search: { vector_store_ids: [], vector_stores: [] } }, {})
  }),
  ...refusals.map(([what, row, body, expected]) =>
    check(`assistants.create.refuses-${what}`, [create, row], (t) =>
      t.refused('POST', '/v1/assistants', { model: 'm', ...body }, expected),
    ),
  ),
  check('assistants.create.refuses-129-tools', [create, '§9 tools >128 (run >20)'], (t) =>
    t.refused(
      'POST',
      '/v1/assistants',
      { model: 'm', tools: times(129, (index) => tool(`f${index}`)) },
      {
        code: 'array_above_max_length',
        param: 'tools',
        text: "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 129 instead.",
      },
    ),
  ),
  check('assistants.retrieve', '§4 Assistants GET /assistants/{id}', async (t) => {
    const assistant = await t.assistant(full)
    assert.deepEqual(await t.client.beta.assistants.retrieve(assistant.id), assistant)
  }),
  check('assistants.list', '§4 Assistants GET /assistants', async (t) => {
    const assistant = await t.assistant(full)
    const { data } = await t.client.beta.assistants.list({ limit: 100 })
    assert.deepEqual(
      data.find(({ id }) => id === assistant.id),
      assistant,
    )
  }),
  check('assistants.modify.omitted-is-unchanged', modify, async (t) => {
    const assistant = await t.assistant(full)
    const renamed = await t.client.beta.assistants.update(assistant.id, { name: 'Baker' })
    assert.deepEqual(renamed, { ...assistant, name: 'Baker' })
    assert.deepEqual((await t.post(`/v1/assistants/${assistant.id}`, {})).json, renamed)
    assert.deepEqual(await t.client.beta.assistants.retrieve(assistant.id), renamed)
  }),
  check('assistants.modify.null-clears', modify, async (t) => {
    const { id } = await t.assistant(full)
    const cleared = await t.client.beta.assistants.update(id, {
      name: null,
      description: null,
      instructions: null,
    })
    shows(cleared, { name: null, description: null, instructions: null, tools })
  }),
  check('assistants.modify.tools-replace', modify, async (t) => {
    const { id } = await t.assistant(full)
    const changed = await t.client.beta.assistants.update(id, {
      tools: [tool('g')],
      model: 'other',
      temperature: 0,
    })
    shows(changed, { tools: [tool('g')], model: 'other', temperature: 0, name: 'Miller' })
    assert.deepEqual((await t.client.beta.assistants.update(id, { tools: [] })).tools, [])
  }),
  check('assistants.modify.refusals', modify, async (t) => {
    const path = `/v1/assistants/${(await t.assistant()).id}`
    await t.refused(
      'POST',
      path,
      { name: 'x'.repeat(257) },
      { code: 'string_above_max_length', param: 'name' },
    )
    await t.refused('POST', path, { id: 'asst_x' }, { code: 'unknown_parameter', param: 'id' })
    await t.refused('POST', path, { model: 7 }, { code: 'invalid_type', param: 'model' })
  }),
  check('assistants.delete', ['§4 Assistants DELETE', '§1 HTTP verbs'], async (t) => {
    const { id } = await t.assistant()
    const gone = await t.raw('DELETE', `/v1/assistants/${id}`)
    assert.equal(gone.status, 200)
    assert.deepEqual(gone.json, { id, object: 'assistant.deleted', deleted: true })
    for (const method of ['GET', 'DELETE', 'POST']) await unknownNow(t, method, id)
  }),
  check('assistants.delete.runs-keep-their-settings', '§4 Assistants DELETE', async (t) => {
    const asking = await t.asking('f')
    await t.client.beta.assistants.delete(asking.assistant_id)
    shows(await t.now(asking), { assistant_id: asking.assistant_id, tools: [tool('f')] })
    assert.equal((await t.answered(asking)).status, 'completed')
  }),
]

function unknownNow(t: Target, method: string, id: string): Promise<void> {
  const body = method === 'POST' ? {} : undefined
  return t.refused(method, `/v1/assistants/${id}`, body, {
    status: 404,
    text: `No assistant found with id '${id}'.`,
  })
}
