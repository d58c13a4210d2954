import type { Evidence } from './checker.ts'
import type { Strike } from './history.ts'
import type { ModelCall } from './model.ts'
import { isTerminal } from './table.ts'

// I4, judged by the model's journal: a finished turn is never run again, an unfinished one only after a fault that hit
// the server which ran it, and no two servers run the same turn at one time.

/** A fault may have begun so long, in milliseconds, before the call that it broke: the node still held its lease then. */
const grace = 4_000

/** The system tells of a broken connection so late, in milliseconds. */
const late = 300

export function callFaults(evidence: Evidence): string[] {
  const { calls, strikes, attempts } = evidence
  const found: string[] = []
  for (const [name, of] of Map.groupBy(calls, ({ job, turn }) => `turn ${turn} of ${job}`)) {
    if (of.length > attempts) found.push(`I4 the model was called ${of.length} times for ${name}`)
    for (const [i, next] of of.entries()) {
      const before = of[i - 1]
      if (!before) continue
      if (!strikes.some((strike) => excuses(strike, before, next)))
        found.push(
          `I4 the model was called again for ${name} although nothing had happened ${told(before, next)}`,
        )
      if ((before.endedAt ?? Infinity) > next.at + late && !strikes.some((one) => sleeps(one, before, next)))
        found.push(`I4 ${before.node} and ${next.node} called the model for ${name} at one time`)
    }
  }
  return [...found, ...finishedFaults(evidence)]
}

function told(before: ModelCall, next: ModelCall): string {
  const ms = (at: number | null) => (at === null ? '-' : Math.round(at))
  return `to ${before.node}: ${ms(before.at)} to ${ms(before.endedAt)}, then ${ms(next.at)} by ${next.node}`
}

/** Whether the fault may be why the turn was run again. */
function excuses({ at, until, node }: Strike, before: ModelCall, next: ModelCall): boolean {
  return (node === null || node === before.node) && until >= before.at - grace && at <= next.at
}

/** A process that is paused holds its connections open, and cannot know that it is not the owner any more. */
function sleeps({ kind, at, until, node }: Strike, before: ModelCall, next: ModelCall): boolean {
  return kind.startsWith('pause') && node === before.node && at <= next.at && until >= next.at - late
}

/** What was told to be over stays over, whatever happened: no excuse counts here. */
function finishedFaults({ history, calls }: Evidence): string[] {
  const job = new Map(
    history.requests.filter(({ deed }) => deed === 'run').map(({ id, marker }) => [id, marker]),
  )
  const ended = new Map<string, number>()
  const asked = new Map<string, number>()
  const earliest = (of: Map<string, number>, name: string, at: number) =>
    of.set(name, Math.min(at, of.get(name) ?? Infinity))
  for (const { run, status, at } of history.sightings) {
    const name = job.get(run)
    if (name === undefined) continue
    if (isTerminal(status)) earliest(ended, name, at)
    if (status === 'requires_action') earliest(asked, name, at)
  }
  // The second turn is called when the first is stored.
  for (const { job: name, turn, at } of calls) if (turn > 0) earliest(asked, name, at)
  return calls.flatMap(({ job: name, turn, at, node }) => {
    const over = ended.get(name) ?? Infinity
    if (at > over) {
      const others = calls.filter((call) => call.job === name).map((call) => call.node)
      return [
        `I4 the model was called for turn ${turn} of ${name} after its run had ended: ` +
          `by ${node}, ${Math.round(at - over)} ms later; all its calls: ${others.join(', ')}`,
      ]
    }
    if (turn === 0 && at > (asked.get(name) ?? Infinity))
      return [`I4 the model was called for turn 0 of ${name}, which had been finished`]
    return []
  })
}
