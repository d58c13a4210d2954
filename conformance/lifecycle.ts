import assert from 'node:assert/strict'
import { check, checkOfExpiry, shows, type Check } from './check.ts'
import { outputsOf, runPath, runsPath, textOf, tool, unique, type Run, type Target } from './target.ts'

// The nine statuses, and what a run shows in each (wire.md §5).

const cancel = '§4 Runs POST {run_id}/cancel'
const submit = '§4 Runs POST {run_id}/submit_tool_outputs'

const times = ['completed_at', 'failed_at', 'cancelled_at'] as const

/** Fails unless exactly this one of a run's times is set, and what belongs to other statuses is null. */
function ended(run: Run, at: (typeof times)[number] | null): void {
  const set = times.filter((name) => run[name] !== null)
  assert.deepEqual(set, at === null ? [] : [at])
  if (at !== null) assert.ok((run[at] ?? 0) >= run.created_at)
  shows(run, { expires_at: null, required_action: null })
}

const faults = [
  [400, 'invalid_prompt'],
  [404, 'invalid_prompt'],
  [429, 'rate_limit_exceeded'],
  [500, 'server_error'],
  [503, 'server_error'],
] as const

/** A run that has expired, with what it was asked: the same for all checks, since it takes its time. */
async function expired(t: Target, run: Run): Promise<Run> {
  return t.until(run, ({ status }) => status === 'expired', (t.ttl + 20) * 1_000)
}

export const lifecycleChecks: Check[] = [
  checkOfExpiry('status.expired.working', ['§5 status expired', '§5 expires_at', '§6 status'], async (t) => {
    const run = await expired(t, await t.created('#hang'))
    ended(run, null)
    shows(run, { last_error: null, incomplete_details: null })
    const [step] = await t.steps(run)
    assert.equal(step?.status, 'expired')
    assert.ok(step.expired_at)
    await t.refused('POST', `${runPath(run)}/cancel`, undefined, {
      text: "Cannot cancel run with status 'expired'.",
    })
    const message = (await t.messages(run.thread_id))[1]
    shows(message ?? {}, { status: 'incomplete', incomplete_details: { reason: 'run_expired' } } as object)
    assert.equal(textOf(message), 'Part')
  }),
  checkOfExpiry(
    'status.expired.waiting',
    ['§5 status expired', submit, '§9 submit in wrong state'],
    async (t) => {
      const asking = await t.asking('f')
      const run = await expired(t, asking)
      ended(run, null)
      const body = { tool_outputs: outputsOf(asking) }
      const text = 'Runs in status "expired" do not accept tool outputs.'
      await t.refused('POST', `${runPath(run)}/submit_tool_outputs`, body, { text, code: null, param: null })
      assert.equal((await t.steps(run))[0]?.status, 'expired')
    },
  ),
  check('status.queued', '§5 status queued', async (t) => {
    shows(await t.created('Hi.'), { status: 'queued', started_at: null, usage: null })
  }),
  check('status.in_progress', ['§5 status in_progress', '§5 started_at', '§5 expires_at'], async (t) => {
    const run = await t.hanging()
    shows(run, { status: 'in_progress', expires_at: run.created_at + t.ttl, usage: null })
    assert.ok((run.started_at ?? 0) >= run.created_at)
    await t.cancelled(run)
  }),
  check(
    'status.requires_action',
    ['§5 status requires_action', '§5 required_action', '§5 usage'],
    async (t) => {
      const run = await t.asking('f')
      const [call] = run.required_action?.submit_tool_outputs.tool_calls ?? []
      assert.match(call?.id ?? '', /^call_/)
      assert.deepEqual(run.required_action, {
        type: 'submit_tool_outputs',
        submit_tool_outputs: {
          tool_calls: [{ id: call?.id, type: 'function', function: { name: 'f', arguments: '{"n":1}' } }],
        },
      })
      assert.ok(run.started_at)
      assert.ok((run.expires_at ?? 0) > run.created_at)
      await t.cancelled(run)
    },
  ),
  check('status.cancelling', ['§5 status cancelling', cancel], async (t) => {
    const { id, thread_id } = await t.hanging()
    const run = await t.client.beta.threads.runs.cancel(id, { thread_id })
    shows(run, { id, status: 'cancelling', cancelled_at: null })
    await t.stopped(run)
  }),
  check('status.cancelled', ['§5 status cancelled', '§5 failed_at / cancelled_at', cancel], async (t) => {
    const run = await t.cancelled(await t.hanging())
    assert.equal(run.status, 'cancelled')
    ended(run, 'cancelled_at')
    assert.ok(run.started_at)
  }),
  check('status.cancelled.while-waiting', ['§5 status cancelled', cancel], async (t) => {
    const run = await t.cancelled(await t.asking('f'))
    assert.equal(run.status, 'cancelled')
    ended(run, 'cancelled_at')
    assert.equal((await t.steps(run))[0]?.status, 'cancelled')
  }),
  check('status.completed', ['§5 status completed', '§5 completed_at'], async (t) => {
    const run = await t.ran('Hi.')
    assert.equal(run.status, 'completed')
    ended(run, 'completed_at')
    shows(run, { last_error: null, incomplete_details: null })
  }),
  check(
    'status.incomplete',
    ['§5 status incomplete', '§5 completed_at', '§5 incomplete_details'],
    async (t) => {
      const run = await t.ran('#length')
      shows(run, {
        status: 'incomplete',
        incomplete_details: { reason: 'max_completion_tokens' },
        last_error: null,
      })
      ended(run, 'completed_at')
    },
  ),
  check('status.failed', ['§5 status failed', '§5 failed_at / cancelled_at', '§5 last_error'], async (t) => {
    const run = await t.ran('#status 500')
    assert.equal(run.status, 'failed')
    ended(run, 'failed_at')
    assert.ok(run.last_error?.message)
  }),
  ...faults.map(([status, code]) =>
    check(`faults.${status}-is-${code}`, ['§5 backend faults', '§5 last_error'], async (t) => {
      const run = await t.ran(`#status ${status}`)
      assert.deepEqual([run.status, run.last_error?.code], ['failed', code])
    }),
  ),
  check('faults.broken-off-is-server_error', '§5 backend faults', async (t) => {
    const run = await t.ran('#cut')
    assert.deepEqual([run.status, run.last_error?.code], ['failed', 'server_error'])
  }),
  check('faults.tell-no-secret', '§5 backend faults', async (t) => {
    const run = await t.ran('#leak')
    assert.equal(run.status, 'failed')
    const told = run.last_error?.message ?? ''
    assert.ok(t.model.key === null || !told.includes(t.model.key), 'the key of the backend')
    assert.doesNotMatch(told, /\bat .*:\d+:\d+/)
  }),
  check('run.usage-is-the-sum-of-its-steps', ['§5 usage', '§6 usage'], async (t) => {
    const asking = await t.ran('#calls f #usage 100 7', {}, { tools: [tool('f')] })
    const run = await t.answered(asking)
    const used = (await t.steps(run)).map(({ usage }) => usage)
    assert.deepEqual(used[0], { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107 })
    const sum = (name: 'prompt_tokens' | 'completion_tokens' | 'total_tokens') =>
      used.reduce((total, usage) => total + (usage?.[name] ?? NaN), 0)
    const [prompt_tokens, completion_tokens] = [sum('prompt_tokens'), sum('completion_tokens')]
    shows(run.usage ?? {}, { prompt_tokens, completion_tokens, total_tokens: sum('total_tokens') } as object)
  }),
  check('run.started-at-is-kept', '§5 started_at', async (t) => {
    const asking = await t.asking('f')
    const body = { thread_id: asking.thread_id, tool_outputs: outputsOf(asking) }
    const queued = await t.client.beta.threads.runs.submitToolOutputs(asking.id, body)
    assert.equal(queued.started_at, asking.started_at)
    assert.equal((await t.stopped(queued)).started_at, asking.started_at)
  }),
  check('run.required-action-ends', ['§5 required_action', submit], async (t) => {
    const asking = await t.asking('f', 'g')
    const body = { thread_id: asking.thread_id, tool_outputs: outputsOf(asking) }
    const queued = await t.client.beta.threads.runs.submitToolOutputs(asking.id, body)
    shows(queued, { status: 'queued', required_action: null })
    shows(await t.stopped(queued), { status: 'completed', required_action: null })
  }),
  check('run.submit-restarts-the-deadline', '§5 expires_at', async (t) => {
    const asking = await t.ran('#rounds 2 f', {}, { tools: [tool('f')] })
    // Times are whole seconds.
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    const again = await t.answered(asking)
    assert.equal(again.status, 'requires_action')
    assert.ok((again.expires_at ?? 0) > (asking.expires_at ?? 0))
    await t.cancelled(again)
  }),
  check('run.three-rounds', [submit, '§5 status requires_action'], async (t) => {
    let run = await t.ran('#rounds 3 f', {}, { tools: [tool('f')] })
    const seen = new Set<string>()
    for (let round = 0; round < 3; round++) {
      assert.equal(run.status, 'requires_action')
      for (const { tool_call_id } of outputsOf(run)) seen.add(tool_call_id)
      run = await t.answered(run)
    }
    assert.equal(run.status, 'completed')
    assert.equal(seen.size, 3)
  }),
  check('run.outputs-reach-the-model', submit, async (t) => {
    const mark = unique()
    const asking = await t.ran(`#calls f g ${mark}`, {}, { tools: [tool('f'), tool('g')] })
    await t.answered(asking)
    const outputs = outputsOf(asking)
    const seen = t.model.askedWith(mark)[1]?.messages ?? []
    assert.deepEqual(
      seen.slice(-2).map(({ role, content }) => [role, content]),
      outputs.map(({ output }) => ['tool', output]),
    )
    assert.deepEqual(
      seen.at(-3)?.tool_calls?.map(({ id }) => id),
      seen.slice(-2).map(({ tool_call_id }) => tool_call_id),
    )
  }),
  check('run.text-before-calls', '§5 text before calls', async (t) => {
    const run = await t.ran('#say-calls f', {}, { tools: [tool('f')] })
    assert.equal(run.status, 'requires_action')
    const steps = await t.steps(run)
    assert.deepEqual(
      steps.map(({ type, status }) => [type, status]),
      [
        ['message_creation', 'completed'],
        ['tool_calls', 'in_progress'],
      ],
    )
    assert.equal(textOf((await t.messages(run.thread_id))[1]), 'One moment.')
    await t.cancelled(run)
  }),
  check('run.created-at', '§5 created_at', async (t) => {
    const run = await t.created('Hi.')
    assert.ok(Number.isInteger(run.created_at))
    assert.ok(Math.abs(run.created_at - Date.now() / 1000) < 300, 'seconds')
    assert.equal((await t.stopped(run)).created_at, run.created_at)
  }),
  check('lock.locked', '§10 locked', async (t) => {
    const run = await t.asking('f')
    const path = `/v1/threads/${run.thread_id}/messages`
    const [message] = await t.messages(run.thread_id)
    await t.refused('POST', path, { role: 'user', content: 'x' }, { text: /while a run .* is active/ })
    await t.refused('DELETE', `${path}/${message?.id}`, undefined, { text: new RegExp(run.id) })
    const again = { assistant_id: run.assistant_id }
    await t.refused('POST', runsPath(run.thread_id), again, { text: /already has an active run/ })
    assert.equal((await t.messages(run.thread_id)).length, 1)
    await t.cancelled(run)
  }),
  check('lock.open', '§10 open', async (t) => {
    const run = await t.hanging()
    const { thread_id } = run
    const [message] = await t.messages(thread_id)
    const paths = [
      `/v1/threads/${thread_id}`,
      `/v1/threads/${thread_id}/messages/${message?.id}`,
      runPath(run),
    ]
    for (const path of paths) {
      assert.equal((await t.get(path)).status, 200)
      assert.equal((await t.post(path, { metadata: { a: 'b' } })).status, 200)
    }
    assert.equal((await t.steps(run)).length <= 1, true)
    assert.equal((await t.cancelled(run)).status, 'cancelled')
  }),
  ...(['Hi.', '#length', '#status 500', '#hang'] as const).map((text) =>
    check(
      `lock.ends-with-a-run-told-${text.replaceAll(/\W+/g, '-').replaceAll(/^-|-$/g, '')}`,
      '§10 lock ends with the run',
      async (t) => {
        const { assistant, thread } = await t.ready(text)
        const { runs } = t.client.beta.threads
        const stream = await runs.create(thread, { assistant_id: assistant, stream: true })
        for await (const { event, data } of stream) {
          if (event === 'thread.run.in_progress' && text === '#hang')
            await runs.cancel(data.id, { thread_id: thread })
          if (!/^thread\.run\.(completed|incomplete|failed|cancelled)$/.test(event)) continue
          // The stream is still open.
          const next = await t.post<Run>(runsPath(thread), { assistant_id: assistant })
          assert.equal(next.status, 200, next.text)
          await t.cancelled(next.json).catch(() => undefined)
        }
      },
    ),
  ),
]
