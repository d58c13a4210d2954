import type { Check } from './check.ts'
import type { Target } from './target.ts'

/** How one check ended. */
export interface Result {
  id: string
  rows: string[]
  outcome: 'passed' | 'failed' | 'not run'
  /** Why, unless it passed. */
  reason: string | null
  milliseconds: number
}

export interface ScoreOptions {
  /** For one check, in milliseconds; those that wait for an expiry get the run's life on top. */
  timeoutMs: number
  /** Checks at a time. */
  concurrency: number
  /** Hears of each result as it comes. */
  onResult?: (result: Result) => void
}

/** Runs all checks, those that wait longest first; the results are in the order of the checks. */
export async function score(checks: Check[], target: Target, options: ScoreOptions): Promise<Result[]> {
  const results = new Map<Check, Result>()
  const waiting = checks.toSorted((a, b) => Number(b.needs !== null) - Number(a.needs !== null))
  const slow = waiting.filter(({ needs }) => needs !== null)
  const quick = waiting.filter(({ needs }) => needs === null)
  const worker = async () => {
    for (let check = quick.shift(); check; check = quick.shift()) await one(check)
  }
  const one = async (check: Check) => {
    const result = await tried(check, target, options.timeoutMs)
    results.set(check, result)
    options.onResult?.(result)
  }
  // What waits for an expiry waits beside the others.
  await Promise.all([...slow.map(one), ...Array.from({ length: options.concurrency }, worker)])
  return checks.flatMap((check) => results.get(check) ?? [])
}

async function tried(check: Check, target: Target, timeoutMs: number): Promise<Result> {
  const { id, rows, needs } = check
  const { runTtl } = target.options
  const result = { id, rows, milliseconds: 0 }
  if (needs === 'run-ttl' && runTtl === null) {
    const reason = 'needs --run-ttl SECONDS, and a server that lets its runs expire after that time'
    return { ...result, outcome: 'not run', reason }
  }
  const since = performance.now()
  const limit = timeoutMs + (needs === 'run-ttl' ? (runTtl ?? 0) * 2_000 : 0)
  const reason = await bounded(check.run(target), limit)
  const milliseconds = Math.round(performance.now() - since)
  return { ...result, milliseconds, outcome: reason === null ? 'passed' : 'failed', reason }
}

/** Why it failed; null if it did not. */
async function bounded(running: Promise<void>, ms: number): Promise<string | null> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve(`not done within ${ms / 1_000} s`), ms)
  try {
    return await Promise.race([running.then(() => null, reasonOf), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** The words of an error and of what caused it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${reasonOf(error.cause)}`
  return `${error.message}${cause}`.slice(0, 2_000)
}
