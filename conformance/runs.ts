import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { check, shows, type Check } from './check.ts'
import { runPath, runsPath, textOf, times, tool, unique, type Refusal, type Run } from './target.ts'

// The operations of runs and their fields (wire.md §4 Runs, §5 "Request field"); what becomes of a run is in
// lifecycle.ts.

const create = '§4 Runs POST .../runs'
const resolved = '§5 model, instructions, tools, temperature, top_p, response_format'

const settings: Partial<OpenAI.Beta.AssistantCreateParams> = {
  instructions: 'Be brief.',
  tools: [tool('f')],
  temperature: 0.25,
  top_p: 0.5,
  response_format: { type: 'json_object' },
}
const inherited = settings as Partial<Run>

const refusals: [string, string, object, Refusal][] = [
  [
    'no-assistant',
    '§9 missing field',
    { assistant_id: undefined },
    { code: 'missing_required_parameter', param: 'assistant_id' },
  ],
  ['temperature-above-2', '§5 temperature/top_p', { temperature: 2.1 }, { param: 'temperature' }],
  ['top-p-above-1', '§5 temperature/top_p', { top_p: 1.1 }, { param: 'top_p' }],
  [
    'max-prompt-tokens-255',
    '§5 max_prompt_tokens / max_completion_tokens',
    { max_prompt_tokens: 255 },
    { code: 'integer_below_min_value', param: 'max_prompt_tokens' },
  ],
  [
    'max-completion-tokens-255',
    '§5 max_prompt_tokens / max_completion_tokens',
    { max_completion_tokens: 255 },
    { code: 'integer_below_min_value', param: 'max_completion_tokens' },
  ],
  [
    'last-messages-0',
    '§5 truncation_strategy',
    { truncation_strategy: { type: 'last_messages', last_messages: 0 } },
    { code: 'integer_below_min_value', param: 'truncation_strategy.last_messages' },
  ],
  [
    'truncation-type',
    '§5 truncation_strategy',
    { truncation_strategy: { type: 'middle' } },
    { code: 'invalid_value' },
  ],
  ['tool-choice', '§5 tool_choice', { tool_choice: 'sometimes' }, { param: 'tool_choice' }],
  [
    'format-name',
    '§5 response_format',
    { response_format: { type: 'json_schema', json_schema: { name: 'no spaces', schema: {} } } },
    {},
  ],
  ['long-format-name', '§5 response_format', { response_format: schemaNamed('n'.repeat(65)) }, {}],
  [
    'format-without-name',
    '§5 response_format',
    { response_format: { type: 'json_schema', json_schema: {} } },
    {},
  ],
  ['stream-as-text', '§5 stream', { stream: 'yes' }, { code: 'invalid_type', param: 'stream' }],
  [
    'unknown-key',
    '§9 unknown field',
    { tool_resources: {} },
    { code: 'unknown_parameter', param: 'tool_resources' },
  ],
]

function schemaNamed(name: string): object {
  return { type: 'json_schema', json_schema: { name, schema: {} } }
}

export const runChecks: Check[] = [
  check(
    'runs.create.defaults',
    [create, '§5 stream', '§5 truncation_strategy', '§5 instructions'],
    async (t) => {
      const { id, created_at, ...rest } = await t.created('Hi.')
      assert.match(id, /^run_/)
      shows(rest, {
        object: 'thread.run',
        status: 'queued',
        required_action: null,
        last_error: null,
        expires_at: created_at + t.ttl,
        started_at: null,
        cancelled_at: null,
        failed_at: null,
        completed_at: null,
        incomplete_details: null,
        model: t.options.modelName,
        instructions: '',
        tools: [],
        metadata: {},
        usage: null,
        temperature: 1,
        top_p: 1,
        max_prompt_tokens: null,
        max_completion_tokens: null,
        truncation_strategy: { type: 'auto', last_messages: null },
        tool_choice: 'auto',
        parallel_tool_calls: true,
        response_format: 'auto',
      })
    },
  ),
  check('runs.create.inherits-from-the-assistant', [create, resolved], async (t) => {
    const mark = unique()
    const run = await t.ran(mark, {}, { ...settings, reasoning_effort: 'low' })
    shows(run, { model: t.options.modelName, ...inherited })
    const [asked] = t.model.askedWith(mark)
    shows(asked ?? {}, {
      reasoning_effort: 'low',
      temperature: 0.25,
      top_p: 0.5,
      response_format: { type: 'json_object' },
    } as object)
    assert.deepEqual(asked?.messages[0], { role: 'system', content: 'Be brief.' })
    assert.equal(asked?.tools?.[0]?.function.name, 'f')
  }),
  check('runs.create.null-inherits', [create, resolved, '§5 tools', '§5 stream'], async (t) => {
    const run = await t.created(
      'Hi.',
      {
        model: null,
        instructions: null,
        additional_instructions: null,
        additional_messages: null,
        tools: null,
        temperature: null,
        top_p: null,
        response_format: null,
        tool_choice: null,
        truncation_strategy: null,
        max_prompt_tokens: null,
        max_completion_tokens: null,
        stream: null,
        metadata: null,
      },
      settings,
    )
    shows(run, { model: t.options.modelName, ...inherited, metadata: {}, status: 'queued' })
  }),
  check('runs.create.overrides', [create, resolved, '§5 temperature/top_p'], async (t) => {
    const mark = unique()
    const own = {
      model: `${t.options.modelName}-2`,
      instructions: 'Be long.',
      tools: [tool('g')],
      temperature: 0,
      top_p: 0,
      response_format: { type: 'text' as const },
    }
    shows(await t.ran(mark, { ...own, reasoning_effort: 'high' }, settings), own)
    const [asked] = t.model.askedWith(mark)
    shows(asked ?? {}, { model: own.model, temperature: 0, top_p: 0, reasoning_effort: 'high' } as object)
    assert.deepEqual(asked?.messages[0], { role: 'system', content: 'Be long.' })
    assert.deepEqual(
      asked?.tools?.map(({ function: { name } }) => name),
      ['g'],
    )
  }),
  check('runs.create.settings-are-frozen', [resolved, '§4 Assistants DELETE'], async (t) => {
    const run = await t.ran('#calls f', {}, { ...settings, response_format: 'auto' })
    assert.equal(run.status, 'requires_action')
    const other = { model: 'other', instructions: 'Other.', tools: [], temperature: 2, top_p: 1 }
    await t.client.beta.assistants.update(run.assistant_id, other)
    const expected = {
      model: run.model,
      instructions: 'Be brief.',
      tools: [tool('f')],
      temperature: 0.25,
      top_p: 0.5,
    }
    shows(await t.now(run), expected)
    await t.answered(run)
    const [call] = run.required_action?.submit_tool_outputs.tool_calls ?? []
    const asked = t.model.askedWith(`of ${call?.id}`)
    assert.deepEqual(asked[0]?.messages[0], { role: 'system', content: 'Be brief.' })
    assert.equal(asked[0]?.model, run.model)
  }),
  check('runs.create.instructions-replace', '§5 instructions', async (t) => {
    const mark = unique()
    shows(await t.ran(mark, { instructions: 'Be long.' }, settings), { instructions: 'Be long.' })
    assert.ok(!JSON.stringify(t.model.askedWith(mark)).includes('Be brief.'))
  }),
  check('runs.create.additional-instructions', '§5 additional_instructions', async (t) => {
    const additional_instructions = 'Rhyme.'
    const mark = unique()
    const joined = { instructions: 'Be brief.\n\nRhyme.' }
    shows(await t.ran(mark, { additional_instructions }, settings), joined)
    assert.equal(t.model.askedWith(mark)[0]?.messages[0]?.content, joined.instructions)
    const both = { instructions: 'Be long.', additional_instructions }
    shows(await t.created('Hi.', both, settings), { instructions: 'Be long.\n\nRhyme.' })
    shows(await t.created('Hi.', { additional_instructions }), { instructions: 'Rhyme.' })
  }),
  check('runs.create.additional-messages', '§5 additional_messages', async (t) => {
    const mark = unique()
    const run = await t.ran('First.', {
      additional_messages: [
        { role: 'assistant', content: 'Second.', metadata: { n: '2' } },
        { role: 'user', content: mark },
      ],
    })
    const messages = await t.messages(run.thread_id)
    assert.deepEqual(messages.map(textOf), ['First.', 'Second.', mark, `Heard: ${mark}`])
    assert.deepEqual(messages[1]?.metadata, { n: '2' })
    const asked = t.model.askedWith(mark)[0]?.messages.map(({ role }) => role)
    assert.deepEqual(asked, ['user', 'assistant', 'user'])
  }),
  check('runs.create.additional-messages-atomic', '§5 additional_messages', async (t) => {
    const { assistant, thread } = await t.ready('First.')
    const good = { role: 'user', content: 'Second.' }
    for (const body of [
      { assistant_id: assistant, additional_messages: [good, { role: 'user', content: '' }] },
      { assistant_id: 'asst_none', additional_messages: [good] },
      {
        assistant_id: assistant,
        additional_messages: [good],
        tool_choice: { type: 'function', function: { name: 'x' } },
      },
    ]) {
      const { status, text } = await t.post(runsPath(thread), body)
      assert.ok(status === 400 || status === 404, text)
    }
    const run = await t.client.beta.threads.runs.create(thread, {
      assistant_id: assistant,
      additional_messages: [{ role: 'user', content: '#hang' }],
    })
    const again = { assistant_id: assistant, additional_messages: [good] }
    await t.refused('POST', runsPath(thread), again, { text: /already has an active run/ })
    assert.equal((await t.messages(thread)).map(textOf).includes('Second.'), false)
    assert.equal((await t.client.beta.threads.runs.list(thread)).data.length, 1)
    await t.cancelled(run)
  }),
  check('runs.create.no-tools', '§5 tools', async (t) => {
    const mark = unique()
    shows(await t.ran(mark, { tools: [] }, settings), { tools: [] })
    assert.deepEqual(t.model.askedWith(mark)[0]?.tools ?? [], [])
  }),
  check('runs.create.20-tools', ['§5 tools', '§9 tools >128 (run >20)'], async (t) => {
    const tools = times(21, (index) => tool(`f${index}`))
    const run = await t.created('Hi.', { tools: tools.slice(1) })
    assert.equal(run.tools.length, 20)
    const { assistant, thread } = await t.ready('Hi.')
    await t.refused(
      'POST',
      runsPath(thread),
      { assistant_id: assistant, tools },
      {
        code: 'array_above_max_length',
        param: 'tools',
        text: "Invalid 'tools': array too long. Expected an array with maximum length 20, but got an array with length 21 instead.",
      },
    )
  }),
  check('runs.create.copies-128-tools', '§5 tools', async (t) => {
    const run = await t.created('Hi.', {}, { tools: times(128, (index) => tool(`f${index}`)) })
    assert.equal(run.tools.length, 128)
  }),
  check('runs.create.metadata-is-its-own', '§5 metadata', async (t) => {
    shows(await t.created('Hi.', {}, { metadata: { of: 'assistant' } }), { metadata: {} })
    shows(await t.created('Hi.', { metadata: { of: 'run' } }), { metadata: { of: 'run' } })
  }),
  check('runs.create.include', create, async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const include: ['step_details.tool_calls[*].file_search.results[*].content'] = [
      'step_details.tool_calls[*].file_search.results[*].content',
    ]
    const run = await t.client.beta.threads.runs.create(thread, { assistant_id: assistant, include })
    assert.equal(run.status, 'queued')
    await t.stopped(run)
    await t.refused('POST', `${runsPath(thread)}?include[]=everything`, { assistant_id: assistant }, {})
  }),
  ...refusals.map(([what, row, body, expected]) =>
    check(`runs.create.refuses-${what}`, [create, row], async (t) => {
      const { assistant, thread } = await t.ready('Hi.')
      await t.refused('POST', runsPath(thread), { assistant_id: assistant, ...body }, expected)
      assert.deepEqual((await t.client.beta.threads.runs.list(thread)).data, [])
    }),
  ),
  check('runs.list', '§4 Runs GET .../runs', async (t) => {
    const first = await t.ran('Hi.')
    const { threads } = t.client.beta
    const second = await threads.runs.createAndPoll(first.thread_id, { assistant_id: first.assistant_id })
    assert.deepEqual((await threads.runs.list(first.thread_id)).data, [second, first])
  }),
  check('runs.retrieve.under-another-thread', '§4 Runs GET {run_id}', async (t) => {
    const [run, { id }] = await Promise.all([t.ran('Hi.'), t.thread()])
    const unknown = { status: 404, text: `No run found with id '${run.id}'.`, code: null, param: null }
    await t.refused('GET', `${runsPath(id)}/${run.id}`, undefined, unknown)
    await t.refused('POST', `${runsPath(id)}/${run.id}`, { metadata: {} }, unknown)
    await t.refused('POST', `${runsPath(id)}/${run.id}/cancel`, undefined, unknown)
    await t.refused('GET', `${runsPath(id)}/${run.id}/steps`, undefined, unknown)
  }),
  check('runs.modify.metadata-only', '§4 Runs POST {run_id}', async (t) => {
    const run = await t.ran('Hi.')
    const noted = await t.client.beta.threads.runs.update(run.id, {
      thread_id: run.thread_id,
      metadata: { a: 'b' },
    })
    assert.deepEqual(noted, { ...run, metadata: { a: 'b' } })
    assert.deepEqual(await t.now(run), noted)
    await t.refused('POST', runPath(run), { model: 'x' }, { code: 'unknown_parameter', param: 'model' })
  }),
  check('runs.modify.in-every-status', '§4 Runs POST {run_id}', async (t) => {
    const runs = await Promise.all([
      t.ran('Hi.'),
      t.ran('#status 500'),
      t.ran('#length'),
      t.hanging(),
      t.asking('f'),
    ])
    const ended = await t.cancelled(await t.hanging())
    for (const run of [...runs, ended]) {
      const { status, json } = await t.post<Run>(runPath(run), { metadata: { seen: run.status } })
      assert.deepEqual([status, json.metadata, json.status], [200, { seen: run.status }, run.status])
    }
    await Promise.all(runs.slice(3).map((run) => t.cancelled(run)))
  }),
  check('runs.modify.the-status-never-changes', '§4 Runs POST {run_id}', async (t) => {
    const run = await t.asking('f')
    await t.post(runPath(run), { metadata: { a: 'b' } })
    shows(await t.now(run), { status: 'requires_action', required_action: run.required_action })
    assert.equal((await t.answered(run)).status, 'completed')
  }),
]
