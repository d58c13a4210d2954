import * as parts from './thread-write-sql.ts'
import { bounds, charges, keeps, rowsOf } from './thread-write-rows.ts'
import type { ThreadWrite } from './thread-write.ts'

// The statement for a batch: of its parts, those that the batch needs. Each mixture is prepared once on a connection; there
// are about twenty that occur.

/** What is in a batch. */
interface Needs {
  /** New threads. */
  creates: boolean
  /** New runs. */
  runs: boolean
  /** New messages. */
  messages: boolean
  /** Changes of runs. */
  turns: boolean
  /** New steps. */
  steps: boolean
  /** Messages and steps that are in the store already. */
  changes: boolean
}

const all: Needs = { creates: true, runs: true, messages: true, turns: true, steps: true, changes: true }

export interface Statement {
  name: string
  text: string
  /** Which of the parameters (writeParameters) it takes, by their places from 0. */
  takes: readonly number[]
}

const made = new Map<string, Statement>()

/** The statement for a batch. `waits`: for rows that others hold. */
export function statementFor(batch: readonly ThreadWrite[], waits: boolean): Statement {
  const kept = keeps(batch)
  // What is rare, or waits anyway, is not worth statements of its own.
  const whole = waits || kept || batch.some(isRare)
  const needs = whole ? all : needsOf(batch)
  const charged = charges(batch)
  const bounded = bounds(batch)
  const name = nameOf(needs, { whole, waits, kept, charged, bounded })
  const known = made.get(name)
  if (known) return known
  const statement = { name, ...numbered(textOf(needs, { whole, waits, kept, charged, bounded })) }
  made.set(name, statement)
  return statement
}

function isRare(write: ThreadWrite): boolean {
  if (write.kind === 'advance') return write.rows.removedMessages.length > 0
  return (
    write.kind !== 'create_thread' &&
    write.kind !== 'append' &&
    write.kind !== 'create_run' &&
    write.kind !== 'log'
  )
}

function needsOf(batch: readonly ThreadWrite[]): Needs {
  const needs: Needs = {
    creates: false,
    runs: false,
    messages: false,
    turns: false,
    steps: false,
    changes: false,
  }
  for (const write of batch) {
    if (write.kind === 'create_thread') needs.creates = true
    if ('messages' in write) needs.messages ||= write.messages.length > 0
    if (write.kind === 'create_run' || (write.kind === 'create_thread' && write.run)) needs.runs = true
    if (write.kind === 'log' || write.kind === 'advance') needs.turns = true
    const rows = rowsOf(write)
    if (!rows) continue
    const { newMessages, newSteps, changedMessages, changedSteps } = rows
    needs.messages ||= newMessages.length > 0
    needs.changes ||= changedMessages.length > 0 || changedSteps.length > 0
    needs.steps ||= newSteps.length > 0
  }
  return needs
}

/** What is not of the batch's own making, or rare. */
interface Variant {
  whole: boolean
  waits: boolean
  kept: boolean
  /** Tokens are counted. */
  charged: boolean
  /** Threads have a length. */
  bounded: boolean
}

function nameOf(needs: Needs, { whole, waits, kept, charged, bounded }: Variant): string {
  const letters = Object.entries(needs).map(([need, needed]) => (needed ? need[0] : ''))
  const parts = [
    whole ? '' : `_${letters.join('')}`,
    waits ? '_waiting' : '',
    kept ? '_keeping' : '',
    charged ? '_charging' : '',
    bounded ? '_bounded' : '',
  ]
  return `commit_thread_writes${parts.join('')}`
}

function textOf(needs: Needs, { whole, waits, kept, charged, bounded }: Variant): string {
  const { creates, runs, messages, turns, steps, changes } = needs
  // Only what the rows of threads say decides then.
  const plain = !turns && !bounded
  const chosen = [
    plain ? parts.heldThreads : parts.held,
    bounded ? parts.crowd : null,
    plain ? parts.verdictOfThreads : bounded ? parts.verdictUnlessLong : parts.verdict,
    creates ? parts.newThread : null,
    whole ? parts.touched : parts.touchedThreads,
    turns ? parts.advanced : plain ? null : parts.noneRenamed,
    whole ? parts.newRunOrWaiting : runs ? parts.newRun : null,
    messages ? parts.newMessage : null,
    whole ? parts.entry : null,
    changes ? parts.changedMessage : null,
    whole ? parts.goneMessage : plain ? null : parts.noGoneMessage,
    steps ? parts.newStep : null,
    changes ? parts.changedStep : null,
    turns ? parts.logged : runs ? parts.loggedOfNew : null,
    kept ? parts.kept : null,
    charged ? parts.charged : null,
  ]
  const outcomes = plain ? parts.outcomesOfThreads : bounded ? parts.outcomesUnlessLong : parts.outcomes
  const text = 'with ' + chosen.filter((part) => part !== null).join(', ') + '\n' + outcomes
  return waits ? text.replaceAll(' skip locked', '') : text
}

/** Numbers the parameters that a text has anew, without gaps. */
function numbered(text: string): { text: string; takes: number[] } {
  const used = [...new Set(text.match(/\$\d+/g))].toSorted()
  return {
    text: text.replaceAll(/\$\d+/g, (parameter) => `$${used.indexOf(parameter) + 1}`),
    takes: used.map((parameter) => Number(parameter.slice(1)) - 1),
  }
}
