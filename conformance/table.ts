import type { Check } from './check.ts'
import { allRows, reasonLeftOut } from './rows.ts'
import type { Result } from './score.ts'

/** What rows count as in the summary. */
const kinds: [string, RegExp][] = [
  ['operations of v2', /^§4 (Assistants|Threads|Messages|Runs|Files) /],
  ['operations of the seed', /^seed /],
  ['run statuses', /^§5 status /],
  ['stream events', /^§7 event /],
  ['transcripts', /^§7 (i|v)+(-| )/],
  ['errors', /^§9 /],
  ['helpers of the SDK', /^SDK /],
  ['all rows of the contract', /./],
]

/** The results as a table for people, area by area, with a summary and the total as its last line. */
export function table(areas: Record<string, Check[]>, results: Result[]): string {
  const byId = new Map(results.map((result) => [result.id, result]))
  const parts = Object.entries(areas).map(([area, checks]) => {
    const lines = checks.flatMap(({ id }) => lineOf(byId.get(id)))
    return lines.length > 0 ? `${area}\n${lines.join('\n')}\n` : ''
  })
  return [...parts.filter(Boolean), summary(results), total(results)].join('\n')
}

function lineOf(result: Result | undefined): string[] {
  if (!result) return []
  const { id, outcome, reason, milliseconds } = result
  const word = { passed: 'pass', failed: 'FAIL', 'not run': 'not run' }[outcome]
  const line = `  ${word.padEnd(8)}${id.padEnd(64)}${String(milliseconds).padStart(6)} ms`
  const why = (reason ?? '').split('\n').filter((each) => each.trim())
  return [line, ...why.slice(0, 14).map((each) => `            ${each}`)]
}

/** A row counts as proved if every check of it passed. */
function summary(results: Result[]): string {
  const rows = allRows().filter((row) => reasonLeftOut(row) === undefined)
  const tried = rows.filter((row) => results.some((result) => result.rows.includes(row)))
  const isProved = (row: string) =>
    results.filter((result) => result.rows.includes(row)).every(({ outcome }) => outcome === 'passed')
  const lines = kinds.flatMap(([kind, pattern]) => {
    const those = tried.filter((row) => pattern.test(row))
    if (those.length === 0) return []
    return `  ${kind.padEnd(26)}${String(those.filter(isProved).length).padStart(4)} of ${those.length}`
  })
  return `proved\n${lines.join('\n')}\n`
}

/** `230 of 230`, and what was not run. */
export function total(results: Result[]): string {
  const count = (outcome: Result['outcome']) => results.filter((one) => one.outcome === outcome).length
  const idle = count('not run')
  return `${count('passed')} of ${results.length}${idle > 0 ? `, ${idle} not run` : ''}`
}
