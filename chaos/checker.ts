import { callFaults } from './checker-calls.ts'
import { readingFaults } from './checker-events.ts'
import type { Dump, StoredMessage, StoredRun } from './dump.ts'
import type { History, Strike } from './history.ts'
import { answerTo, type ModelCall } from './model.ts'
import { canFollow, isTerminal, statuses } from './table.ts'

// Judges what clients saw against what the store holds in the end. It shares no code with the server: what a run may do is
// in table.ts, what a model said in model.ts.

export interface Evidence {
  history: History
  dump: Dump
  calls: readonly ModelCall[]
  strikes: readonly Strike[]
  /** How often a turn may lose its server. */
  attempts: number
}

/** What is wrong, in words; each begins with the invariant that it breaks. */
export function violations(evidence: Evidence): string[] {
  return [
    ...requestFaults(evidence),
    ...orderFaults(evidence),
    ...runFaults(evidence),
    ...sightingFaults(evidence),
    ...readingFaults(evidence),
    ...callFaults(evidence),
    ...evidence.history.badAnswers.map(
      ({ path, status, body }) => `I11 ${path} was answered ${status}: ${body}`,
    ),
    ...evidence.history.stuck.map((text) => `I6 ${text}`),
  ]
}

/** I5: what was acknowledged is there once, what was not at most once, and what was refused not at all. */
function requestFaults({ history, dump }: Evidence): string[] {
  const gone = new Set(dump.threads.filter(({ deleted }) => deleted).map(({ id }) => id))
  const stored = new Set(dump.threads.map(({ id }) => id))
  const counts = {
    thread: countBy(dump.threads.map(({ marker }) => marker)),
    message: countBy(dump.messages.filter(({ role }) => role === 'user').map(({ text }) => text)),
    run: countBy(dump.runs.map(({ marker }) => marker)),
  }
  const deletes = new Set(
    history.requests.filter(({ deed }) => deed === 'delete').map(({ thread }) => thread),
  )
  return history.requests.flatMap((request) => {
    const { deed, marker, thread, outcome } = request
    if (deed === 'delete' && outcome === 'refused') return [`I5 the deletion of ${marker} was refused`]
    if (deed !== 'thread' && deed !== 'message' && deed !== 'run') return []
    const found = counts[deed].get(marker) ?? 0
    // The rows of a deleted thread are removed in their time.
    const mayBeGone = deletes.has(deed === 'thread' ? request.id : thread) || gone.has(thread ?? '')
    if (found > 1) return [`I5 ${deed} ${marker} is there ${found} times`]
    if (outcome === 'done' && found === 0 && !mayBeGone)
      return [`I5 ${deed} ${marker} was acknowledged and is lost`]
    if (outcome === 'refused' && found > 0) return [`I5 ${deed} ${marker} was refused and is there`]
    // Clients ask for nothing that could not be: all that is refused was lost sight of, or forbidden by a lock that hangs.
    if (outcome === 'refused') return [`I5 ${deed} ${marker} was refused`]
    if (deed === 'thread' && outcome === 'done' && !stored.has(request.id ?? '') && !mayBeGone)
      return [`I5 thread ${request.id} is there under another id`]
    return []
  })
}

/** I5: within a thread, what was acknowledged before something else was sent comes before it. */
function orderFaults({ history, dump }: Evidence): string[] {
  const place = new Map<string, number>()
  for (const message of dump.messages) if (message.role === 'user') place.set(message.text, message.seq)
  for (const run of dump.runs) if (run.marker !== null) place.set(run.marker, run.seq)
  const threads = Map.groupBy(
    history.requests.filter(
      ({ deed, outcome }) => (deed === 'message' || deed === 'run') && outcome === 'done',
    ),
    ({ thread }) => thread,
  )
  return [...threads.values()].flatMap((requests) =>
    requests.flatMap((later, i) => {
      const earlier = requests.slice(0, i).findLast((one) => (one.answeredAt ?? Infinity) < later.sentAt)
      if (!earlier) return []
      const [before, behind] = [place.get(earlier.marker), place.get(later.marker)]
      if (before === undefined || behind === undefined || before < behind) return []
      return [`I5 ${later.marker} came after ${earlier.marker} and stands before it`]
    }),
  )
}

/** I2, I3, I6, I7, I9: how runs, locks, messages and steps are in the end. */
function runFaults({ history, dump, strikes, attempts }: Evidence): string[] {
  const deleted = new Set(dump.threads.filter((thread) => thread.deleted).map(({ id }) => id))
  const messages = Map.groupBy(dump.messages, ({ run_id }) => run_id)
  const steps = Map.groupBy(dump.steps, ({ run_id }) => run_id)
  const found: string[] = []
  for (const run of dump.runs.filter(({ thread_id }) => !deleted.has(thread_id))) {
    const of = `${run.id} (${run.marker})`
    if (!statuses.has(run.status)) found.push(`I9 ${of} is ${run.status}`)
    else if (!isTerminal(run.status) && run.status !== 'requires_action')
      found.push(`I6 ${of} is still ${run.status}`)
    if (history.cancelled.has(run.id) && run.status !== 'cancelled')
      found.push(`I1 the cancel of ${of} was acknowledged, and it is ${run.status}`)
    if (run.status === 'failed' && !mayFail(run, history, strikes, attempts))
      found.push(`I6 ${of} failed: ${run.error}`)
    const own = steps.get(run.id) ?? []
    const open = own.filter(({ status }) => status === 'in_progress')
    if (isTerminal(run.status) && open.length > 0) found.push(`I7 ${of} has ended and ${open[0]?.id} has not`)
    for (const step of own)
      if (step.status === 'failed' && !step.error) found.push(`I7 ${step.id} failed without a reason`)
    const spent = own.reduce((sum, { tokens }) => sum + (tokens ?? 0), 0)
    if (run.status === 'completed' && spent !== run.tokens)
      found.push(`I7 the steps of ${of} used ${spent} tokens, and the run ${run.tokens}`)
    found.push(...textFaults(run, messages.get(run.id) ?? []))
  }
  for (const { id, active_run_id: holder, deleted: gone } of dump.threads) {
    const run = dump.runs.find((one) => one.id === holder)
    if (holder !== null && !gone && run && isTerminal(run.status))
      found.push(`I3 ${id} is locked by ${holder}`)
  }
  if (dump.waiting > 0) found.push(`I6 ${dump.waiting} entries still wait for a thread`)
  return found
}

/** A turn may lose its servers for good only if as many faults fell into the run's time; the model itself never fails. */
function mayFail(
  { id, marker, error }: StoredRun,
  { requests, sightings }: History,
  strikes: readonly Strike[],
  attempts: number,
): boolean {
  const from = requests.find((one) => one.deed === 'run' && one.marker === marker)?.sentAt ?? 0
  const to = sightings.find((one) => one.run === id && one.status === 'failed')?.at ?? Infinity
  const within = strikes.filter(({ at, until }) => until >= from && at <= to)
  return /stopped \d+ times/.test(error ?? '') && within.length >= attempts
}

/** I7: the text of a completed run is what the model said, whole and once. */
function textFaults(run: StoredRun, messages: StoredMessage[]): string[] {
  const said = messages.filter(({ role }) => role === 'assistant')
  if (said.some(({ status }) => status === 'in_progress') && isTerminal(run.status))
    return [`I7 ${run.id} has ended with an open message`]
  if (run.status !== 'completed') return []
  const expected = answerTo(run.marker ?? '', run.marker?.endsWith('-tool') ? 1 : 0)
  const texts = said.map(({ text }) => text)
  if (texts.length === 1 && texts[0] === expected) return []
  return [`I7 ${run.id} (${run.marker}) should say "${expected}" once, and says ${JSON.stringify(texts)}`]
}

/** I1, I9: what one client sees after another answer follows from it. */
function sightingFaults({ history, dump }: Evidence): string[] {
  const found: string[] = []
  for (const [run, seen] of Map.groupBy(history.sightings, (one) => one.run)) {
    for (const { status } of seen) if (!statuses.has(status)) found.push(`I9 ${run} was shown as ${status}`)
    seen.forEach((later, i) => {
      const earlier = seen.slice(0, i).findLast(({ at }) => at < later.sentAt)
      if (earlier && !canFollow(earlier.status, later.status))
        found.push(`I1 ${run} was ${earlier.status} and then ${later.status}`)
    })
    const last = seen.at(-1)
    const stored = dump.runs.find(({ id }) => id === run)
    if (last && stored && !canFollow(last.status, stored.status))
      found.push(`I1 ${run} was shown as ${last.status} and is ${stored.status}`)
  }
  return found
}

function countBy(values: (string | null)[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) if (value !== null) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}
