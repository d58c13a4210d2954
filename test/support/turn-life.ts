import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isTerminal, type StreamEvent } from '../../src/contract/events.ts'
import type { IncompleteReason, StepStatus } from '../../src/contract/objects.ts'
import { turnAbandoned } from '../../src/domain/closing.ts'
import type { MessageRecord, RunRecord, StepRecord } from '../../src/domain/records.ts'
import { transition, type RunEvent } from '../../src/domain/run.ts'
import { Turn, type TurnRows } from '../../src/domain/turn.ts'
import { rowsOf } from '../../src/store/run-writes.ts'
import { lease, newRun, now } from './records.ts'
import { WireReader } from './wire-reader.ts'

// Random turns of a model, with commits that begin and succeed anywhere in between, as the engine makes them:
// what was opened is committed, and events go out only while nothing opened is uncommitted.

type Op =
  | { op: 'text' | 'fragment'; text: string }
  | { op: 'call'; name: string }
  | { op: 'commit' | 'committed' | 'publish' }

const ends = ['success', 'truncate', 'fail', 'filtered', 'stop', 'finish too late', 'expire'] as const
type End = (typeof ends)[number]

interface TurnLife {
  ops: Op[]
  end: End
  /** Whether a commit under way at the end was made; if not, the run had changed meanwhile. */
  lastCommit: boolean
  firstSeq: number
}

// NUL and characters beyond the first plane included; halves of pairs are settled by the model adapter.
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom('', 'a\0b', '\0', '{"a":1}', '  ', 'ein Wort '),
)

const modelOp: fc.Arbitrary<Op> = fc.oneof(
  { weight: 3, arbitrary: text.map((value) => ({ op: 'text' as const, text: value })) },
  { weight: 2, arbitrary: fc.constantFrom('f', 'look_up').map((name) => ({ op: 'call' as const, name })) },
  { weight: 3, arbitrary: text.map((value) => ({ op: 'fragment' as const, text: value })) },
)
const commitOp = fc.constantFrom('commit', 'committed', 'publish').map((op) => ({ op }))

export const turnLife: fc.Arbitrary<TurnLife> = fc.record({
  ops: fc.array(fc.oneof(modelOp, commitOp), { maxLength: 30, size: 'max' }),
  end: fc.constantFrom(...ends),
  lastCommit: fc.boolean(),
  firstSeq: fc.nat(3),
})

const usage = { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 }
const ids = { message: 'msg_1', messageStep: 'step_m', callStep: 'step_c' }

/** What the client and the store hold of one turn, and what they should. */
class World {
  readonly run: RunRecord = applied(newRun('thread_1'), { type: 'start', lease, now })
  readonly turn: Turn
  readonly messages = new Map<string, MessageRecord>()
  readonly steps = new Map<string, StepRecord>()
  readonly reader = new WireReader(this.messages, this.steps)
  /** What the model said, told apart from the turn's own account. */
  readonly said = { text: '', calls: [] as { name: string; arguments: string }[] }
  /** Whether text came before the first call. */
  textFirst = false
  /** Whether the first text came after a call. */
  get textBehindCalls(): boolean {
    return !this.textFirst && this.said.calls.length > 0 && this.said.text !== ''
  }
  #pending: TurnRows | null = null

  constructor(firstSeq: number) {
    this.turn = new Turn(this.run, firstSeq, ids)
  }

  take(op: Op): void {
    switch (op.op) {
      case 'text':
        this.turn.text(op.text, now)
        if (this.said.calls.length === 0 && op.text !== '') this.textFirst = true
        this.said.text += op.text
        return
      case 'call':
        this.turn.call(`call_${this.said.calls.length}`, op.name, now)
        this.said.calls.push({ name: op.name, arguments: '' })
        return
      case 'fragment': {
        const call = this.said.calls.at(-1)
        // No fragment comes before its call.
        if (!call) return
        this.turn.arguments(op.text)
        call.arguments += op.text
        return
      }
      case 'commit':
        // What is committed is what stood there when the commit began.
        if (this.#pending === null && this.turn.hasUnstored) this.#pending = this.turn.openRows()
        if (this.#pending) this.#pending = structuredClone(this.#pending)
        return
      case 'committed':
        return this.settle(true)
      case 'publish':
        if (this.#pending === null && !this.turn.hasUnstored) this.publish(this.turn.takeEvents())
    }
  }

  /** The answer of a commit under way. */
  settle(succeeded: boolean): void {
    if (this.#pending === null) return
    if (succeeded) {
      this.write(this.#pending)
      this.turn.markStored(this.#pending)
    }
    this.#pending = null
  }

  write(rows: TurnRows): void {
    for (const row of [...rows.newMessages, ...rows.newSteps]) {
      assert.ok(!this.messages.has(row.id) && !this.steps.has(row.id), `${row.id} is inserted twice`)
    }
    for (const row of rows.changedMessages) assert.ok(this.messages.has(row.id), `${row.id} is not there`)
    for (const row of rows.changedSteps) assert.ok(this.steps.has(row.id), `${row.id} is not there`)
    for (const row of [...rows.newMessages, ...rows.changedMessages]) this.messages.set(row.id, row)
    for (const row of [...rows.newSteps, ...rows.changedSteps]) this.steps.set(row.id, row)
  }

  publish(events: StreamEvent[]): void {
    for (const event of events) this.reader.take(structuredClone(event))
  }
}

function applied(run: RunRecord, event: RunEvent): RunRecord {
  const state = transition(run.state, event)
  if (typeof state === 'string') assert.fail(`${run.state.status} + ${event.type}: ${state}`)
  return { ...run, state }
}

/** The run after the end that was drawn, as the engine would tell it. */
function ended({ run, turn }: World, end: End): { next: RunRecord; reason?: IncompleteReason } {
  const by = { lease, now }
  const [first, ...rest] = turn.calls
  const error = { code: 'invalid_prompt', message: 'It broke.' } as const
  const cancelling = () => applied(run, { type: 'cancel', now })
  const good: RunEvent = first
    ? { type: 'ask_tools', calls: [first, ...rest], usage, ...by }
    : { type: 'finish', usage, ...by }
  switch (end) {
    case 'success':
      turn.ensureMessage(now)
      return { next: applied(run, good) }
    case 'truncate':
      return { next: applied(run, { type: 'truncate', reason: 'max_completion_tokens', usage, ...by }) }
    case 'fail':
      return { next: applied(run, { type: 'fail', error, usage, ...by }) }
    case 'filtered':
      return { next: applied(run, { type: 'fail', error, usage, ...by }), reason: 'content_filter' }
    case 'stop':
      return { next: applied(cancelling(), { type: 'stop', usage, ...by }) }
    case 'finish too late':
      return { next: applied(cancelling(), good) }
    case 'expire':
      return { next: applied(run, { type: 'expire', usage, now: run.state.deadline }) }
  }
}

/** How what was open is closed. */
const closings: Record<End, { message: IncompleteReason | null; step: StepStatus; kept: boolean }> = {
  success: { message: null, step: 'completed', kept: true },
  truncate: { message: 'max_tokens', step: 'completed', kept: true },
  fail: { message: 'run_failed', step: 'failed', kept: false },
  filtered: { message: 'content_filter', step: 'failed', kept: false },
  stop: { message: 'run_cancelled', step: 'cancelled', kept: false },
  'finish too late': { message: 'run_cancelled', step: 'cancelled', kept: false },
  expire: { message: 'run_expired', step: 'expired', kept: false },
}

/** Lives a turn to its end and judges what was published and stored. */
export function checkTurn(drawn: TurnLife): void {
  const world = new World(drawn.firstSeq)
  for (const op of drawn.ops) world.take(op)
  world.settle(drawn.lastCommit)
  const { turn, messages, steps, reader } = world
  const { next, reason } = ended(world, drawn.end)
  const asked = turn.calls
  const last = turn.end(next, usage, now, reason)
  assert.deepEqual(turn.end(next, usage, now, reason), last, 'asked again it answers the same')
  world.write(structuredClone(last.rows))
  world.publish(last.events)

  const { status } = next.state
  const expected = closings[drawn.end]
  assert.equal(isTerminal(status) || status === 'requires_action', true)
  reader.checkEnd(status === 'requires_action' ? [ids.callStep] : [])

  // What there must be follows from what was said: calls that wait behind a message are forgotten in a bad end.
  const said = world.said.text.replaceAll('\0', '\uFFFD')
  const calls = world.said.calls.map(({ name, arguments: args }, i) => ({
    id: `call_${i}`,
    type: 'function' as const,
    function: { name, arguments: args.replaceAll('\0', '\uFFFD') },
  }))
  // Text behind calls is stored with the turn and told by no event; a bad end forgets it.
  const unseen = world.textBehindCalls
  const hasMessage =
    (said !== '' && (!unseen || expected.kept)) || (drawn.end === 'success' && calls.length === 0)
  const hasCalls = calls.length > 0 && (expected.kept || !world.textFirst)
  const stepIds = [hasMessage ? ids.messageStep : '', hasCalls ? ids.callStep : ''].filter((id) => id !== '')
  assert.deepEqual([...messages.keys()], hasMessage ? [ids.message] : [])
  assert.deepEqual([...steps.keys()].toSorted(), stepIds.toSorted())
  const told = [...messages.keys(), ...steps.keys()].filter(
    (id) => !unseen || (id !== ids.message && id !== ids.messageStep),
  )
  assert.deepEqual(reader.seen.toSorted(), told.toSorted())
  assert.equal(reader.overlapped, false, 'one open step at a time')

  const message = messages.get(ids.message)
  if (message) {
    assert.equal(message.status, expected.message === null ? 'completed' : 'incomplete')
    assert.equal(message.incomplete_reason, expected.message)
    assert.deepEqual(message.content, [{ type: 'text', text: { value: said, annotations: [] } }])
    if (!unseen) assert.equal(reader.text(ids.message), said, 'deltas add up to the text')
  }
  const callStep = steps.get(ids.callStep)
  assert.equal(steps.get(ids.messageStep)?.status ?? expected.step, expected.step)
  if (callStep) {
    assert.equal(callStep.status, status === 'requires_action' ? 'in_progress' : expected.step)
    const stored = calls.map((call) => ({ ...call, function: { ...call.function, output: null } }))
    assert.deepEqual(callStep.details, { type: 'tool_calls', tool_calls: stored })
    assert.deepEqual(reader.calls(ids.callStep), stored, 'deltas add up to the calls')
  }
  if (status === 'requires_action') assert.deepEqual(asked, calls)
  checkPlaces(drawn, world)
  checkUsage(steps, expected.kept)
}

/** The steps' places follow each other from the first, in the order in which they were told. */
function checkPlaces({ firstSeq }: TurnLife, { steps, reader, run }: World): void {
  const told = reader.seen.flatMap((id) => steps.get(id) ?? [])
  assert.deepEqual(
    told.map(({ seq }) => seq),
    told.map((_, i) => firstSeq + i),
  )
  for (const step of told) {
    assert.equal(step.turn, run.state.turns)
    assert.equal(step.run_id, run.id)
    assert.equal(step.ended_at, step.status === 'in_progress' ? null : now)
  }
}

/** The steps of a turn that counts cost what the run is charged for it; those of a broken one say nothing. */
function checkUsage(steps: Map<string, StepRecord>, kept: boolean): void {
  const costs = [...steps.values()].map((step) => step.usage)
  if (!kept) return assert.ok(costs.every((cost) => cost === null))
  if (costs.length === 0) return
  for (const key of ['prompt_tokens', 'completion_tokens', 'total_tokens'] as const) {
    assert.equal(
      costs.reduce((sum, cost) => sum + (cost?.[key] ?? NaN), 0),
      usage[key],
    )
  }
}

/** Lives a turn up to some moment at which its server hands the run back. */
export function givenUpTurn(drawn: TurnLife): void {
  const world = new World(drawn.firstSeq)
  for (const op of drawn.ops) world.take(op)
  world.settle(drawn.lastCommit)
  const { run, turn, messages, steps } = world
  const open = turn.storedItems()
  const byId = (items: { id: string }[]) => items.toSorted((a, b) => a.id.localeCompare(b.id))
  assert.deepEqual(byId(open.steps), byId([...steps.values()]), 'the turn knows what is stored of it')
  assert.deepEqual(open.messages, [...messages.values()])

  const next = applied(run, { type: 'release', lease, now })
  const { rows, events } = rowsOf(next, open, now)
  assert.deepEqual([rows.newMessages, rows.newSteps, rows.changedMessages], [[], [], []])
  assert.deepEqual(rows.removedMessages, [...messages.keys()])
  assert.deepEqual(byId(rows.changedSteps), byId(rows.changedSteps.filter(({ id }) => steps.has(id))))
  assert.equal(rows.changedSteps.length, steps.size)
  for (const step of rows.changedSteps) {
    assert.equal(step.status, 'failed')
    assert.deepEqual(step.error, { code: 'server_error', message: turnAbandoned })
    assert.equal(step.usage, null)
  }
  const names = (what: string) => events.filter(({ event }) => event === what).length
  assert.equal(names('thread.message.incomplete'), messages.size)
  assert.equal(names('thread.run.step.failed'), steps.size)
  assert.equal(events.length, messages.size + steps.size + 1)
  assert.equal(events.at(-1)?.event, 'thread.run.queued')
}
