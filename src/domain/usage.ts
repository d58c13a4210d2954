/** Tokens of a step or, summed, of a run (wire.md §5, §6). */
export interface Usage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export const noUsage: Usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }

/** Sum of two usages. */
export function addUsage(a: Usage, b: Usage): Usage {
  return {
    prompt_tokens: a.prompt_tokens + b.prompt_tokens,
    completion_tokens: a.completion_tokens + b.completion_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
  }
}

/** Rough token count of a text: four characters a token, as tokenizers average on English. */
export function estimateTokens(text: string): number {
  return Math.ceil(text.length / 4)
}
