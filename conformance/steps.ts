import assert from 'node:assert/strict'
import { check, shows, type Check } from './check.ts'
import { outputsOf, runPath, textOf, tool, type Run } from './target.ts'

const list = '§4 Runs GET {run_id}/steps , /steps/{step_id}'
const content = 'step_details.tool_calls[*].file_search.results[*].content'

const nothing = {
  expired_at: null,
  cancelled_at: null,
  failed_at: null,
  completed_at: null,
  last_error: null,
}

/** The fields that a step has of its run. */
const of = ({ id, thread_id, assistant_id }: Run) => ({ run_id: id, thread_id, assistant_id })

export const stepChecks: Check[] = [
  check('steps.message-creation', ['§6 type / step_details', list], async (t) => {
    const run = await t.ran('Hi.')
    const [step, ...more] = await t.steps(run)
    assert.ok(step && more.length === 0)
    assert.match(step.id, /^step_/)
    const message_id = (await t.messages(run.thread_id))[1]?.id ?? ''
    shows(step, {
      ...nothing,
      ...of(run),
      object: 'thread.run.step',
      type: 'message_creation',
      status: 'completed',
      step_details: { type: 'message_creation', message_creation: { message_id } },
      completed_at: step.completed_at,
      metadata: {},
    })
    assert.ok((step.completed_at ?? 0) >= step.created_at)
  }),
  check(
    'steps.function-calls',
    ['§6 type / step_details', '§6 tool call kinds', '§6 function step'],
    async (t) => {
      const asking = await t.asking('f', 'g')
      const calls = asking.required_action?.submit_tool_outputs.tool_calls ?? []
      const [waiting] = await t.steps(asking)
      assert.ok(waiting)
      shows(waiting, {
        ...nothing,
        ...of(asking),
        type: 'tool_calls',
        status: 'in_progress',
        usage: null,
        step_details: {
          type: 'tool_calls',
          tool_calls: calls.map((call) => ({ ...call, function: { ...call.function, output: null } })),
        },
      })
      const run = await t.answered(asking)
      const [step] = await t.steps(run)
      const outputs = outputsOf(asking)
      assert.deepEqual(step?.step_details, {
        type: 'tool_calls',
        tool_calls: calls.map((call, index) => ({
          ...call,
          function: { ...call.function, output: outputs[index]?.output },
        })),
      })
      shows(step, { status: 'completed', id: waiting.id })
      assert.ok(step.completed_at)
    },
  ),
  check('steps.completed-by-the-submit', '§6 function step', async (t) => {
    const asking = await t.ran('#rounds 2 f', {}, { tools: [tool('f')] })
    const again = await t.answered(asking)
    assert.deepEqual(
      (await t.steps(again)).map(({ status }) => status),
      ['completed', 'in_progress'],
    )
    await t.cancelled(again)
  }),
  check('steps.one-a-turn', '§6 function step', async (t) => {
    const asking = await t.ran('#rounds 2 f', {}, { tools: [tool('f')] })
    const run = await t.answered(await t.answered(asking))
    assert.deepEqual(
      (await t.steps(run)).map(({ type, status }) => [type, status]),
      [
        ['tool_calls', 'completed'],
        ['tool_calls', 'completed'],
        ['message_creation', 'completed'],
      ],
    )
  }),
  check('steps.usage', '§6 usage', async (t) => {
    const run = await t.ran('Hi. #usage 90 11')
    const [step] = await t.steps(run)
    assert.deepEqual(step?.usage, { prompt_tokens: 90, completion_tokens: 11, total_tokens: 101 })
  }),
  check('steps.cut-by-tokens-is-completed', ['§6 status', '§6 times'], async (t) => {
    const [step] = await t.steps(await t.ran('#length'))
    assert.equal(step?.status, 'completed')
    assert.ok(step.completed_at)
  }),
  check('steps.expires-at-is-sent', '§6 times', async (t) => {
    const [step] = await t.steps(await t.ran('Hi.'))
    assert.ok(step && 'expires_at' in step)
    assert.ok(step.expires_at === null || Number.isInteger(step.expires_at))
  }),
  check('steps.failed', ['§6 status', '§6 times', '§6 last_error'], async (t) => {
    const run = await t.ran('#cut')
    const [step] = await t.steps(run)
    assert.ok(step)
    shows(step, { ...nothing, status: 'failed', failed_at: step.failed_at, last_error: step.last_error })
    assert.ok(step.failed_at)
    assert.equal(step.last_error?.code, 'server_error')
    assert.equal(textOf((await t.messages(run.thread_id))[1]), 'Part')
  }),
  check('steps.cancelled', ['§6 status', '§6 times'], async (t) => {
    const asking = await t.cancelled(await t.asking('f'))
    const [step] = await t.steps(asking)
    assert.ok(step)
    shows(step, { ...nothing, status: 'cancelled', cancelled_at: step.cancelled_at })
    assert.ok(step.cancelled_at)
  }),
  check('steps.none-without-output', '§6 last_error', async (t) => {
    // A step knows no invalid_prompt: what is refused at once has no step that could say it.
    const run = await t.ran('#status 400')
    assert.equal(run.last_error?.code, 'invalid_prompt')
    for (const { last_error } of await t.steps(run))
      assert.notEqual(last_error?.code as string, 'invalid_prompt')
  }),
  check('steps.retrieve', list, async (t) => {
    const run = await t.ran('Hi.')
    const [step] = await t.steps(run)
    const { id: run_id, thread_id } = run
    const { steps } = t.client.beta.threads.runs
    assert.deepEqual(await steps.retrieve(step?.id ?? '', { run_id, thread_id }), step)
    const path = `${runPath(run)}/steps/step_none`
    const unknown = {
      status: 404,
      text: /^No (run )?step found with id 'step_none'\.$/,
      code: null,
      param: null,
    }
    await t.refused('GET', path, undefined, unknown)
  }),
  check('steps.of-another-run', list, async (t) => {
    const [run, other] = await Promise.all([t.ran('Hi.'), t.ran('Ho.')])
    const [step] = await t.steps(other)
    await t.refused('GET', `${runPath(run)}/steps/${step?.id}`, undefined, { status: 404 })
  }),
  check('steps.include', [list, '§1 Arrays in query'], async (t) => {
    const run = await t.ran('Hi.')
    const [step] = await t.steps(run)
    const value = encodeURIComponent(content)
    for (const query of [
      `include[]=${value}`,
      `include%5B%5D=${value}`,
      `include=${value}`,
      `include[]=${value}&include[]=${value}`,
    ]) {
      for (const path of [`${runPath(run)}/steps`, `${runPath(run)}/steps/${step?.id}`]) {
        const { status, text } = await t.get(`${path}?${query}`)
        assert.equal(status, 200, `${query}: ${text}`)
      }
    }
    await t.refused('GET', `${runPath(run)}/steps?include[]=everything`, undefined, { code: 'invalid_value' })
  }),
  check('steps.odd-ids-of-a-backend-are-mapped', '§2 tool call', async (t) => {
    const run = await t.ran('#odd-calls f', {}, { tools: [tool('f')] })
    const [call] = run.required_action?.submit_tool_outputs.tool_calls ?? []
    assert.match(call?.id ?? '', /^call_[A-Za-z0-9]{24}$/)
    assert.equal((await t.answered(run)).status, 'completed')
  }),
]
