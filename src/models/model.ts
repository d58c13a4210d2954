import type { ToolChoice, FunctionTool, ResponseFormat } from '../contract/tools.ts'
import type { Usage } from '../domain/usage.ts'

// What the engine asks of a model backend. Everything a provider does differently is settled behind this
// interface: the engine sees text, whole tool-call ids and names, argument fragments, and one end.

/** One turn's message in the Chat Completions protocol. */
export type ChatMessage =
  | { role: 'system'; content: string }
  | { role: 'user'; content: string | ChatPart[] }
  | { role: 'assistant'; content: string | null; tool_calls?: ChatToolCall[] }
  | { role: 'tool'; tool_call_id: string; content: string }

export type ChatPart =
  | { type: 'text'; text: string }
  | { type: 'image_url'; image_url: { url: string; detail?: string } }

export interface ChatToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

/** A key that is absent was not set by the client and must not be sent: backends refuse what they do not know. */
export interface ModelRequest {
  model: string
  messages: ChatMessage[]
  tools?: FunctionTool[]
  tool_choice?: Extract<ToolChoice, string> | { type: 'function'; function: { name: string } }
  parallel_tool_calls?: boolean
  temperature?: number
  top_p?: number
  max_completion_tokens?: number
  response_format?: ResponseFormat
  reasoning_effort?: string
}

/**
 * What arrives while the model answers, already normalised: calls are numbered from 0 in ascending order, a
 * call is announced once (whole id and name) before its fragments, and the next begins only after the last ended.
 */
export type ModelEvent =
  | { type: 'text'; text: string }
  | { type: 'call'; index: number; id: string; name: string }
  | { type: 'arguments'; index: number; text: string }

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

export interface ModelEnd {
  finish: FinishReason
  /** From the backend, or estimated where it reports none. */
  usage: Usage
}

export interface ModelInfo {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

/** Lower-case names. */
export type Headers = Readonly<Record<string, string>>

export interface Model {
  /** For the start banner and logs; holds no credential. */
  readonly description: string
  /**
   * Runs one turn, calling `on` as events arrive. Rejects with ModelError for every backend fault and with the
   * signal's reason when aborted (the backend request is then closed). `headers` go to the backend with the request.
   */
  complete(
    request: ModelRequest,
    on: (event: ModelEvent) => void,
    signal: AbortSignal,
    headers?: Headers,
  ): Promise<ModelEnd>
  /** What GET /v1/models shows. Rejects with ModelError when the backend does not answer. */
  list(signal: AbortSignal): Promise<ModelInfo[]>
}

/** A backend fault, already in the run's terms (wire.md §5 "Mapping backend faults"). `message` is shown to users. */
export class ModelError extends Error {
  readonly code: 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt'
  constructor(code: ModelError['code'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ModelError'
    this.code = code
  }
}
