import type { RunRecord } from './records.ts'

// Token budgets of a run (wire.md §5): max_prompt_tokens and max_completion_tokens hold for all of its turns
// together, by best effort. What ended turns have used is known, what the next one's prompt takes is estimated.
// A budget stops a run only between turns: an answer that is there is never taken back for having cost too much.

export type Budget = 'max_prompt_tokens' | 'max_completion_tokens'

export interface TokensLeft {
  /** Infinity = the client set no limit; below zero after a turn that took more than was left. */
  prompt: number
  completion: number
}

/** Tokens that the run's turns to come may use. */
export function tokensLeft({ settings, state }: RunRecord): TokensLeft {
  const { max_prompt_tokens, max_completion_tokens } = settings
  return {
    prompt: (max_prompt_tokens ?? Infinity) - state.usage.prompt_tokens,
    completion: (max_completion_tokens ?? Infinity) - state.usage.completion_tokens,
  }
}

/** The budget that forbids a turn with a prompt of this size, if one does. */
export function spentBudget(left: TokensLeft, promptTokens: number): Budget | null {
  if (left.completion <= 0) return 'max_completion_tokens'
  return promptTokens > left.prompt ? 'max_prompt_tokens' : null
}
