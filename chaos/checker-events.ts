import type { Evidence } from './checker.ts'
import type { StoredMessage } from './dump.ts'
import type { Reading, SeenEvent } from './history.ts'
import { canFollow, isTerminal, statuses } from './table.ts'

// I8: all readers of a run see one gapless order that follows the table, and its deltas add up to what is stored.

export function readingFaults({ history, dump }: Evidence): string[] {
  const stored = new Map(dump.messages.map((message) => [message.id, message]))
  const ends = new Map(dump.runs.map(({ id, status }) => [id, status]))
  const found: string[] = []
  for (const [run, readings] of Map.groupBy(history.readings, (one) => one.run)) {
    const reference = readings.reduce((a, b) => (Number(b.whole) > Number(a.whole) ? b : a))
    for (const reading of readings) {
      found.push(...placeFaults(reading), ...differences(reading, reference))
      if (!reading.whole) continue
      found.push(...statusFaults(reading, ends.get(run)), ...deltaFaults(reading, stored))
      found.push(...missingFaults(reading, dump.messages))
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

/**
 * Each reader began at the first event, so that each has seen the beginning of the same list. But deltas are told before
 * they are stored: those that were lost with their server end its term for whoever saw them, and for nobody else.
 */
function differences({ run, events, whole }: Reading, reference: Reading): string[] {
  const [own, others] = [termsOf(events), termsOf(reference.events)]
  const last = [...own.keys()].at(-1)
  for (const [term, mine] of own) {
    const other = others.get(term) ?? []
    for (const [i, { id, event, data }] of mine.entries()) {
      const same = other[i]
      if (same && (same.event !== event || same.data !== data)) return [`I8 ${run} has two events ${id}`]
    }
    const [more, most] = [mine.slice(other.length), other.slice(mine.length)]
    const open = term === last && !whole
    const odd = [...more, ...(open ? [] : most)].find(
      ({ event }) => !event.endsWith('.delta') || term === last,
    )
    if (odd) return [`I8 not all readers of ${run} got ${odd.id} ${odd.event}`]
  }
  const missed = reference.events.find(({ id }) => whole && !own.has(termOf(id)))
  return missed ? [`I8 not all readers of ${run} got ${missed.id} ${missed.event}`] : []
}

const termOf = (id: string) => id.split('.')[0] ?? ''

function termsOf(events: readonly SeenEvent[]): Map<string, SeenEvent[]> {
  return Map.groupBy(events, ({ id }) => termOf(id))
}

/** The statuses that a stream tells follow the table and end with what is stored. */
function statusFaults({ run, events }: Reading, stored: string | undefined): string[] {
  const told = events.flatMap(({ event }) => {
    const status = event.replace(/^thread\.run\./, '')
    return status !== event && statuses.has(status) ? [status] : []
  })
  if (events[0]?.event !== 'thread.run.created')
    return [`I8 the events of ${run} begin with ${events[0]?.event}`]
  for (const [i, status] of told.entries()) {
    const before = told[i - 1]
    if (before !== undefined && (isTerminal(before) || !canFollow(before, status)))
      return [`I1 the events of ${run} tell ${before} and then ${status}`]
  }
  const last = told.at(-1) ?? 'nothing'
  if (!isTerminal(last)) return [`I8 the events of ${run} end with ${last}`]
  return stored === undefined || stored === last
    ? []
    : [`I8 the events of ${run} end with ${last}, it is ${stored}`]
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

/** What is stored of a run was told, and what was told to be completed is stored. */
function missingFaults({ run, events }: Reading, messages: readonly StoredMessage[]): string[] {
  const told = new Set(
    events
      .filter(({ event }) => event === 'thread.message.completed')
      .map(({ data }) => (JSON.parse(data) as { id: string }).id),
  )
  const stored = new Set(
    messages.filter(({ run_id, status }) => run_id === run && status === 'completed').map(({ id }) => id),
  )
  return [
    ...[...stored]
      .filter((id) => !told.has(id))
      .map((id) => `I8 message ${id} of ${run} is stored and was never told`),
    ...[...told]
      .filter((id) => !stored.has(id))
      .map((id) => `I8 message ${id} of ${run} was told and is not stored`),
  ]
}
