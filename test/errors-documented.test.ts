import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { ErrorCode } from '../src/contract/objects.ts'
import { errorKinds } from '../src/contract/errors.ts'

// docs/errors.md and the registry say the same.

const lines = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8').split('\n')

/** The cells of each table row whose first cell is code, by that code. */
function tableRows(columns: number): [string, string[]][] {
  return lines.flatMap((line): [string, string[]][] => {
    const cells = line.split('|').slice(1, -1)
    const key = /^ `(\w+)` $/.exec(cells[0] ?? '')?.[1]
    return key === undefined || cells.length !== columns ? [] : [[key, cells.map((cell) => cell.trim())]]
  })
}

const documented = tableRows(7)

test('every error has exactly one row in docs/errors.md, and no row is without an error', () => {
  const keys = documented.map(([key]) => key)
  assert.deepEqual(
    keys.toSorted(),
    Object.keys(errorKinds).toSorted(),
    'each key of errorKinds in src/contract/errors.ts needs one row in docs/errors.md',
  )
})

for (const [key, { status, type, code }] of Object.entries(errorKinds)) {
  test(`docs/errors.md tells status, type and code of ${key}, when it comes and what to do`, () => {
    const row =
      documented.find(([one]) => one === key)?.[1] ?? assert.fail(`docs/errors.md has no row for ${key}`)
    const shown = code === null ? 'null' : `\`${code}\``
    assert.deepEqual(row.slice(1, 4), [String(status), `\`${type}\``, shown])
    const [param, when, remedy] = row.slice(4)
    assert.ok(param)
    for (const text of [when, remedy]) assert.match(text ?? '', /^[`A-Z].{5,}\.$/)
  })
}

test('docs/errors.md lists the codes of a failed run, and no other', () => {
  // The type makes this list complete: a code that is missing or too many does not compile.
  const codes: Record<ErrorCode, true> = {
    server_error: true,
    rate_limit_exceeded: true,
    invalid_prompt: true,
  }
  const rows = tableRows(3).map(([code]) => code)
  assert.deepEqual(rows.toSorted(), Object.keys(codes).toSorted())
})
