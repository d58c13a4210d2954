import { estimateTokens } from '../domain/usage.ts'
import type { ChatMessage, ChatPart, ModelRequest } from './model.ts'

// How many tokens a request's prompt has, by estimate: what the context is cut to and budgets are held against,
// and what a backend that reports no usage is taken to have read.

/** Tokens that a message costs beyond its content. */
const messageOverhead = 4

/**
 * Tokens of an image, whatever its bytes: no Chat Completions backend reads it as the characters of its URL. What
 * OpenAI's own models make of a small picture in full detail, and of any in low detail.
 */
const imageTokens = { full: 1_000, low: 85 }

/** Estimated tokens of a request's prompt: its messages, tools and the schema of its answer. */
export function promptTokens(request: Pick<ModelRequest, 'messages' | 'tools' | 'response_format'>): number {
  const { messages, tools = [], response_format: format } = request
  let tokens = 0
  for (const message of messages) tokens += messageTokens(message)
  for (const tool of tools) tokens += estimateTokens(JSON.stringify(tool))
  if (typeof format === 'object' && format.type === 'json_schema')
    tokens += estimateTokens(JSON.stringify(format))
  return tokens
}

/** Estimated tokens of one message. */
export function messageTokens(message: ChatMessage): number {
  const { content } = message
  const calls = message.role === 'assistant' ? (message.tool_calls ?? []) : []
  let tokens = messageOverhead
  if (typeof content === 'string') tokens += estimateTokens(content)
  else for (const part of content ?? []) tokens += partTokens(part)
  for (const call of calls)
    tokens += messageOverhead + estimateTokens(call.function.name + call.function.arguments)
  return tokens
}

function partTokens(part: ChatPart): number {
  if (part.type === 'text') return estimateTokens(part.text)
  return part.image_url.detail === 'low' ? imageTokens.low : imageTokens.full
}
