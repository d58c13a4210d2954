import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isTerminal } from '../src/contract/events.ts'
import { leaseOf, newRunState, runTable, transition, type RunState } from '../src/domain/run.ts'
import { addUsage } from '../src/domain/usage.ts'
import {
  answerOf,
  call,
  deepFreeze,
  eventTypes,
  expectedTable,
  fieldsOf,
  middle,
  presentLease,
  scenariosOf,
  statuses,
  targetsOf,
  turnUsage,
  type Scenario,
} from './support/run-table-cells.ts'

const cells = statuses.flatMap((status) => eventTypes.map((type) => ({ status, type })))
const scenarios = cells.flatMap(({ status, type }) => scenariosOf(status, type))

/** Every move that the scenarios make. */
const moves = scenarios.flatMap(({ state, event }) => {
  const next = transition(deepFreeze(state), deepFreeze(event))
  return typeof next === 'string' ? [] : [{ state, event, next, name: `${state.status} + ${event.type}` }]
})

function move(
  status: RunState['status'],
  type: Scenario['event']['type'],
  more: Partial<Scenario['is']> = {},
) {
  const found = scenariosOf(status, type).find(({ is }) =>
    Object.entries({ owner: 0, attempts: 0, deadline: 0, thread: 0, ...more }).every(
      ([dimension, which]) => is[dimension as keyof typeof is] === which,
    ),
  )
  assert.ok(found)
  const next = transition(found.state, found.event)
  if (typeof next === 'string') assert.fail(`${status} + ${type} is answered with ${next}`)
  return next
}

test('there are 9 statuses and 14 events, and the code has no others', () => {
  assert.equal(cells.length, 126)
  assert.deepEqual(Object.keys(runTable).toSorted(), statuses.toSorted())
  for (const status of statuses) {
    assert.deepEqual(Object.keys(runTable[status]).toSorted(), eventTypes.toSorted(), status)
  }
})

describe('every cell', () => {
  for (const { status, type } of cells) {
    test(`a run that is ${status} answers ${type} as the table says`, () => {
      const expected = expectedTable[status][type]
      assert.deepEqual(answerOf(status, type), expected)
      // Of a status without a lease the cell itself is never asked: it must not say anything else.
      const cell: unknown = runTable[status][type]
      if (expected === 'refuse' || expected === 'drop') assert.equal(cell, expected)
      else assert.equal(typeof cell, 'function')
    })
  }
})

test('only what a client asks for is refused', () => {
  const refused = cells.filter(({ status, type }) => expectedTable[status][type] === 'refuse')
  assert.deepEqual([...new Set(refused.map(({ type }) => type))], ['submit_outputs', 'cancel'])
  assert.equal(refused.length, 14)
})

test('every status but queued is reached from another, and no terminal one is left', () => {
  const edges = cells.flatMap(({ status, type }) =>
    targetsOf(expectedTable[status][type]).map((to) => ({ from: status, to })),
  )
  for (const status of statuses) {
    assert.ok(
      edges.some(({ from, to }) => to === status && from !== status),
      `something leads to ${status}`,
    )
    assert.equal(
      edges.some(({ from }) => from === status),
      !isTerminal(status),
      `${status} is left`,
    )
  }
})

test('an event of a lease that is not the present one is dropped in every status', () => {
  const foreign = [
    { node: 'node-b', epoch: middle.epoch },
    { node: 'node-a', epoch: middle.epoch - 1 },
    { node: 'node-a', epoch: middle.epoch + 1 },
    { node: 'node-b', epoch: middle.epoch + 1 },
  ]
  let count = 0
  for (const { state, event } of scenarios) {
    if (!('lease' in event)) continue
    for (const lease of foreign) {
      assert.equal(transition(state, { ...event, lease }), 'drop', `${state.status} + ${event.type}`)
      count++
    }
  }
  assert.equal(count, 9 * 9 * 4 * foreign.length)
})

test('an event with any lease is dropped by a run that nobody owns', () => {
  const queued = scenariosOf('queued', 'cancel').find(({ is }) => is.owner === 1)?.state
  assert.ok(queued && leaseOf(queued) === null)
  for (const type of eventTypes) {
    const [found] = scenariosOf('queued', type)
    if (found && 'lease' in found.event) assert.equal(transition(queued, found.event), 'drop', type)
  }
})

test('the version grows by exactly one with each move, also with one that keeps the status', () => {
  assert.ok(moves.length > 60, `${moves.length} moves`)
  for (const { state, next, name } of moves) assert.equal(next.version, state.version + 1, name)
})

test('a moved run carries the fields of its status and no others', () => {
  for (const { next, name } of moves) {
    assert.deepEqual(Object.keys(next).toSorted(), fieldsOf(next.status), `${name} -> ${next.status}`)
  }
})

test('neither run nor event is changed, also when the answer is no move', () => {
  for (const { state, event } of scenarios) {
    const before = structuredClone({ state, event })
    // Frozen: a write would throw.
    transition(deepFreeze(state), deepFreeze(event))
    assert.deepEqual({ state, event }, before)
  }
})

test('each move changes of the common fields only what belongs to it', () => {
  const endsWell = ['completed', 'requires_action', 'incomplete']
  for (const { state, event, next, name } of moves) {
    const { deadline, epoch, started_at, usage, turns, attempts } = next
    const submitted = event.type === 'submit_outputs' || event.type === 'promote' ? event : null
    assert.equal(deadline, submitted ? submitted.deadline : state.deadline, `${name}: deadline`)
    const given = submitted !== null && submitted.owner !== null
    assert.equal(epoch, state.epoch + (given ? 1 : 0), `${name}: epoch`)
    assert.equal(started_at, state.started_at, `${name}: started_at`)
    const spent = 'usage' in event ? addUsage(state.usage, event.usage) : state.usage
    assert.deepEqual(usage, spent, `${name}: usage`)
    assert.equal(turns, state.turns + (endsWell.includes(next.status) ? 1 : 0), `${name}: turns`)
    const lost = event.type === 'lose_lease' && state.status !== 'cancelling' ? 1 : 0
    const kept = event.type === 'ask_tools' && next.status === 'requires_action' ? 0 : state.attempts + lost
    assert.equal(attempts, kept, `${name}: attempts`)
  }
})

test('each move that ends a run says when', () => {
  const ends = moves.filter(({ next }) => isTerminal(next.status))
  assert.ok(ends.length > 0)
  for (const { event, next, name } of ends) assert.equal('ended_at' in next && next.ended_at, event.now, name)
})

test('started_at is set by the first start and kept by later ones', () => {
  const fresh = newRunState('node-a', 1000)
  const start = { type: 'start', lease: { node: 'node-a', epoch: 1 }, now: 321 } as const
  const first = transition(fresh, start)
  assert.ok(typeof first !== 'string')
  assert.equal(first.started_at, 321)
  assert.equal(move('queued', 'start').started_at, middle.started_at)
})

test('a new run is queued with version 1, owned under epoch 1 or by nobody under epoch 0', () => {
  const common = {
    status: 'queued',
    waits: false,
    version: 1,
    deadline: 9,
    started_at: null,
    turns: 0,
    attempts: 0,
  }
  const usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
  assert.deepEqual(newRunState('node-a', 9), { ...common, usage, owner: 'node-a', epoch: 1 })
  assert.deepEqual(newRunState(null, 9), { ...common, usage, owner: null, epoch: 0 })
})

test('start and cancel keep the owner; release and a lost lease leave the run to anyone', () => {
  for (const next of [move('queued', 'start'), move('in_progress', 'progress')]) {
    assert.deepEqual(leaseOf(next), presentLease)
  }
  for (const next of [move('queued', 'cancel'), move('in_progress', 'cancel')]) {
    assert.equal(next.status, 'cancelling')
    assert.deepEqual(leaseOf(next), presentLease)
  }
  for (const status of ['queued', 'in_progress'] as const) {
    for (const type of ['release', 'lose_lease'] as const) {
      const next = move(status, type)
      assert.equal(next.status, 'queued')
      assert.equal(leaseOf(next), null, `${status} + ${type}`)
    }
  }
})

test('submitted outputs give the run to the named owner under a new epoch, or to nobody under the old one', () => {
  const state = scenariosOf('requires_action', 'submit_outputs')[0]?.state
  assert.ok(state)
  const submit = { type: 'submit_outputs', deadline: 1100, now: 500 } as const
  const owned = transition(state, { ...submit, owner: 'node-b' })
  const unowned = transition(state, { ...submit, owner: null })
  assert.ok(typeof owned !== 'string' && typeof unowned !== 'string')
  assert.deepEqual(leaseOf(owned), { node: 'node-b', epoch: middle.epoch + 1 })
  assert.equal(leaseOf(unowned), null)
  assert.equal(unowned.epoch, middle.epoch)
})

test('the calls, the failure and the reason of an event become those of the run', () => {
  const asked = move('in_progress', 'ask_tools')
  assert.deepEqual(asked.status === 'requires_action' && asked.calls, [call])
  for (const status of ['queued', 'in_progress'] as const) {
    const failed = move(status, 'fail')
    const error = { code: 'rate_limit_exceeded', message: 'slow' }
    assert.deepEqual(failed.status === 'failed' && failed.error, error)
  }
  const cut = move('in_progress', 'truncate')
  assert.equal(cut.status === 'incomplete' && cut.reason, 'max_prompt_tokens')
})

test('the last lost attempt fails the run, saying how often its server stopped', () => {
  const next = move('in_progress', 'lose_lease', { attempts: 1 })
  assert.ok(next.status === 'failed')
  assert.equal(next.error.code, 'server_error')
  assert.match(next.error.message, /stopped 2 times/)
})

test('the attempts of one turn are counted up to the limit, and a turn that ended starts anew', () => {
  let state: RunState = { ...newRunState('node-a', 1000) }
  const apply = (event: Scenario['event']) => {
    const next = transition(state, event)
    if (typeof next === 'string') assert.fail(`${state.status} + ${event.type}: ${next}`)
    state = next
  }
  const by = () => ({ lease: { node: 'node-a', epoch: state.epoch }, now: 1 })
  /** What the store's claim does. */
  const claim = () => {
    assert.ok(state.status === 'queued')
    state = { ...state, owner: 'node-a', epoch: state.epoch + 1, version: state.version + 1 }
  }
  const lose = () => {
    apply({ type: 'start', ...by() })
    apply({ type: 'lose_lease', maxAttempts: 3, ...by() })
  }
  lose()
  claim()
  lose()
  claim()
  assert.equal(state.attempts, 2)
  apply({ type: 'start', ...by() })
  apply({ type: 'ask_tools', calls: [call], usage: turnUsage, ...by() })
  apply({ type: 'submit_outputs', owner: 'node-a', deadline: 1000, now: 1 })
  lose()
  claim()
  lose()
  assert.equal(state.status, 'queued')
  claim()
  lose()
  assert.equal(state.status, 'failed')
  // The start is committed a moment after the model was called.
  assert.equal(move('queued', 'lose_lease').attempts, middle.attempts + 1)
  // Handing back in order is no lost attempt.
  assert.equal(move('queued', 'release').attempts, middle.attempts)
  assert.equal(move('in_progress', 'release').attempts, middle.attempts)
})
