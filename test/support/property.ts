import { relative } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'

// Property tests that can be repeated: each draws its cases from a random seed, and a failure prints the one
// command that finds and shrinks it again. FC_SEED and FC_PATH repeat a failure, FC_RUNS asks for more cases.

const usualRuns = 2000

/** An integer from the environment; a mistyped one must not silently test something else. */
function integer(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new Error(`${name} must be an integer, not ${JSON.stringify(text)}`)
  return value
}

/** Checks a property; answers null or the report of its failure with the command that repeats it. */
export function failureOf<T>(
  title: string,
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => void,
  env: NodeJS.ProcessEnv = process.env,
): string | null {
  const details = fc.check(fc.property(arbitrary, check), {
    numRuns: integer(env, 'FC_RUNS') ?? usualRuns,
    seed: integer(env, 'FC_SEED'),
    path: env['FC_PATH'] ?? '',
  })
  if (!details.failed) return null
  // The path is that of one property: the others of the file must not be led along it.
  const pattern = title.replaceAll(/[^\w ,:;-]/g, '.')
  const file = relative('.', process.argv[1] ?? '')
  const repeat =
    `FC_SEED=${details.seed} FC_PATH=${details.counterexamplePath} ` +
    `node_modules/.bin/node --test --test-name-pattern='^${pattern}$' ${file}`
  const cause = details.errorInstance instanceof Error ? `\n\n${details.errorInstance.stack}` : ''
  return `${fc.defaultReportMessage(details)}${cause}\n\nRun it again:\n  ${repeat}\n`
}

/** A test that a property holds for whatever is drawn. */
export function property<T>(title: string, arbitrary: fc.Arbitrary<T>, check: (value: T) => void): void {
  test(title, () => {
    const failure = failureOf(title, arbitrary, check)
    if (failure !== null) throw new Error(failure)
  })
}
