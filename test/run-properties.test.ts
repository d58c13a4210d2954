import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isTerminal } from '../src/contract/events.ts'
import type { RunStatus } from '../src/contract/objects.ts'
import { isWaiting, leaseOf, transition, type RunState } from '../src/domain/run.ts'
import { failureOf, property } from './support/property.ts'
import { lifetime, life, live, type Move } from './support/run-life.ts'
import { eventTypes, expectedTable, fieldsOf, statuses, targetsOf } from './support/run-table-cells.ts'
import { checkTurn, givenUpTurn, turnLife } from './support/turn-life.ts'

// What holds for every life of a run, whoever sends it what in which order (SPEC.md, invariants).

/** The moves that changed the run. */
function changes(moves: Move[]) {
  return moves.flatMap(({ answer, ...move }) =>
    typeof answer === 'string' ? [] : [{ ...move, after: answer }],
  )
}

function statesOf(moves: Move[]): RunState[] {
  return moves.flatMap(({ before, answer }) => (typeof answer === 'string' ? [before] : [before, answer]))
}

property('a terminal run never changes, whatever comes', life, (drawn) => {
  for (const { before, event, answer } of live(drawn)) {
    if (!isTerminal(before.status)) continue
    const type = event === 'claim' ? event : event.type
    assert.equal(answer, type === 'cancel' || type === 'submit_outputs' ? 'refuse' : 'drop', type)
  }
})

property(
  'a run has one of the nine statuses, with the fields of that status and no others',
  life,
  (drawn) => {
    for (const state of statesOf(live(drawn))) {
      assert.ok(statuses.includes(state.status), state.status)
      assert.deepEqual(Object.keys(state).toSorted(), fieldsOf(state.status))
      if (state.status === 'requires_action') assert.ok(state.calls.length > 0)
    }
  },
)

property(
  'a run that has not ended ends as soon as its deadline has passed and someone looks',
  life,
  (drawn) => {
    const usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    for (const state of statesOf(live(drawn))) {
      if (isTerminal(state.status)) continue
      const next = transition(state, { type: 'expire', usage, now: state.deadline })
      if (isWaiting(state)) {
        assert.equal(next, 'drop')
        continue
      }
      assert.ok(typeof next !== 'string')
      assert.equal(next.status, state.status === 'cancelling' ? 'cancelled' : 'expired')
      assert.equal(transition(state, { type: 'expire', usage, now: state.deadline - 1 }), 'drop')
    }
  },
)

property('a run whose owners die again and again ends before its deadline', life, (drawn) => {
  for (const { before } of live(drawn)) {
    let state = before
    if (state.status === 'requires_action' || isTerminal(state.status) || isWaiting(state)) continue
    for (let turns = 0; turns < 3 && !isTerminal(state.status); turns++) {
      if (state.status === 'queued' && state.owner === null) {
        state = { ...state, owner: 'node-a', epoch: state.epoch + 1, version: state.version + 1 }
      }
      for (const type of ['start', 'lose_lease'] as const) {
        const lease = leaseOf(state)
        if (lease === null) continue
        const next = transition(state, { type, lease, maxAttempts: 3, now: state.deadline - 1 })
        if (typeof next !== 'string') state = next
      }
    }
    assert.ok(isTerminal(state.status), `${before.status} after three lost attempts: ${state.status}`)
  }
})

property('the version grows by one with every change and by nothing else', life, (drawn) => {
  const moves = live(drawn)
  for (const { before, after } of changes(moves)) assert.equal(after.version, before.version + 1)
  moves.slice(1).forEach(({ before }, i) => {
    const former = moves[i]
    assert.equal(before, typeof former?.answer === 'string' ? former.before : former?.answer)
  })
})

property(
  'a run has at most one lease, only while a node may work on it, and no epoch comes twice',
  life,
  (drawn) => {
    const moves = live(drawn)
    const owners = new Map<number, string>()
    for (const state of statesOf(moves)) {
      const lease = leaseOf(state)
      if (lease === null) {
        assert.ok(state.status !== 'in_progress' && state.status !== 'cancelling', state.status)
        continue
      }
      assert.ok(['queued', 'in_progress', 'cancelling'].includes(state.status), state.status)
      assert.equal(owners.get(lease.epoch) ?? lease.node, lease.node, `two nodes under epoch ${lease.epoch}`)
      owners.set(lease.epoch, lease.node)
    }
    for (const { before, after } of changes(moves)) {
      assert.ok(after.epoch >= before.epoch)
      const given = leaseOf(before) === null && leaseOf(after) !== null
      assert.equal(after.epoch, before.epoch + (given ? 1 : 0), 'an epoch begins exactly with an owner')
    }
  },
)

property('a worker changes a run only under its present lease', life, (drawn) => {
  for (const { event, underLease, answer } of live(drawn)) {
    if (event !== 'claim' && 'lease' in event && !underLease) assert.equal(answer, 'drop', event.type)
  }
})

property('usage and turns never shrink, and are what the applied events add up to', life, (drawn) => {
  const moves = live(drawn)
  const sum = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
  for (const { before, event, after } of changes(moves)) {
    if (event !== 'claim' && 'usage' in event) {
      sum.prompt_tokens += event.usage.prompt_tokens
      sum.completion_tokens += event.usage.completion_tokens
      sum.total_tokens += event.usage.total_tokens
    }
    assert.deepEqual(after.usage, sum)
    assert.ok(after.usage.total_tokens >= before.usage.total_tokens)
    assert.ok(after.turns === before.turns || after.turns === before.turns + 1)
  }
})

property(
  'once started a run keeps its start, and only a promotion and submitted outputs move its deadline',
  life,
  (drawn) => {
    for (const { before, event, after } of changes(live(drawn))) {
      if (before.started_at !== null) assert.equal(after.started_at, before.started_at)
      if (event !== 'claim' && (event.type === 'submit_outputs' || event.type === 'promote'))
        assert.equal(after.deadline, event.now + lifetime)
      else assert.equal(after.deadline, before.deadline)
    }
  },
)

property('a run that waits leaves its place only when it is promoted or ended by a client', life, (drawn) => {
  for (const { before, event, after } of changes(live(drawn))) {
    if (!isWaiting(before)) {
      assert.equal(isWaiting(after), false)
      continue
    }
    assert.ok(event !== 'claim' && ['promote', 'cancel', 'abandon'].includes(event.type))
    assert.equal(leaseOf(before), null)
    assert.equal(after.status, event.type === 'promote' ? 'queued' : 'cancelled')
  }
})

property('a run that is cancelling ends cancelled', life, (drawn) => {
  for (const { before, after } of changes(live(drawn))) {
    if (before.status === 'cancelling') assert.equal(after.status, 'cancelled')
  }
})

property('the same events make the same run', life, (drawn) => {
  assert.deepEqual(live(drawn), live(drawn))
})

property('an event that comes twice changes the run once, progress aside', life, (drawn) => {
  const moves = live(drawn)
  moves.slice(1).forEach(({ event, answer }, i) => {
    if (event === 'claim' || moves[i]?.event !== event || event.type === 'progress') return
    assert.ok(typeof answer === 'string', `a second ${event.type} was applied`)
  })
})

test('the lives that are drawn meet every cell of the table, and every edge of the graph', () => {
  const met = new Set<string>()
  const edges = new Set<string>()
  const drawnEdges = new Set<string>()
  for (const drawn of fc.sample(life, { numRuns: 20_000, seed: 1 })) {
    for (const { before, event, underLease, answer } of live(drawn)) {
      if (event === 'claim') continue
      // A run without a lease drops them all.
      if ('lease' in event && !underLease && leaseOf(before) !== null) continue
      met.add(`${before.status} + ${event.type}`)
      if (typeof answer !== 'string') drawnEdges.add(`${before.status} -> ${answer.status}`)
    }
  }
  for (const status of statuses) {
    for (const type of eventTypes) {
      assert.ok(met.has(`${status} + ${type}`), `${status} + ${type}`)
      targetsOf(expectedTable[status][type]).forEach((to: RunStatus) => edges.add(`${status} -> ${to}`))
    }
  }
  assert.deepEqual([...drawnEdges].toSorted(), [...edges].toSorted())
})

property(
  'what a turn publishes obeys the protocol of streams, and what it stores agrees with it',
  turnLife,
  checkTurn,
)

property(
  'a turn that is given up leaves no message, and every step that it had begun failed',
  turnLife,
  givenUpTurn,
)

test('a property that fails says how to run it again, and that finds the same case', () => {
  const numbers = fc.array(fc.nat(1000))
  const small = (values: number[]) => assert.ok(values.every((value) => value < 700))
  const title = 'numbers are small (mostly)'
  const report = failureOf(title, numbers, small, { FC_SEED: '5' })
  const [, seed, path, pattern] =
    /FC_SEED=(-?\d+) FC_PATH=([\d:]+) node_modules\/\.bin\/node --test --test-name-pattern='(.*)' test\/run-properties\.test\.ts\n/.exec(
      report ?? '',
    ) ?? []
  assert.equal(seed, '5')
  assert.match(title, new RegExp(pattern ?? 'no pattern'))
  assert.match(report ?? '', /Counterexample: \[\[700\]\]/)
  const again = failureOf(title, numbers, small, { FC_SEED: seed, FC_PATH: path })
  assert.match(again ?? '', /failed after 1 tests[\s\S]*Counterexample: \[\[700\]\]/)
  assert.throws(() => failureOf(title, numbers, small, { FC_RUNS: 'many' }), /FC_RUNS must be an integer/)
})
