import fc from 'fast-check'
import type { RunToolCall } from '../../src/contract/objects.ts'
import {
  leaseOf,
  newRunState,
  transition,
  waitingRunState,
  type Lease,
  type RunEvent,
  type RunEventType,
  type RunState,
} from '../../src/domain/run.ts'
import { deepFreeze, eventTypes } from './run-table-cells.ts'

// Random lives of a run: whoever may send it an event does, in any order, late, twice, and under leases that were
// lost, never given, or not given yet.

/** What is drawn for one moment; it becomes an event only when the run's leases so far are known. */
interface Moment {
  what: RunEventType | 'claim'
  /** Under which lease a worker's event comes. */
  sender: 'present' | 'former' | 'other node' | 'later epoch'
  /** Which of the former leases. */
  which: number
  node: string | null
  seconds: number
  usage: { prompt_tokens: number; completion_tokens: number; total_tokens: number }
  calls: readonly [RunToolCall, ...RunToolCall[]]
  maxAttempts: number
  /** The very same event comes a second time. */
  twice: boolean
}

export interface Move {
  before: RunState
  /** 'claim' is the store's: it gives a queued run an owner, outside of the table. */
  event: RunEvent | 'claim'
  /** Whether a worker's event came under the lease that the run had. */
  underLease: boolean
  answer: RunState | 'refuse' | 'drop'
}

const node = fc.constantFrom('node-a', 'node-b')

const moment: fc.Arbitrary<Moment> = fc.record({
  what: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...eventTypes) },
    // Else few runs would come as far as to ask for tools twice.
    {
      weight: 4,
      arbitrary: fc.constantFrom('start', 'ask_tools', 'submit_outputs', 'promote', 'claim' as const),
    },
  ),
  sender: fc.oneof(
    { weight: 6, arbitrary: fc.constant('present' as const) },
    { weight: 1, arbitrary: fc.constantFrom('former', 'other node', 'later epoch') },
  ),
  which: fc.nat(9),
  node: fc.option(node, { freq: 3 }),
  // Now and then longer than the deadline, and now and then backwards: clocks of nodes differ.
  seconds: fc.constantFrom(0, 1, 5, 100, 700, -3),
  usage: fc
    .tuple(fc.nat(50), fc.nat(50))
    .map(([p, c]) => ({ prompt_tokens: p, completion_tokens: c, total_tokens: p + c })),
  calls: fc
    .array(fc.constantFrom('call_a', 'call_b'), { minLength: 1, maxLength: 2 })
    .map((ids) => ids.map(toolCall) as unknown as Moment['calls']),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  twice: fc.boolean(),
})

function toolCall(id: string): RunToolCall {
  return { id, type: 'function', function: { name: 'f', arguments: '{}' } }
}

/** Seconds that a run may take, as the server's default. */
export const lifetime = 600

export const life: fc.Arbitrary<{ owner: string | null; waits: boolean; moments: Moment[] }> = fc.record({
  owner: fc.option(node),
  /** It comes while another run holds its thread. */
  waits: fc.boolean(),
  moments: fc.array(moment, { maxLength: 25, size: 'max' }),
})

/** Lives it: every event that came, and what the run answered. States and events are frozen. */
export function live({
  owner,
  waits,
  moments,
}: {
  owner: string | null
  waits: boolean
  moments: Moment[]
}): Move[] {
  let now = 1000
  let state: RunState = deepFreeze(
    waits ? waitingRunState(now + lifetime) : newRunState(owner, now + lifetime),
  )
  const leases: Lease[] = []
  const moves: Move[] = []
  for (const drawn of moments) {
    now += drawn.seconds
    const present = leaseOf(state)
    if (present && !leases.some(({ epoch }) => epoch === present.epoch)) leases.push(present)
    const event: Move['event'] =
      drawn.what === 'claim' ? drawn.what : deepFreeze(eventOf(drawn, state, leases, now))
    for (let times = drawn.twice ? 2 : 1; times > 0; times--) {
      const answer: Move['answer'] = deepFreeze(
        event === 'claim' ? claimed(state, drawn.node) : transition(state, event),
      )
      const lease = leaseOf(state)
      const underLease =
        typeof event === 'object' &&
        'lease' in event &&
        lease?.node === event.lease.node &&
        lease.epoch === event.lease.epoch
      moves.push({ before: state, event, underLease, answer })
      if (typeof answer !== 'string') state = answer
    }
  }
  return moves
}

/** What the store's claim does to a run: only one that is queued and that nobody owns is taken. */
function claimed(state: RunState, owner: string | null): RunState | 'drop' {
  if (state.status !== 'queued' || state.waits || state.owner !== null || owner === null) return 'drop'
  return { ...state, owner, epoch: state.epoch + 1, version: state.version + 1 }
}

function leaseFor(drawn: Moment, state: RunState, leases: Lease[]): Lease {
  const present = leaseOf(state) ?? { node: 'node-a', epoch: state.epoch }
  switch (drawn.sender) {
    case 'present':
      return present
    case 'former':
      return leases[drawn.which % leases.length] ?? present
    case 'other node':
      return { node: 'node-c', epoch: present.epoch }
    case 'later epoch':
      return { node: present.node, epoch: state.epoch + 1 }
  }
}

function eventOf(drawn: Moment, state: RunState, leases: Lease[], now: number): RunEvent {
  const { usage, calls, maxAttempts } = drawn
  const by = { lease: leaseFor(drawn, state, leases), now }
  switch (drawn.what) {
    case 'claim':
      throw new Error('a claim is no event')
    case 'start':
    case 'progress':
    case 'release':
      return { type: drawn.what, ...by }
    case 'finish':
    case 'stop':
      return { type: drawn.what, usage, ...by }
    case 'ask_tools':
      return { type: 'ask_tools', calls, usage, ...by }
    case 'truncate':
      return { type: 'truncate', reason: 'max_completion_tokens', usage, ...by }
    case 'fail':
      return { type: 'fail', error: { code: 'server_error', message: 'It broke.' }, usage, ...by }
    case 'lose_lease':
      return { type: 'lose_lease', maxAttempts, ...by }
    case 'submit_outputs':
    case 'promote':
      return { type: drawn.what, owner: drawn.node, deadline: now + lifetime, now }
    case 'expire':
      return { type: 'expire', usage, now }
    case 'cancel':
    case 'abandon':
      return { type: drawn.what, now }
  }
}
