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

/** A text's weight by its kinds of characters, in twentieths of a token; measured with tokenizers of three families. */
const weight = { letter: 5, sign: 10, twoBytes: 16, threeBytes: 24 }

/**
 * Rough token count of a text, the only estimate of it: what a prompt may hold, budgets, and the usage that a
 * backend does not report. Four letters a token as tokenizers average on English, two digits or signs (JSON, code),
 * and 2.5 bytes of UTF-8 beyond ASCII. That is at least what the newer tokenizers make of Chinese, Japanese or
 * Korean, and up to half more for scripts that they know well; dense data such as base64 can be twice as much.
 */
export function estimateTokens(text: string): number {
  let sum = 0
  for (let i = 0; i < text.length; i++) sum += weightOf(text.charCodeAt(i))
  return Math.ceil(sum / 20)
}

function weightOf(unit: number): number {
  if (unit >= 0x80) return unit < 0x800 || isSurrogate(unit) ? weight.twoBytes : weight.threeBytes
  const isLetter = (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x20
  return isLetter ? weight.letter : weight.sign
}

/** Half of a pair, which stands for two of the four bytes of a character. */
function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
