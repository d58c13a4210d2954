import assert from 'node:assert/strict'
import { check, checkOfExpiry, shows, type Check } from './check.ts'
import { runPath, runsPath, textOf, type Run, type Target } from './target.ts'
import { dataOf, transcript, type StreamEvent, type TranscriptName } from './transcripts.ts'

// wire.md §7: the order of the reference transcripts, each event by name, and what holds for all.

const created = ['thread.run.created', 'thread.run.queued', 'thread.run.in_progress']
const stepOpen = ['thread.run.step.created', 'thread.run.step.in_progress']
const messageOpen = [
  ...stepOpen,
  'thread.message.created',
  'thread.message.in_progress',
  'thread.message.delta',
]
const plain = [
  ...messageOpen,
  'thread.message.completed',
  'thread.run.step.completed',
  'thread.run.completed',
]
const afterPart = (step: string, run: string) => [
  ...created,
  ...messageOpen,
  'thread.message.incomplete',
  `thread.run.step.${step}`,
  `thread.run.${run}`,
]

/** Row, transcript, and the names in their order; a row of deltas counts as one. */
const orders: [string, TranscriptName, string[]][] = [
  ['§7 i-plain-text', 'plain', [...created, ...plain]],
  [
    '§7 ii-a tools',
    'tools',
    [...created, ...stepOpen, 'thread.run.step.delta', 'thread.run.requires_action'],
  ],
  [
    '§7 ii-b submit, stream:true',
    'submit',
    ['thread.run.step.completed', 'thread.run.queued', 'thread.run.in_progress', ...plain],
  ],
  ['§7 iii-failed', 'failed', afterPart('failed', 'failed')],
  ['§7 v-incomplete', 'incomplete', afterPart('completed', 'incomplete')],
  ['§7 vii-thread-and-run', 'thread-and-run', ['thread.created', ...created, ...plain]],
]

/** Each event, a transcript that must have it, and what its object shows. */
const events: [StreamEvent['event'], TranscriptName, object][] = [
  ['thread.created', 'thread-and-run', { object: 'thread', metadata: { a: 'b' } }],
  ['thread.run.created', 'plain', { object: 'thread.run', status: 'queued', started_at: null }],
  ['thread.run.queued', 'plain', { object: 'thread.run', status: 'queued', started_at: null }],
  ['thread.run.in_progress', 'plain', { object: 'thread.run', status: 'in_progress', usage: null }],
  [
    'thread.run.requires_action',
    'tools',
    { object: 'thread.run', status: 'requires_action', last_error: null },
  ],
  ['thread.run.completed', 'plain', { object: 'thread.run', status: 'completed', expires_at: null }],
  [
    'thread.run.incomplete',
    'incomplete',
    { status: 'incomplete', incomplete_details: { reason: 'max_completion_tokens' } },
  ],
  ['thread.run.failed', 'failed', { object: 'thread.run', status: 'failed', completed_at: null }],
  ['thread.run.cancelling', 'cancelled', { object: 'thread.run', status: 'cancelling', cancelled_at: null }],
  ['thread.run.cancelled', 'cancelled', { object: 'thread.run', status: 'cancelled', expires_at: null }],
  ['thread.run.step.created', 'plain', { object: 'thread.run.step', status: 'in_progress', usage: null }],
  ['thread.run.step.in_progress', 'plain', { object: 'thread.run.step', status: 'in_progress', usage: null }],
  ['thread.run.step.delta', 'tools', { object: 'thread.run.step.delta' }],
  ['thread.run.step.completed', 'plain', { object: 'thread.run.step', status: 'completed', failed_at: null }],
  ['thread.run.step.failed', 'failed', { object: 'thread.run.step', status: 'failed', completed_at: null }],
  [
    'thread.run.step.cancelled',
    'cancelled',
    { object: 'thread.run.step', status: 'cancelled', completed_at: null },
  ],
  ['thread.message.created', 'plain', { object: 'thread.message', status: 'in_progress', content: [] }],
  ['thread.message.in_progress', 'plain', { object: 'thread.message', status: 'in_progress', content: [] }],
  ['thread.message.delta', 'plain', { object: 'thread.message.delta' }],
  [
    'thread.message.completed',
    'plain',
    { object: 'thread.message', status: 'completed', incomplete_at: null },
  ],
  [
    'thread.message.incomplete',
    'incomplete',
    { status: 'incomplete', incomplete_details: { reason: 'max_tokens' }, completed_at: null },
  ],
]

const all: TranscriptName[] = [
  'plain',
  'tools',
  'submit',
  'failed',
  'failed-early',
  'cancelled',
  'incomplete',
  'thread-and-run',
  'text-then-calls',
]

/** Names without `cancelling`, which may come at any time. */
const settled = (names: string[]) => names.filter((name) => name !== 'thread.run.cancelling')

async function shown(
  t: Target,
  name: TranscriptName,
  event: StreamEvent['event'],
  expected: object,
): Promise<void> {
  const found = dataOf(await transcript(t, name), event)
  assert.ok(found.length > 0, `no ${event} in a stream of the kind ${name}`)
  for (const data of found) shows(data as object, expected)
}

export const streamingChecks: Check[] = [
  checkOfExpiry('events.thread.run.expired', '§7 event thread.run.expired', (t) =>
    shown(t, 'expired', 'thread.run.expired', { object: 'thread.run', status: 'expired', expires_at: null }),
  ),
  checkOfExpiry('events.thread.run.step.expired', '§7 event thread.run.step.expired', (t) =>
    shown(t, 'expired', 'thread.run.step.expired', { object: 'thread.run.step', status: 'expired' }),
  ),
  checkOfExpiry('stream.expired', '§7 event thread.run.expired', async (t) => {
    const { names } = await transcript(t, 'expired')
    assert.deepEqual(names, afterPart('expired', 'expired'))
  }),
  ...orders.map(([row, name, expected]) =>
    check(`stream.${name}`, row, async (t) => {
      assert.deepEqual((await transcript(t, name)).names, expected)
    }),
  ),
  check('stream.failed-early', '§7 iii-failed', async (t) => {
    const { names, run } = await transcript(t, 'failed-early')
    assert.deepEqual(names, [...created, 'thread.run.failed'])
    assert.equal(run.status, 'failed')
  }),
  check('stream.cancelled', '§7 iv-cancelled', async (t) => {
    const { names } = await transcript(t, 'cancelled')
    const order = [...created, ...messageOpen, 'thread.run.cancelling', 'thread.message.incomplete']
    assert.deepEqual(names, [...order, 'thread.run.step.cancelled', 'thread.run.cancelled'])
  }),
  check('stream.text-then-calls', '§5 text before calls', async (t) => {
    const { names } = await transcript(t, 'text-then-calls')
    assert.deepEqual(names, [
      ...created,
      ...messageOpen,
      'thread.message.completed',
      'thread.run.step.completed',
      ...stepOpen,
      'thread.run.step.delta',
      'thread.run.requires_action',
    ])
  }),
  ...events.map(([event, name, expected]) =>
    check(`events.${event}`, `§7 event ${event}`, (t) => shown(t, name, event, expected)),
  ),
  check('events.done', ['§7 event done', '§7 framing'], async (t) => {
    for (const name of all)
      assert.ok((await transcript(t, name)).text.endsWith('event: done\ndata: [DONE]\n\n'), name)
  }),
  check('stream.framing', '§7 framing', async (t) => {
    const { text } = await transcript(t, 'plain')
    for (const frame of text.split('\n\n').slice(0, -1)) {
      const lines = frame.split('\n').filter((line) => !/^(:|id:|retry:)/.test(line))
      if (lines.length === 0) continue
      assert.equal(lines.length, 2, frame.slice(0, 200))
      assert.match(lines[0] ?? '', /^event: [a-z_.]+$/)
      assert.match(lines[1] ?? '', /^data: ./)
    }
  }),
  check('stream.headers', '§1 SSE response', async (t) => {
    const { headers } = await transcript(t, 'plain')
    assert.equal(headers.get('content-type'), 'text/event-stream; charset=utf-8')
    assert.equal(headers.get('cache-control'), 'no-cache')
    assert.equal(headers.get('x-accel-buffering'), 'no')
    assert.match(headers.get('x-request-id') ?? '', /^req_/)
  }),
  check('stream.message-deltas', ['§6 deltas', '§7 invariants'], async (t) => {
    const seen = await transcript(t, 'plain')
    const parts = dataOf(seen, 'thread.message.delta').map(({ delta }) => delta.content ?? [])
    let text = ''
    for (const [at, content] of parts.entries()) {
      const [part] = content
      assert.ok(part?.type === 'text' && content.length === 1)
      assert.equal(part.index, 0)
      // Lists add up too: annotations come once.
      assert.equal(part.text?.annotations !== undefined, at === 0)
      text += part.text?.value
    }
    const [message] = dataOf(seen, 'thread.message.completed')
    assert.equal(text, 'Heard: Good morning.')
    assert.equal(textOf(message), text)
  }),
  check('stream.call-deltas', '§6 deltas', async (t) => {
    const seen = await transcript(t, 'tools')
    const calls: { id: string; name: string; arguments: string }[] = []
    for (const { delta } of dataOf(seen, 'thread.run.step.delta')) {
      assert.ok(delta.step_details?.type === 'tool_calls')
      for (const call of delta.step_details.tool_calls ?? []) {
        assert.ok(call.type === 'function')
        const { name, arguments: fragment = '', output } = call.function ?? {}
        if (call.index === calls.length) {
          assert.ok(call.id && name, 'the first delta of a call has its id and its name')
          assert.deepEqual([fragment, output], ['', null])
          calls.push({ id: call.id, name, arguments: '' })
          continue
        }
        assert.equal(call.index, calls.length - 1, 'one call at a time')
        assert.deepEqual([call.id, name, output], [undefined, undefined, undefined], 'strings add up')
        const last = calls.at(-1)
        if (last) last.arguments += fragment
      }
    }
    const [asking] = dataOf(seen, 'thread.run.requires_action')
    const expected = asking?.required_action?.submit_tool_outputs.tool_calls ?? []
    assert.deepEqual(
      calls,
      expected.map(({ id, function: called }) => ({ id, ...called })),
    )
    assert.equal(calls.length, 2)
  }),
  check('stream.step-is-created-empty', '§7 ii-a tools', async (t) => {
    const [step] = dataOf(await transcript(t, 'tools'), 'thread.run.step.created')
    assert.deepEqual(step?.step_details, { type: 'tool_calls', tool_calls: [] })
  }),
  check('stream.step-waits', '§7 ii-a tools', async (t) => {
    const { run, steps } = await transcript(t, 'tools')
    assert.equal(run.status, 'requires_action')
    assert.deepEqual(
      steps.map(({ status }) => status),
      ['in_progress'],
    )
  }),
  check('stream.submit-fills-outputs', '§7 ii-b submit, stream:true', async (t) => {
    const [step] = dataOf(await transcript(t, 'submit'), 'thread.run.step.completed')
    assert.ok(step?.step_details.type === 'tool_calls')
    for (const call of step.step_details.tool_calls) {
      assert.ok(call.type === 'function')
      assert.equal(call.function.output, `of ${call.id}`)
    }
  }),
  check('stream.last-events-are-what-is-stored', '§7 invariants', async (t) => {
    for (const name of all) {
      const seen = await transcript(t, name)
      if (seen.run.status === 'requires_action') continue
      assert.deepEqual(seen.events.at(-1)?.data, seen.run, name)
      const closed = seen.events.filter(({ event }) =>
        /^thread\.run\.step\.(completed|failed|cancelled)$/.test(event),
      )
      for (const { data } of closed) {
        assert.deepEqual(
          data,
          seen.steps.find(({ id }) => id === (data as { id: string }).id),
          name,
        )
      }
    }
  }),
  check('stream.items-open-before-their-deltas', '§7 invariants', async (t) => {
    for (const name of all.filter((one) => one !== 'submit')) {
      const open = new Set<string>()
      for (const { event, data } of (await transcript(t, name)).events) {
        const { id } = data as { id: string }
        if (/^thread\.(message|run\.step)\.created$/.test(event)) open.add(id)
        else if (/^thread\.(message|run\.step)\./.test(event)) assert.ok(open.has(id), `${name}: ${event}`)
        if (/^thread\.(message|run\.step)\.(completed|incomplete|failed|cancelled)$/.test(event))
          open.delete(id)
        const messages = [...open].filter((one) => one.startsWith('msg_'))
        assert.ok(messages.length <= 1, 'one open message at a time')
      }
    }
  }),
  check('stream.ends-with-a-run-event', '§7 invariants', async (t) => {
    const last = /^thread\.run\.(requires_action|completed|incomplete|failed|cancelled|expired)$/
    for (const name of all) assert.match(settled((await transcript(t, name)).names).at(-1) ?? '', last)
  }),
  check('stream.disconnect-does-not-stop-the-run', '§7 disconnect', async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const { runs } = t.client.beta.threads
    const stream = await runs.create(thread, { assistant_id: assistant, stream: true })
    for await (const { event } of stream) if (event === 'thread.run.created') break
    const [run] = (await runs.list(thread)).data
    assert.ok(run)
    assert.equal((await t.stopped(run)).status, 'completed')
  }),
  check('stream.errors-before-the-first-byte', '§7 errors before the first byte', async (t) => {
    const run = await t.hanging()
    const cases: [string, object, number][] = [
      [runsPath(run.thread_id), { assistant_id: run.assistant_id }, 400],
      [runsPath('thread_none'), { assistant_id: run.assistant_id }, 404],
      [runsPath(run.thread_id), {}, 400],
      ['/v1/threads/runs', { assistant_id: 'asst_none' }, 404],
      [`${runPath(run)}/submit_tool_outputs`, { tool_outputs: [] }, 400],
    ]
    for (const [path, body, expected] of cases) {
      const { status, headers } = await t.post(path, { ...body, stream: true })
      assert.equal(status, expected)
      assert.match(headers.get('content-type') ?? '', /^application\/json/)
    }
    await t.cancelled(run)
  }),
  check('stream.accept-does-not-decide', '§1 Accept', async (t) => {
    const { assistant, thread } = await t.ready('Hi.')
    const body = { assistant_id: assistant }
    const accept = (accepted: string) => ({ accept: accepted, 'openai-beta': 'assistants=v2' })
    const plainly = await t.raw<Run>('POST', runsPath(thread), body, accept('text/event-stream'))
    assert.equal(plainly.json.status, 'queued')
    await t.stopped(plainly.json)
    const streamed = await t.raw(
      'POST',
      runsPath(thread),
      { ...body, stream: true },
      accept('application/json'),
    )
    assert.match(streamed.headers.get('content-type') ?? '', /^text\/event-stream/)
    assert.match(streamed.text, /\ndata: \[DONE\]\n\n$/)
  }),
]
