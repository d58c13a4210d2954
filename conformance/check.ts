import assert from 'node:assert/strict'
import type { Target } from './target.ts'

/** One rule of the contract, and how it is tried. */
export interface Check {
  /** Begins with its area: `runs.create.defaults`. */
  id: string
  /** The rows of the contract that it proves, named as in rows.ts. */
  rows: string[]
  /** What must be known of the server, without which the check cannot be run. */
  needs: 'run-ttl' | null
  run(target: Target): Promise<void>
}

type Body = (target: Target) => Promise<void>

export function check(id: string, rows: string | string[], run: Body): Check {
  return { id, rows: distinct(rows), needs: null, run }
}

/** A check that waits for a run to expire, which takes `--run-ttl` seconds. */
export function checkOfExpiry(id: string, rows: string | string[], run: Body): Check {
  return { id, rows: distinct(rows), needs: 'run-ttl', run }
}

const distinct = (rows: string | string[]) => [...new Set([rows].flat())]

/** Fails unless `actual` has what `expected` has; other keys may be there. */
export function shows<T extends object>(actual: T, expected: Partial<NoInfer<T>>): void {
  const seen = Object.fromEntries(Object.keys(expected).map((key) => [key, actual[key as keyof T]]))
  assert.deepEqual(seen, expected)
}
