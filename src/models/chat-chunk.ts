import type { Usage } from '../domain/usage.ts'
import { filled, isObject, type JsonObject } from './json.ts'

// One chunk of a Chat Completions stream, or a whole chat.completion, read leniently: providers leave keys out,
// send null for them, or send other types than the protocol has.

export interface CallFragment {
  index?: number
  id?: string
  name?: string
  arguments: string
  /** Stands behind another call in the same chunk and shares its index (or both have none): a call of its own. */
  fresh: boolean
}

export interface ChatChunk {
  hasChoice: boolean
  text: string
  calls: CallFragment[]
  finish?: string
  usage?: Usage
}

/** What a parsed chunk says. */
export function readChunk(value: unknown): ChatChunk {
  const chunk = isObject(value) ? value : {}
  const choices = Array.isArray(chunk.choices) ? chunk.choices.filter(isObject) : []
  // Only one choice is ever asked for.
  const choice = choices.find((each) => each.index === 0) ?? choices[0]
  const delta = deltaOf(choice)
  return {
    hasChoice: choice !== undefined,
    // A refusal is the answer as far as a reader is concerned. Reasoning is not, and legacy function_call is not
    // asked for: both are left out on purpose.
    text: textOf(delta.content) + textOf(delta.refusal),
    calls: callsOf(delta.tool_calls),
    finish: finishOf(choice?.finish_reason),
    usage: usageOf(chunk.usage) ?? usageOf(choice?.usage),
  }
}

function deltaOf(choice: JsonObject | undefined): JsonObject {
  if (isObject(choice?.delta)) return choice.delta
  return isObject(choice?.message) ? choice.message : {}
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part) => (isObject(part) ? textOf(part.text ?? part.refusal) : textOf(part))).join('')
}

function callsOf(calls: unknown): CallFragment[] {
  if (!Array.isArray(calls)) return []
  const fragments: CallFragment[] = []
  for (const call of calls.filter(isObject)) {
    const { name, arguments: args } = isObject(call.function) ? call.function : {}
    const fragment: CallFragment = {
      index: Number.isInteger(call.index) ? (call.index as number) : undefined,
      id: filled(call.id),
      name: filled(name),
      arguments: argumentsOf(args),
      fresh: false,
    }
    fragment.fresh =
      fragment.name !== undefined &&
      fragments.some((other) => other.index === fragment.index && (!other.id || other.id !== fragment.id))
    fragments.push(fragment)
  }
  return fragments
}

/** Some servers send the arguments as the object that they are, not as its text. */
function argumentsOf(value: unknown): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}

function finishOf(reason: unknown): string | undefined {
  return reason === 'null' ? undefined : filled(reason)
}

// More than any turn can take: such a count is a mistake of the backend's, and sums of it would be none.
const tokensAtMost = 1_000_000_000

/** Zeros stand for "not counted": no prompt has no tokens. */
function usageOf(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined
  const { prompt_tokens: prompt, completion_tokens: completion, total_tokens: total } = value
  if (!isCount(prompt) || !isCount(completion) || prompt + completion === 0) return undefined
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: isCount(total) && total > 0 ? total : prompt + completion,
  }
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= tokensAtMost
}
