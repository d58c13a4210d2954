import assert from 'node:assert/strict'
import { check, type Check } from './check.ts'
import {
  ask,
  assertRun,
  assertStep,
  failed,
  faults,
  got,
  gotRun,
  seedAgent,
  stoppedRun,
  type MemgptRun,
  type MemgptStep,
} from './memgpt-client.ts'
import { runPath, runsPath, textOf, tool, unique, type Run, type Target } from './target.ts'

// The nine operations of the seed, in the memgpt dialect.

const seed = (name: string) => `seed ${name}`
const cancelRun = seed('cancelRunV1ThreadsThreadIdRunsRunIdCancelPost')
const createRun = seed('createRunV1ThreadsThreadIdRunsPost')
const createThreadAndRun = seed('createThreadAndRunV1ThreadsRunsPost')
const listRunSteps = seed('listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet')
const listRuns = seed('listRunsV1ThreadsThreadIdRunsGet')
const modifyRun = seed('modifyRunV1ThreadsThreadIdRunsRunIdPost')
const retrieveRunStep = seed('retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet')
const retrieveRun = seed('retrieveRunV1ThreadsThreadIdRunsRunIdGet')
const submitOutputs = seed('submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost')

/** Creates a run as the seed's client does, on a thread whose newest message is `text`. */
async function created(
  t: Target,
  text: string,
  body: object = {},
  assistant: object = {},
): Promise<MemgptRun> {
  const ids = await t.ready(text, assistant)
  return gotRun(t, 'POST', runsPath(ids.thread), { assistant_id: ids.assistant, instructions: '', ...body })
}

const pathOf = (run: MemgptRun) => runPath(run as unknown as Run)

/** A run that waits for the output of `f`. */
async function asking(t: Target): Promise<MemgptRun> {
  const run = await stoppedRun(t, await created(t, '#calls f', {}, { tools: [tool('f')] }))
  assert.equal(run.status, 'requires_action')
  return run
}

const outputsOf = (run: MemgptRun) =>
  (run.required_action?.submit_tool_outputs ?? []).map(({ id }) => ({ tool_call_id: id, output: `of ${id}` }))

async function cancelled(t: Target, run: MemgptRun): Promise<MemgptRun> {
  await ask(t, 'POST', `${pathOf(run)}/cancel`)
  return stoppedRun(t, run)
}

/** Three runs of one thread, oldest first. */
async function threeRuns(t: Target): Promise<{ path: string; ids: string[] }> {
  const { assistant, thread } = await t.ready('Hi.')
  const ids: string[] = []
  for (let n = 0; n < 3; n++) {
    const run = await t.client.beta.threads.runs.create(thread, { assistant_id: assistant })
    ids.push((await t.stopped(run)).id)
  }
  return { path: runsPath(thread), ids }
}

const operations: Check[] = [
  check('memgpt.create-run', [createRun, 'memgpt run object'], async (t) => {
    const run = await created(t, 'Hi.', { metadata: { a: 'b' } }, { instructions: 'Be brief.' })
    assert.deepEqual([run.status, run.instructions, run.metadata], ['queued', 'Be brief.', { a: 'b' }])
    assert.equal(run.expires_at, run.created_at + t.ttl)
    assert.deepEqual([run.tools ?? [], run.usage, run.required_action], [[], null, null])
    assert.equal((await stoppedRun(t, run)).status, 'completed')
  }),
  check('memgpt.create-run.fields', createRun, async (t) => {
    const mark = unique()
    const body = { model: 'another', instructions: 'Be long.', additional_instructions: 'Rhyme.' }
    const run = await created(t, mark, body)
    assert.deepEqual([run.model, run.instructions], ['another', 'Be long.\n\nRhyme.'])
    await stoppedRun(t, run)
    const [asked] = t.model.askedWith(mark)
    assert.deepEqual([asked?.model, asked?.messages[0]?.content], ['another', 'Be long.\n\nRhyme.'])
  }),
  check('memgpt.create-run.tools', createRun, async (t) => {
    const mark = unique()
    const parameters = { type: 'object', properties: { city: { type: 'string' } } }
    const tools = [
      { id: 'x', type: 'function', function: { name: 'weather', arguments: JSON.stringify(parameters) } },
      { type: 'function', function: { name: 'defined', parameters } },
    ]
    const run = await stoppedRun(t, await created(t, mark, { tools }))
    assert.deepEqual(run.tools ?? [], [])
    const seen = t.model.askedWith(mark)[0]?.tools as { function: { name: string; parameters: object } }[]
    assert.deepEqual(
      seen.map(({ function: { name, parameters: shown } }) => [name, shown]),
      [
        ['weather', parameters],
        ['defined', parameters],
      ],
    )
  }),
  check('memgpt.create-thread-and-run', createThreadAndRun, async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const body = { assistant_id: assistant, model: '', instructions: '' }
    const there = { id: thread, object: 'thread', created_at: 1, metadata: {} }
    const run = await gotRun(t, 'POST', '/v1/threads/runs', { ...body, thread: there })
    assert.deepEqual([run.thread_id, run.model], [thread, t.options.modelName])
    assert.equal((await stoppedRun(t, run)).status, 'completed')
  }),
  check('memgpt.create-thread-and-run.a-new-thread', createThreadAndRun, async (t) => {
    const { id } = await t.assistant()
    const fresh = { id: 'thread_that_is_not_there', object: 'thread', created_at: 1, metadata: { k: 'v' } }
    const body = { assistant_id: id, model: 'm', instructions: 'Be brief.', thread: fresh }
    const run = await gotRun(t, 'POST', '/v1/threads/runs', body)
    assert.notEqual(run.thread_id, fresh.id)
    assert.deepEqual((await t.client.beta.threads.retrieve(run.thread_id)).metadata, { k: 'v' })
    await stoppedRun(t, run)
    const messages = [{ role: 'user', content: 'From v2.' }]
    const second = await gotRun(t, 'POST', '/v1/threads/runs', { ...body, thread: { messages } })
    await stoppedRun(t, second)
    assert.equal(textOf((await t.messages(second.thread_id))[0]), 'From v2.')
  }),
  check('memgpt.list-runs', [listRuns, 'memgpt lists'], async (t) => {
    const { path, ids } = await threeRuns(t)
    const runs = await got<MemgptRun[]>(t, 'GET', path)
    runs.forEach(assertRun)
    assert.deepEqual(
      runs.map(({ id }) => id),
      ids,
    )
  }),
  check('memgpt.list-runs.queries', [listRuns, 'memgpt lists'], async (t) => {
    const { path, ids } = await threeRuns(t)
    const [a, b, c] = ids
    const cases: [string, (string | undefined)[]][] = [
      ['order=desc', [c, b, a]],
      ["order='desc'", [c, b, a]],
      ["order='asc'&limit=2", [a, b]],
      ['limit=0', []],
      ['limit=1000000', [a, b, c]],
      [`after=${a}`, [b, c]],
      [`before=${c}`, [a, b]],
      [`after=${a}&before=${c}`, [b]],
    ]
    for (const [query, expected] of cases) {
      const runs = await got<MemgptRun[]>(t, 'GET', `${path}?${query}`)
      assert.deepEqual(
        runs.map(({ id }) => id),
        expected,
        query,
      )
    }
  }),
  check('memgpt.list-runs.bad-queries', [listRuns, 'memgpt errors'], async (t) => {
    const { id } = await t.thread()
    for (const query of ['limit=-1', 'limit=x', 'limit=1.5', 'order=up']) {
      const [fault] = await faults(t, 'GET', `${runsPath(id)}?${query}`)
      assert.deepEqual(fault?.loc, ['query', query.split('=')[0]])
    }
    await failed(t, { status: 404, text: /run_none/ }, 'GET', `${runsPath(id)}?after=run_none`)
  }),
  check('memgpt.list-runs.more-than-a-hundred', 'memgpt lists', async (t) => {
    const { id } = await t.thread()
    assert.deepEqual(await got(t, 'GET', `${runsPath(id)}?limit=1000`), [])
  }),
  check('memgpt.list-run-steps', [listRunSteps, 'memgpt lists'], async (t) => {
    const waiting = await asking(t)
    const run = await stoppedRun(t, await submit(t, waiting))
    const steps = await got<MemgptStep[]>(t, 'GET', `${pathOf(run)}/steps`)
    steps.forEach(assertStep)
    const message_id = (await t.messages(run.thread_id))[1]?.id
    assert.deepEqual(
      steps.map(({ step_defaults }) => step_defaults),
      [
        { type: 'tool_calls', tool_calls: waiting.required_action?.submit_tool_outputs },
        { type: 'message_creation', message_id },
      ],
    )
    const newest = await got<MemgptStep[]>(t, 'GET', `${pathOf(run)}/steps?limit=1&order=desc`)
    assert.deepEqual(newest, steps.slice(1))
  }),
  check('memgpt.retrieve-run-step', retrieveRunStep, async (t) => {
    const run = await stoppedRun(t, await created(t, 'Hi.'))
    const [step] = await got<MemgptStep[]>(t, 'GET', `${pathOf(run)}/steps`)
    const alone = await got<MemgptStep>(t, 'GET', `${pathOf(run)}/steps/${step?.id}`)
    assertStep(alone)
    assert.deepEqual(alone, step)
    await failed(t, { status: 404, text: /step_none/ }, 'GET', `${pathOf(run)}/steps/step_none`)
  }),
  check('memgpt.retrieve-run', [retrieveRun, 'memgpt run object'], async (t) => {
    const run = await stoppedRun(t, await created(t, 'Hi. #usage 20 4'))
    assert.equal(run.status, 'completed')
    assert.deepEqual(run.usage, { prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 })
    assert.equal(run.expires_at, run.created_at + t.ttl, 'never null')
    assert.ok(run.started_at && run.completed_at)
    assert.deepEqual([run.cancelled_at, run.failed_at, run.last_error], [null, null, null])
  }),
  check('memgpt.retrieve-run.failed', [retrieveRun, 'memgpt run object'], async (t) => {
    const run = await stoppedRun(t, await created(t, '#status 429'))
    assert.deepEqual([run.status, run.last_error?.code], ['failed', 'rate_limit_exceeded'])
    assert.deepEqual(Object.keys(run.last_error ?? {}).toSorted(), ['code', 'message'])
  }),
  check('memgpt.modify-run', modifyRun, async (t) => {
    const run = await stoppedRun(t, await created(t, 'Hi.'))
    const noted = await gotRun(t, 'POST', pathOf(run), { metadata: { a: 'b' } })
    assert.deepEqual(noted, { ...run, metadata: { a: 'b' } })
  }),
  check('memgpt.cancel-run', cancelRun, async (t) => {
    const run = await created(t, '#hang')
    const stopping = await gotRun(t, 'POST', `${pathOf(run)}/cancel`)
    assert.match(stopping.status, /^cancell(ing|ed)$/)
    const ended = await stoppedRun(t, run)
    assert.equal(ended.status, 'cancelled')
    assert.ok(ended.cancelled_at)
  }),
  check('memgpt.submit-tool-outputs', [submitOutputs, 'memgpt run object'], async (t) => {
    const run = await asking(t)
    const [call] = run.required_action?.submit_tool_outputs ?? []
    assert.equal(run.required_action?.type, 'submit_tool_outputs')
    assert.deepEqual([call?.type, call?.function], ['function', { name: 'f', arguments: '{"n":1}' }])
    assert.deepEqual(run.tools, [call], 'calls, not definitions')
    const queued = await submit(t, run)
    assert.deepEqual([queued.status, queued.required_action], ['queued', null])
    const ended = await stoppedRun(t, run)
    assert.deepEqual([ended.status, ended.tools], ['completed', [call]])
  }),
  check('memgpt.submit-tool-outputs.by-the-name-of-v2', submitOutputs, async (t) => {
    const run = await asking(t)
    const path = `${pathOf(run)}/submit_tool_outputs`
    const both = { tools_outputs: outputsOf(run), tool_outputs: outputsOf(run) }
    await faults(t, 'POST', path, both)
    await gotRun(t, 'POST', path, { tool_outputs: outputsOf(run) })
    assert.equal((await stoppedRun(t, run)).status, 'completed')
  }),
]

function submit(t: Target, run: MemgptRun): Promise<MemgptRun> {
  return gotRun(t, 'POST', `${pathOf(run)}/submit_tool_outputs`, { tools_outputs: outputsOf(run) })
}

const errors: Check[] = [
  check('memgpt.errors.invalid-bodies', ['memgpt errors', createRun, createThreadAndRun], async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const path = runsPath(thread)
    const [missing] = await faults(t, 'POST', path, { instructions: 'x' })
    assert.deepEqual(
      [missing?.type, missing?.loc, missing?.msg],
      ['missing', ['body', 'assistant_id'], 'Field required'],
    )
    const cases: [string, object, (string | number)[]][] = [
      [path, { assistant_id: assistant }, ['body', 'instructions']],
      [path, { assistant_id: 7, instructions: '' }, ['body', 'assistant_id']],
      ['/v1/threads/runs', { assistant_id: assistant, instructions: '', model: '' }, ['body', 'thread']],
      ['/v1/threads/runs', { assistant_id: assistant, instructions: '', thread: {} }, ['body', 'model']],
    ]
    for (const [at, body, loc] of cases) {
      const found = await faults(t, 'POST', at, body)
      assert.deepEqual(found.map((fault) => fault.loc)[0], loc)
    }
    await faults(t, 'POST', path, { assistant_id: assistant, instructions: '', tools: [{ id: 'x' }] })
  }),
  check('memgpt.errors.unknown-ids', 'memgpt errors', async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const body = { assistant_id: assistant, instructions: '' }
    const unknown = (noun: string, id: string) => ({ status: 404, text: `No ${noun} found with id '${id}'.` })
    await failed(t, unknown('run', 'run_none'), 'GET', `${runsPath(thread)}/run_none`)
    await failed(t, unknown('run', 'run_none'), 'POST', `${runsPath(thread)}/run_none/cancel`)
    await failed(t, unknown('thread', 'thread_none'), 'GET', runsPath('thread_none'))
    await failed(t, unknown('thread', 'thread_none'), 'POST', runsPath('thread_none'), body)
    const nobody = { ...body, assistant_id: 'asst_none' }
    await failed(t, unknown('assistant', 'asst_none'), 'POST', runsPath(thread), nobody)
  }),
  check('memgpt.errors.wrong-states', ['memgpt errors', cancelRun, submitOutputs], async (t) => {
    const run = await asking(t)
    const body = { assistant_id: run.assistant_id, instructions: '' }
    const active = `Thread ${run.thread_id} already has an active run ${run.id}.`
    await failed(t, { status: 400, text: active }, 'POST', runsPath(run.thread_id), body)
    const [call] = outputsOf(run)
    const differ = `Expected tool outputs for call_ids ['${call?.tool_call_id}'], got ['call_x']`
    const outputs = { tools_outputs: [{ tool_call_id: 'call_x', output: '' }] }
    const path = `${pathOf(run)}/submit_tool_outputs`
    await failed(t, { status: 400, text: differ }, 'POST', path, outputs)
    await cancelled(t, run)
    const late = "Cannot cancel run with status 'cancelled'."
    await failed(t, { status: 400, text: late }, 'POST', `${pathOf(run)}/cancel`)
    await failed(t, { status: 400, text: /^Runs in status "cancelled"/ }, 'POST', path, outputs)
  }),
  check('memgpt.trailing-slash', retrieveRun, async (t) => {
    const run = await stoppedRun(t, await created(t, 'Hi.'))
    assert.deepEqual(await gotRun(t, 'GET', `${pathOf(run)}/`), run)
  }),
]

const dialects: Check[] = [
  check('memgpt.both-dialects.made-there-read-here', 'memgpt both dialects', async (t) => {
    const run = await asking(t)
    const seen = await t.now({ id: run.id, thread_id: run.thread_id } as Run)
    assert.deepEqual(seen.tools, [tool('f')])
    assert.equal((await t.answered(seen)).status, 'completed')
  }),
  check('memgpt.both-dialects.made-here-read-there', 'memgpt both dialects', async (t) => {
    const run = await t.asking('f')
    const seen = await gotRun(t, 'GET', runPath(run))
    assert.equal(seen.status, 'requires_action')
    await submit(t, seen)
    assert.equal((await t.stopped(run)).status, 'completed')
  }),
  ...(
    [
      ['nothing', {}, true],
      ['the-seed-client', seedAgent, true],
      ['the-beta-header', { 'openai-beta': 'assistants=v2' }, false],
      ['the-header-of-an-sdk', { 'x-stainless-lang': 'js' }, false],
      ['an-api-key-header', { 'api-key': 'x' }, false],
      ['the-seed-client-with-the-beta-header', { ...seedAgent, 'openai-beta': 'assistants=v2' }, false],
      ['an-override', { 'openai-beta': 'assistants=v2', 'x-assistants-dialect': 'memgpt' }, true],
      ['an-override-to-v2', { 'x-assistants-dialect': 'openai' }, false],
    ] as const
  ).map(([sign, headers, isMemgpt]) =>
    check(`memgpt.detection.${sign}`, 'memgpt detection', async (t) => {
      const { id } = await t.thread()
      const { json, headers: answer } = await ask<unknown>(t, 'GET', runsPath(id), undefined, headers)
      assert.equal(Array.isArray(json), isMemgpt)
      assert.equal(answer.get('x-assistants-dialect'), isMemgpt ? 'memgpt' : 'openai')
    }),
  ),
]

export const memgptChecks: Check[] = [...operations, ...errors, ...dialects]
