import { isTerminal } from '../contract/events.ts'
import type { RunRecord } from '../domain/records.ts'
import type { RunFailure } from '../domain/run.ts'
import { reasonOf, type Log } from '../log.ts'
import { getRun } from '../store/runs.ts'
import type { Store } from '../store/store.ts'
import { chargeTokens, payerOf, spentText, tokensLeft } from '../store/usage-days.ts'

// What ends a run that would go on (docs/decisions/0024). No turn begins when the tokens of a day are used up; where nobody has such a
// limit, the database is not asked.

export function tooManyTurns(most: number): RunFailure {
  const message = `The model asked for tools again when it had answered ${most} times, as often as it may in one run (MAX_RUN_TURNS).`
  return { code: 'rate_limit_exceeded', message }
}

/** Whether whoever made the run has a limit of tokens a day. */
export function isMetered({ tokenLimits }: Store, run: RunRecord): boolean {
  return tokenLimits.of(payerOf(run)).length > 0
}

/** Why no further turn of the run may begin, or null. `more`: tokens of its present turn. Throws pg's error. */
export async function spentTokens(store: Store, run: RunRecord, more = 0): Promise<RunFailure | null> {
  const payer = payerOf(run)
  const left = await tokensLeft(store.pool, payer, store.tokenLimits.of(payer), more)
  return left === null || left.left > 0 ? null : { code: 'rate_limit_exceeded', message: spentText(left) }
}

/**
 * Counts a turn that its run does not have, since it ended meanwhile: its thread was deleted, say. One that is still to be done is
 * done again, and counted then.
 */
export async function chargeLost(store: Store, log: Log, run: RunRecord, tokens: number): Promise<void> {
  const { id, thread_id, project_id } = run
  const charge = store.tokenLimits.charge(payerOf(run), store.node, tokens)
  if (charge === null) return
  try {
    const now = await getRun(store.pool, project_id, thread_id, id)
    if (now === null || isTerminal(now.state.status)) await chargeTokens(store.pool, charge)
  } catch (error) {
    log.warn('the tokens of a turn were not counted', { run: id, thread: thread_id, reason: reasonOf(error) })
  }
}
