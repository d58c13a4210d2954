import { parsePairs } from './pairs.ts'

// How many tokens a model takes as its prompt and answer together. Chat Completions has no way to ask, so the
// table knows the common families, errs low, and MODEL_WINDOWS corrects it.

export type Windows = ReadonlyMap<string, number>

// A model of an unknown family: what small local models are commonly run with.
const unknownWindow = 32_768

/** By the start of the name; of several that match, the longest counts. */
const windowsByPrefix: Readonly<Record<string, number>> = {
  demo: 128_000,
  'gpt-3.5-turbo': 16_385,
  'gpt-4': 8192,
  'gpt-4-32k': 32_768,
  'gpt-4-turbo': 128_000,
  'gpt-4-1106': 128_000,
  'gpt-4-0125': 128_000,
  'gpt-4-vision': 128_000,
  'gpt-4o': 128_000,
  'gpt-4.1': 1_047_576,
  'gpt-4.5': 128_000,
  'gpt-5': 400_000,
  'gpt-oss': 131_072,
  chatgpt: 128_000,
  o1: 200_000,
  'o1-mini': 128_000,
  'o1-preview': 128_000,
  o3: 200_000,
  o4: 200_000,
  claude: 200_000,
  gemini: 1_048_576,
  gemma: 8192,
  gemma3: 131_072,
  'gemma-3': 131_072,
  llama: 8192,
  llama2: 4096,
  'llama-2': 4096,
  'llama3.': 131_072,
  'llama-3.': 131_072,
  'meta-llama-3.': 131_072,
  'llama-4': 131_072,
  llama4: 131_072,
  mistral: 32_768,
  'mistral-large': 131_072,
  'mistral-small': 131_072,
  'mistral-nemo': 131_072,
  mixtral: 32_768,
  qwen: 32_768,
  qwen3: 40_960,
  deepseek: 65_536,
  phi: 16_384,
  'command-r': 131_072,
  grok: 131_072,
  'kimi-k2': 131_072,
  glm: 131_072,
}

/** Reads `name=tokens` pairs, comma-separated, `*` for any model. Throws an Error that names the bad pair. */
export function parseWindows(setting: string): Windows {
  return new Map(
    parsePairs('MODEL_WINDOWS', setting).map(([name, value]) => {
      const tokens = Number(value)
      if (!Number.isSafeInteger(tokens) || tokens < 1) {
        throw new Error(`MODEL_WINDOWS: "${name}=${value}" does not say a whole number of tokens.`)
      }
      return [name, tokens]
    }),
  )
}

/**
 * The context window of `model` in tokens, as it is served (an alias's served name, not the one asked for).
 * An exact override wins, then `*`, then the family that the name begins with, whatever publisher precedes it.
 */
export function contextWindow(model: string, overrides: Windows = new Map()): number {
  const override = overrides.get(model) ?? overrides.get('*')
  if (override !== undefined) return override
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  let best = ''
  for (const prefix of Object.keys(windowsByPrefix)) {
    if (name.startsWith(prefix) && prefix.length > best.length) best = prefix
  }
  return windowsByPrefix[best] ?? unknownWindow
}
