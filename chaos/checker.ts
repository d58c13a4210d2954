import type { Dump, StoredMessage, StoredRun } from './dump.ts'
import type { History, Reading } from './history.ts'
import { answerTo, type ModelCall } from './model.ts'
import { canFollow, isTerminal, statuses } from './table.ts'

// Judges what clients saw against what the store holds in the end. It shares no code with the server: what a run may do is
// in table.ts, what a model said in model.ts.

export interface Evidence {
  history: History
  dump: Dump
  calls: readonly ModelCall[]
  /** When servers were killed, stopped or cut off. */
  faults: readonly number[]
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
    if (deed !== 'thread' && deed !== 'message' && deed !== 'run') return []
    const found = counts[deed].get(marker) ?? 0
    // The rows of a deleted thread are removed in their time.
    const mayBeGone = deletes.has(deed === 'thread' ? request.id : thread) || gone.has(thread ?? '')
    if (found > 1) return [`I5 ${deed} ${marker} is there ${found} times`]
    if (outcome === 'done' && found === 0 && !mayBeGone)
      return [`I5 ${deed} ${marker} was acknowledged and is lost`]
    if (outcome === 'refused' && found > 0) return [`I5 ${deed} ${marker} was refused and is there`]
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
function runFaults({ history, dump, faults, attempts }: Evidence): string[] {
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
    if (run.status === 'failed' && !mayFail(run, faults, attempts))
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
function mayFail(run: StoredRun, faults: readonly number[], attempts: number): boolean {
  return /stopped \d+ times/.test(run.error ?? '') && faults.length >= attempts
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

/** I8: all readers of a run see one order, and its deltas add up to what is stored. */
function readingFaults({ history, dump }: Evidence): string[] {
  const stored = new Map(dump.messages.map((message) => [message.id, message]))
  const found: string[] = []
  for (const [run, readings] of Map.groupBy(history.readings, (one) => one.run)) {
    const known = new Map<string, string>()
    for (const reading of readings) {
      found.push(...placeFaults(reading))
      for (const { id, event, data } of reading.events) {
        const before = known.get(id)
        if (before !== undefined && before !== `${event} ${data}`)
          found.push(`I8 ${run} has two events ${id}`)
        known.set(id, `${event} ${data}`)
      }
      if (reading.whole) found.push(...deltaFaults(reading, stored))
    }
  }
  return found
}

function placeFaults({ run, events }: Reading): string[] {
  const place = (id: string) => id.split('.').map(Number) as [number, number]
  for (const [i, { id }] of events.entries()) {
    const before = events[i - 1]
    if (!before) continue
    const [[term, no], [lastTerm, lastNo]] = [place(id), place(before.id)]
    if (term > lastTerm ? no === 0 : term === lastTerm && no === lastNo + 1) continue
    return [`I8 a reader of ${run} got ${id} behind ${before.id}`]
  }
  return []
}

function deltaFaults({ run, events }: Reading, stored: Map<string, StoredMessage>): string[] {
  const texts = new Map<string, string>()
  const closed = new Set<string>()
  for (const { event, data } of events) {
    if (!event.startsWith('thread.message.')) continue
    const object = JSON.parse(data) as { id: string; delta?: { content?: { text: { value: string } }[] } }
    if (event === 'thread.message.delta') {
      const more = object.delta?.content?.[0]?.text.value ?? ''
      texts.set(object.id, (texts.get(object.id) ?? '') + more)
    } else if (event === 'thread.message.completed' || event === 'thread.message.incomplete')
      closed.add(object.id)
  }
  return [...texts].flatMap(([id, text]) => {
    const message = stored.get(id)
    if (!closed.has(id)) return [`I8 message ${id} of ${run} was never closed`]
    if (message && message.text !== text)
      return [`I8 the deltas of ${id} say "${text}", it says "${message.text}"`]
    return []
  })
}

/** A finished turn is never run again, and an unfinished one once for each server that it lost. */
function callFaults({ history, calls, faults, attempts }: Evidence): string[] {
  const found: string[] = []
  const endSeen = new Map<string, number>()
  const marker = new Map(
    history.requests.filter(({ deed }) => deed === 'run').map((one) => [one.id, one.marker]),
  )
  for (const { run, status, at } of history.sightings) {
    const job = marker.get(run)
    if (job === undefined || !isTerminal(status)) continue
    endSeen.set(job, Math.min(at, endSeen.get(job) ?? Infinity))
  }
  for (const [name, of] of Map.groupBy(calls, ({ job, turn }) => `${job} turn ${turn}`)) {
    if (of.length > attempts) found.push(`I4 the model was called ${of.length} times for ${name}`)
    const first = of[0]
    const extra = of
      .slice(1)
      .filter(({ at }) => !faults.some((fault) => fault >= (first?.at ?? 0) - 1_000 && fault <= at))
    if (extra.length > 0)
      found.push(`I4 the model was called again for ${name} although nothing had happened`)
    const late = of.find(({ job, at }) => at > (endSeen.get(job) ?? Infinity))
    if (late) found.push(`I4 the model was called for ${name} after its run had ended`)
  }
  return found
}

function countBy(values: (string | null)[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const value of values) if (value !== null) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}
