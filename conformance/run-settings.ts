import assert from 'node:assert/strict'
import type OpenAI from 'openai'
import { check, shows, type Check } from './check.ts'
import { runsPath, textOf, times, tool, unique, type Run, type Target } from './target.ts'
import type { Asked } from './mock-model.ts'

// What a run's settings do to what the model is asked (wire.md §5 "Request field").

const budget = '§5 max_prompt_tokens / max_completion_tokens'
type Choice = OpenAI.Beta.AssistantToolChoiceOption

/** What the model was asked by a run with this tool choice: at its first turn, and after its outputs. */
async function turnsWith(t: Target, tool_choice: Choice): Promise<(Asked | undefined)[]> {
  const mark = unique()
  const run = await t.ran(`#calls f ${mark}`, { tool_choice }, { tools: [tool('f'), tool('g')] })
  shows(run, { status: 'requires_action', tool_choice })
  assert.equal((await t.answered(run)).status, 'completed')
  return t.model.askedWith(mark)
}

const named: Choice = { type: 'function', function: { name: 'f' } }

/** A run whose first turn uses so many tokens, when it has had its outputs. */
async function spending(t: Target, usage: string, run: object): Promise<{ ended: Run; asked: Asked[] }> {
  const mark = unique()
  const asking = await t.ran(`#calls f #usage ${usage} ${mark}`, run, { tools: [tool('f')] })
  if (asking.status !== 'requires_action') return { ended: asking, asked: t.model.askedWith(mark) }
  return { ended: await t.answered(asking), asked: t.model.askedWith(mark) }
}

export const runSettingChecks: Check[] = [
  check('runs.tool-choice.none', '§5 tool_choice', async (t) => {
    const mark = unique()
    const run = await t.ran(mark, { tool_choice: 'none' }, { tools: [tool('f')] })
    shows(run, { status: 'completed', tool_choice: 'none' })
    const [asked] = t.model.askedWith(mark)
    assert.ok(asked?.tool_choice === 'none' || (asked?.tools ?? []).length === 0)
  }),
  check('runs.tool-choice.auto', '§5 tool_choice', async (t) => {
    for (const asked of await turnsWith(t, 'auto'))
      assert.ok([undefined, 'auto'].includes(asked?.tool_choice as string))
  }),
  check('runs.tool-choice.required-on-the-first-turn-only', '§5 tool_choice', async (t) => {
    const [first, second] = await turnsWith(t, 'required')
    assert.equal(first?.tool_choice, 'required')
    assert.ok([undefined, 'auto'].includes(second?.tool_choice as string))
  }),
  check('runs.tool-choice.function-on-the-first-turn-only', '§5 tool_choice', async (t) => {
    const [first, second] = await turnsWith(t, named)
    assert.deepEqual(first?.tool_choice, named)
    assert.ok([undefined, 'auto'].includes(second?.tool_choice as string))
  }),
  ...(['file_search', 'code_interpreter'] as const).map((type) =>
    check(`runs.tool-choice.${type}-that-the-run-does-not-have`, '§5 tool_choice', async (t) => {
      const { assistant, thread } = await t.ready('Hi.', { tools: [tool('f')] })
      const body = { assistant_id: assistant, tool_choice: { type } }
      await t.refused('POST', runsPath(thread), body, { text: new RegExp(type) })
    }),
  ),
  check('runs.parallel-tool-calls.false', '§5 parallel_tool_calls', async (t) => {
    const mark = unique()
    const tools = [tool('f'), tool('g')]
    const run = await t.ran(`#calls f g ${mark}`, { parallel_tool_calls: false }, { tools })
    shows(run, { status: 'requires_action', parallel_tool_calls: false })
    // This model pays no heed to it.
    assert.equal(run.required_action?.submit_tool_outputs.tool_calls.length, 1)
    assert.equal(t.model.askedWith(mark)[0]?.parallel_tool_calls, false)
    const [step] = await t.steps(run)
    assert.ok(step?.step_details.type === 'tool_calls')
    assert.equal(step.step_details.tool_calls.length, 1)
    await t.cancelled(run)
  }),
  check('runs.parallel-tool-calls.true', '§5 parallel_tool_calls', async (t) => {
    const run = await t.asking('f', 'g')
    shows(run, { parallel_tool_calls: true })
    const names = run.required_action?.submit_tool_outputs.tool_calls.map((call) => call.function.name)
    assert.deepEqual(names, ['f', 'g'])
    await t.cancelled(run)
  }),
  check('runs.response-format.forms', '§5 response_format', async (t) => {
    const json_schema = { name: 'a_Z-9', schema: { type: 'object' }, strict: true, description: 'd' }
    const formats: OpenAI.Beta.AssistantResponseFormatOption[] = [
      'auto',
      { type: 'text' },
      { type: 'json_object' },
      { type: 'json_schema', json_schema },
    ]
    for (const response_format of formats) {
      const mark = unique()
      shows(await t.ran(mark, { response_format }), { response_format })
      const [asked] = t.model.askedWith(mark)
      if (response_format !== 'auto' && response_format.type !== 'text') {
        assert.deepEqual(asked?.response_format, response_format)
      }
    }
  }),
  check('runs.truncation.last-messages', '§5 truncation_strategy', async (t) => {
    const mark = unique()
    const { id } = await t.thread(...times(5, (n) => `${mark}-${n}`))
    const truncation_strategy = { type: 'last_messages' as const, last_messages: 2 }
    const { id: assistant_id } = await t.assistant({ instructions: 'Be brief.' })
    const run = await t.client.beta.threads.runs.createAndPoll(id, { assistant_id, truncation_strategy })
    shows(run, { status: 'completed', truncation_strategy })
    const seen = t.model.askedWith(mark)[0]?.messages.map(({ content }) => content)
    assert.deepEqual(seen, ['Be brief.', `${mark}-3`, `${mark}-4`])
  }),
  check('runs.truncation.auto-fits-the-window', '§5 truncation_strategy', async (t) => {
    const mark = unique()
    // More than any model takes: about 1.5 million tokens.
    const { id } = await t.thread(...times(24, () => 'word '.repeat(51_000)), `The newest ${mark}`)
    const { id: assistant_id } = await t.assistant({ instructions: 'Be brief.' })
    const run = await t.client.beta.threads.runs.createAndPoll(id, { assistant_id })
    shows(run, { status: 'completed', truncation_strategy: { type: 'auto', last_messages: null } })
    const seen = t.model.askedWith(mark)[0]?.messages ?? []
    assert.deepEqual(seen[0], { role: 'system', content: 'Be brief.' })
    assert.equal(seen.at(-1)?.content, `The newest ${mark}`)
    assert.ok(seen.length < 26, 'the oldest are left out')
  }),
  check('runs.truncation.no-call-without-its-output', '§5 truncation_strategy', async (t) => {
    const mark = unique()
    const run = await t.ran('#calls f', {}, { tools: [tool('f')] })
    await t.answered(run)
    await t.client.beta.threads.messages.create(run.thread_id, { role: 'user', content: mark })
    const truncation_strategy = { type: 'last_messages' as const, last_messages: 2 }
    const { threads } = t.client.beta
    await threads.runs.createAndPoll(run.thread_id, { assistant_id: run.assistant_id, truncation_strategy })
    const seen = t.model.askedWith(mark)[0]?.messages ?? []
    const called = seen.flatMap(({ tool_calls = [] }) => tool_calls.map(({ id }) => id))
    const answered = seen.flatMap(({ tool_call_id }) => tool_call_id ?? [])
    assert.deepEqual(answered, called)
  }),
  check('runs.budget.completion-by-length', [budget, '§5 incomplete_details'], async (t) => {
    const mark = unique()
    const run = await t.ran(`#length ${mark}`, { max_completion_tokens: 256 })
    const incomplete_details = { reason: 'max_completion_tokens' as const }
    shows(run, { status: 'incomplete', incomplete_details, max_completion_tokens: 256 })
    const [asked] = t.model.askedWith(mark)
    assert.equal(asked?.max_completion_tokens ?? asked?.max_tokens, 256)
  }),
  check('runs.budget.completion-over-all-turns', budget, async (t) => {
    const { ended, asked } = await spending(t, '20 300', { max_completion_tokens: 256 })
    shows(ended, { status: 'incomplete', incomplete_details: { reason: 'max_completion_tokens' } })
    assert.equal(asked.length, 1)
  }),
  check('runs.budget.completion-left-for-the-next-turn', budget, async (t) => {
    const { ended, asked } = await spending(t, '20 100', { max_completion_tokens: 300 })
    shows(ended, { status: 'completed' })
    assert.equal(asked[1]?.max_completion_tokens ?? asked[1]?.max_tokens, 200)
  }),
  check('runs.budget.prompt-over-all-turns', budget, async (t) => {
    const { ended, asked } = await spending(t, '300 20', { max_prompt_tokens: 256 })
    shows(ended, {
      status: 'incomplete',
      incomplete_details: { reason: 'max_prompt_tokens' },
      max_prompt_tokens: 256,
    })
    assert.equal(asked.length, 1)
  }),
  check('runs.budget.enough', budget, async (t) => {
    const { ended, asked } = await spending(t, '30 20', {
      max_prompt_tokens: 20_000,
      max_completion_tokens: 20_000,
    })
    shows(ended, { status: 'completed', max_prompt_tokens: 20_000, max_completion_tokens: 20_000 })
    assert.equal(asked.length, 2)
  }),
  check('runs.history.of-earlier-runs', '§4 Runs POST .../runs', async (t) => {
    const [mark, next] = [unique(), unique()]
    const run = await t.ran(mark)
    const additional_messages = [{ role: 'user' as const, content: next }]
    const { threads } = t.client.beta
    await threads.runs.createAndPoll(run.thread_id, { assistant_id: run.assistant_id, additional_messages })
    const texts = (await t.messages(run.thread_id)).map(textOf)
    const seen = t.model.askedWith(next)[0]?.messages.map(({ content }) => content)
    assert.deepEqual(seen, texts.slice(0, 3))
  }),
  check('runs.hosted-tools.a-run-goes-on-without', '§4 hosted tools', async (t) => {
    const tools = [{ type: 'file_search' as const }, { type: 'code_interpreter' as const }, tool('f')]
    const run = await t.ran('#calls f', {}, { tools })
    shows(run, { status: 'requires_action', tools })
    assert.equal((await t.answered(run)).status, 'completed')
  }),
]
