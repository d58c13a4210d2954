import assert from 'node:assert/strict'
import { test } from 'node:test'
import { violations, type Evidence } from '../chaos/checker.ts'
import { History, type Request } from '../chaos/history.ts'
import { answerTo } from '../chaos/model.ts'
import { stopPoints } from '../chaos/pg-gate.ts'
import { isTerminal, statuses } from '../chaos/table.ts'

// The checker of chaos/ judges nothing away: each kind of broken history is found, and a good one is not.

const done = (deed: Request['deed'], marker: string, id: string, sentAt: number): Request => ({
  deed,
  marker,
  thread: deed === 'thread' ? null : 'thread_a',
  key: null,
  sentAt,
  answeredAt: sentAt + 5,
  outcome: 'done',
  id,
})

/** A thread with a message and a run that completed, as a client and the store saw them. */
function goodStory(): Evidence {
  const history = new History()
  history.requests.push(
    done('thread', 'job-1', 'thread_a', 0),
    done('message', 'job-1-m0', 'msg_a', 10),
    done('message', 'job-1-m1', 'msg_b', 20),
    done('run', 'job-1', 'run_a', 30),
  )
  history.sightings.push(
    { run: 'run_a', status: 'queued', sentAt: 36, at: 40 },
    { run: 'run_a', status: 'in_progress', sentAt: 41, at: 50 },
    { run: 'run_a', status: 'completed', sentAt: 200, at: 210 },
  )
  const text = answerTo('job-1', 0)
  const delta = (value: string) =>
    JSON.stringify({ id: 'msg_c', delta: { content: [{ index: 0, text: { value } }] } })
  history.readings.push({
    run: 'run_a',
    whole: true,
    events: [
      { id: '1.0', event: 'thread.run.created', data: '{"id":"run_a"}' },
      { id: '2.0', event: 'thread.message.delta', data: delta(text.slice(0, 9)) },
      { id: '2.1', event: 'thread.message.delta', data: delta(text.slice(9)) },
      { id: '2.2', event: 'thread.message.completed', data: '{"id":"msg_c"}' },
      { id: '2.3', event: 'thread.run.completed', data: '{"id":"run_a"}' },
    ],
  })
  const message = (id: string, seq: number, role: string, said: string) => ({
    id,
    thread_id: 'thread_a',
    run_id: role === 'user' ? null : 'run_a',
    seq,
    role,
    status: 'completed',
    text: said,
  })
  return {
    history,
    dump: {
      threads: [{ id: 'thread_a', marker: 'job-1', active_run_id: null, deleted: false }],
      messages: [
        message('msg_a', 1, 'user', 'job-1-m0'),
        message('msg_b', 2, 'user', 'job-1-m1'),
        message('msg_c', 4, 'assistant', text),
      ],
      runs: [
        {
          id: 'run_a',
          thread_id: 'thread_a',
          seq: 3,
          marker: 'job-1',
          status: 'completed',
          error: null,
          tokens: 7,
          deadline: 600,
          now: 1,
        },
      ],
      steps: [{ id: 'step_a', run_id: 'run_a', turn: 0, status: 'completed', tokens: 7, error: null }],
      waiting: 0,
    },
    calls: [{ job: 'job-1', node: 'node 1', turn: 0, at: 45, endedAt: 190, whole: true }],
    strikes: [],
    attempts: 3,
  }
}

test('a history in which nothing is wrong has no violations', () => {
  assert.deepEqual(violations(goodStory()), [])
})

const broken: [what: string, found: RegExp, breakIt: (story: Evidence) => void][] = [
  [
    'a message that was acknowledged is lost',
    /^I5 message job-1-m1 was acknowledged/,
    ({ dump }) => dump.messages.splice(1, 1),
  ],
  [
    'a run that was acknowledged is lost',
    /^I5 run job-1 was acknowledged/,
    ({ dump }) => dump.runs.splice(0, 1),
  ],
  [
    'a thread that was acknowledged is lost',
    /^I5 thread job-1 was acknowledged/,
    ({ dump }) => dump.threads.splice(0, 1),
  ],
  [
    'a message is there twice',
    /^I5 message job-1-m0 is there 2 times/,
    ({ dump }) => dump.messages.push({ ...dump.messages[0]!, id: 'msg_x', seq: 9 }),
  ],
  [
    'a message was refused and is there',
    /^I5 message job-1-m0 was refused/,
    ({ history }) => (history.requests[1]!.outcome = 'refused'),
  ],
  [
    'messages have changed places',
    /^I5 job-1-m1 came after job-1-m0/,
    ({ dump }) => (dump.messages[1]!.seq = 0),
  ],
  [
    'a run is stuck',
    /^I6 run_a \(job-1\) is still in_progress/,
    ({ dump }) => (dump.runs[0]!.status = 'in_progress'),
  ],
  [
    'a status is none of the nine',
    /^I9 run_a .* is waiting/,
    ({ dump }) => (dump.runs[0]!.status = 'waiting'),
  ],
  [
    'a run failed and nothing had happened',
    /^I6 run_a .* failed: stopped 3 times/,
    ({ dump }) => Object.assign(dump.runs[0]!, { status: 'failed', error: 'stopped 3 times' }),
  ],
  [
    'a lock outlives its run',
    /^I3 thread_a is locked/,
    ({ dump }) => (dump.threads[0]!.active_run_id = 'run_a'),
  ],
  [
    'a step is open behind the end of its run',
    /^I7 run_a .* has ended and step_a has not/,
    ({ dump }) => (dump.steps[0]!.status = 'in_progress'),
  ],
  [
    'a step failed without a reason',
    /^I7 step_b failed without a reason/,
    ({ dump }) => dump.steps.push({ ...dump.steps[0]!, id: 'step_b', status: 'failed', tokens: null }),
  ],
  ['usage is not the sum of the steps', /^I7 the steps of run_a/, ({ dump }) => (dump.steps[0]!.tokens = 6)],
  [
    'an answer is cut off',
    /^I7 run_a \(job-1\) should say/,
    ({ dump }) => (dump.messages[2]!.text = 'This is'),
  ],
  [
    'an answer is there twice',
    /^I7 run_a \(job-1\) should say/,
    ({ dump }) => dump.messages.push({ ...dump.messages[2]!, id: 'msg_d' }),
  ],
  [
    'a terminal run changed',
    /^I1 run_a was completed and then in_progress/,
    ({ history }) => history.sightings.push({ run: 'run_a', status: 'in_progress', sentAt: 220, at: 230 }),
  ],
  [
    'a cancel that was acknowledged did not hold',
    /^I1 the cancel of run_a/,
    ({ history }) => history.cancelled.add('run_a'),
  ],
  [
    'an event is missing',
    /^I8 a reader of run_a got 2\.2 behind 2\.0/,
    ({ history }) => history.readings[0]!.events.splice(2, 1),
  ],
  [
    'an event came twice',
    /^I8 a reader of run_a got 2\.0 behind 2\.0/,
    ({ history }) => history.readings[0]!.events.splice(1, 0, history.readings[0]!.events[1]!),
  ],
  [
    'two readers saw different events',
    /^I8 run_a has two events 1\.0/,
    ({ history }) =>
      history.readings.push({
        run: 'run_a',
        whole: false,
        events: [{ id: '1.0', event: 'thread.run.queued', data: '{}' }],
      }),
  ],
  [
    'deltas do not add up',
    /^I8 the deltas of msg_c/,
    ({ dump, history }) => ((dump.messages[2]!.text = 'x'), (history.requests.length = 0)),
  ],
  [
    'a message was never closed',
    /^I8 message msg_c of run_a was never closed/,
    ({ history }) => history.readings[0]!.events.splice(3, 1),
  ],
  [
    'a finished turn was run again',
    /^I4 the model was called for turn 0 of job-1 after its run had ended/,
    (story) =>
      (story.calls = [
        ...story.calls,
        { job: 'job-1', node: 'node 1', turn: 0, at: 300, endedAt: 310, whole: true },
      ]),
  ],
  [
    'a turn was run twice for no reason',
    /^I4 the model was called again for turn 0 of job-1 although nothing had happened to node 1/,
    (story) =>
      (story.calls = [
        ...story.calls,
        { job: 'job-1', node: 'node 1', turn: 0, at: 60, endedAt: 70, whole: true },
      ]),
  ],
  [
    'a turn was run twice, and only another server was hit',
    /^I4 the model was called again for turn 0 of job-1 although nothing had happened to node 1/,
    (story) => {
      story.calls = [story.calls[0]!, { ...story.calls[0]!, node: 'node 2', at: 191, endedAt: 195 }]
      story.strikes = [{ kind: 'kill at random', at: 100, until: 100, node: 'node 3' }]
    },
  ],
  [
    'two servers run one turn at one time',
    /^I4 node 1 and node 2 called the model for turn 0 of job-1 at one time/,
    (story) => {
      story.calls = [
        { ...story.calls[0]!, endedAt: 2_000 },
        { ...story.calls[0]!, node: 'node 2', at: 100 },
      ]
      story.strikes = [{ kind: 'half-open connections', at: 50, until: 90, node: 'node 1' }]
    },
  ],
  [
    'a turn whose outputs had been asked for was run again, however much was broken',
    /^I4 the model was called for turn 0 of job-1, which had been finished/,
    (story) => {
      story.strikes = [{ kind: 'kill at random', at: 50, until: 90, node: null }]
      story.history.sightings.splice(2, 0, { run: 'run_a', status: 'requires_action', sentAt: 60, at: 70 })
      story.calls = [...story.calls, { ...story.calls[0]!, at: 80, endedAt: 85 }]
    },
  ],
  [
    'a run failed, and its servers were lost before it was sent',
    /^I6 run_a .* failed: stopped 3 times/,
    (story) => {
      story.strikes = [1, 2, 3].map((at) => ({ kind: 'kill at random', at, until: at, node: 'node 1' }))
      Object.assign(story.dump.runs[0]!, { status: 'failed', error: 'stopped 3 times' })
    },
  ],
  [
    'a message was refused that nothing forbids',
    /^I5 message job-1-m1 was refused$/,
    ({ dump, history }) => {
      dump.messages.splice(1, 1)
      history.requests[2]!.outcome = 'refused'
    },
  ],
  [
    'a deletion was refused',
    /^I5 the deletion of job-1 was refused/,
    ({ history }) => history.requests.push({ ...done('delete', 'job-1', '', 300), outcome: 'refused' }),
  ],
  [
    'one of two readers got less',
    /^I8 not all readers of run_a got 2\.2 thread\.message\.completed/,
    ({ history }) => {
      const { events } = history.readings[0]!
      const short = [...events.slice(0, 3), { ...events[4]!, id: '3.0' }]
      history.readings.push({ run: 'run_a', whole: true, events: short })
    },
  ],
  [
    'a stream tells another end than what is stored',
    /^I8 the events of run_a end with failed, it is completed/,
    ({ history }) => (history.readings[0]!.events[4]!.event = 'thread.run.failed'),
  ],
  [
    'a stream goes on behind the end',
    /^I1 the events of run_a tell completed and then in_progress/,
    ({ history }) =>
      history.readings[0]!.events.push(
        { id: '2.4', event: 'thread.run.in_progress', data: '{}' },
        { id: '2.5', event: 'thread.run.completed', data: '{}' },
      ),
  ],
  [
    'a stream has no beginning',
    /^I8 the events of run_a begin with thread\.message\.delta/,
    ({ history }) => history.readings[0]!.events.shift(),
  ],
  [
    'a message was told and is not stored',
    /^I8 message msg_c of run_a was told and is not stored/,
    ({ dump }) => dump.messages.splice(2, 1),
  ],
  ['something still waits for a thread', /^I6 2 entries still wait/, ({ dump }) => (dump.waiting = 2)],
  [
    'an answer shows what went on inside',
    /^I11 \/v1\/threads was answered 500/,
    ({ history }) => history.badAnswers.push({ path: '/v1/threads', status: 500, body: 'at x' }),
  ],
  [
    'a client waits in vain',
    /^I6 job-1: still queued/,
    ({ history }) => history.stuck.push('job-1: still queued'),
  ],
]

for (const [what, found, breakIt] of broken) {
  test(`the checker finds that ${what}`, () => {
    const story = goodStory()
    breakIt(story)
    const faults = violations(story)
    assert.ok(
      faults.some((fault) => found.test(fault)),
      `found: ${faults.join('; ') || 'nothing'}`,
    )
  })
}

test('a turn that lost its server is run again without blame, and one that lost three may fail', () => {
  const story = goodStory()
  story.strikes = [50, 60, 70].map((at) => ({ kind: 'kill at random', at, until: at, node: 'node 1' }))
  story.calls = [45, 55, 65].map((at) => ({
    job: 'job-1',
    node: 'node 1',
    turn: 0,
    at,
    endedAt: at + 1,
    whole: false,
  }))
  assert.deepEqual(violations(story), [])
  Object.assign(story.dump.runs[0]!, {
    status: 'failed',
    error: 'The server working on this run stopped 3 times.',
  })
  story.dump.messages.pop()
  story.history.sightings.pop()
  story.history.readings.pop()
  assert.deepEqual(violations(story), [])
})

test('every commit of a run has its stop points: before it, behind it, and behind its answer', () => {
  assert.equal(statuses.size, 9)
  assert.equal([...statuses].filter(isTerminal).length, 5)
  for (const moment of ['before', 'unanswered', 'answered'] as const) {
    const names = stopPoints.filter((point) => point.moment === moment)
    assert.ok(names.length >= 15)
  }
})

test('deltas that were lost with their server are known to some readers only, and the next term follows', () => {
  const story = goodStory()
  const whole = story.history.readings[0]!.events
  const [created, first, ...rest] = whole
  const second = { ...first!, id: '1.1', data: first!.data.replace('msg_c', 'msg_gone') }
  const closed = { id: '2.0', event: 'thread.message.incomplete', data: '{"id":"msg_gone"}' }
  const moved = [first!, ...rest].map((event) => ({ ...event, id: event.id.replace('2.', '3.') }))
  story.history.readings.splice(
    0,
    1,
    { run: 'run_a', whole: true, events: [created!, second, { ...second, id: '1.2' }, closed, ...moved] },
    { run: 'run_a', whole: true, events: [created!, second, closed, ...moved] },
  )
  assert.deepEqual(violations(story), [])
})
