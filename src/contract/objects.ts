// Wire shapes of the v2 dialect (wire.md §4-§6): what this server sends. Timestamps are Unix seconds.
//
// Glossary. thread: a conversation; it holds messages. run: one execution of an assistant on a thread. step:
// one thing a run did (wrote a message, or called tools). tool call: a function the model asks the client to
// run; its output comes back by submit_tool_outputs. turn: one call of the model; a run has one or more.

export type Metadata = Record<string, string>

export interface FunctionTool {
  type: 'function'
  function: {
    name: string
    description?: string
    parameters?: Record<string, unknown>
    strict?: boolean | null
  }
}

export type Tool =
  | FunctionTool
  | { type: 'code_interpreter' }
  | { type: 'file_search'; file_search?: Record<string, unknown> }

export type ToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { type: 'function'; function: { name: string } }
  | { type: 'file_search' }
  | { type: 'code_interpreter' }

export type ResponseFormat =
  | 'auto'
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema'
      json_schema: {
        name: string
        description?: string
        schema?: Record<string, unknown>
        strict?: boolean | null
      }
    }

export interface TruncationStrategy {
  type: 'auto' | 'last_messages'
  last_messages: number | null
}

export type ToolResources = Record<string, unknown>

export interface UsageObject {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
}

export interface AssistantObject {
  id: string
  object: 'assistant'
  created_at: number
  name: string | null
  description: string | null
  model: string
  instructions: string | null
  tools: Tool[]
  tool_resources: ToolResources | null
  metadata: Metadata
  temperature: number
  top_p: number
  response_format: ResponseFormat
  reasoning_effort: string | null
}

export interface ThreadObject {
  id: string
  object: 'thread'
  created_at: number
  tool_resources: ToolResources | null
  metadata: Metadata
}

export type MessageContent =
  | { type: 'text'; text: { value: string; annotations: unknown[] } }
  | { type: 'image_file'; image_file: { file_id: string; detail?: string } }
  | { type: 'image_url'; image_url: { url: string; detail?: string } }

export interface Attachment {
  file_id: string
  tools: { type: 'code_interpreter' | 'file_search' }[]
}

export type IncompleteReason =
  | 'content_filter'
  | 'max_tokens'
  | 'run_cancelled'
  | 'run_expired'
  | 'run_failed'

export interface MessageObject {
  id: string
  object: 'thread.message'
  created_at: number
  thread_id: string
  status: 'in_progress' | 'incomplete' | 'completed'
  incomplete_details: { reason: IncompleteReason } | null
  completed_at: number | null
  incomplete_at: number | null
  role: 'user' | 'assistant'
  content: MessageContent[]
  assistant_id: string | null
  run_id: string | null
  attachments: Attachment[]
  metadata: Metadata
}

export type RunStatus =
  | 'queued'
  | 'in_progress'
  | 'requires_action'
  | 'cancelling'
  | 'cancelled'
  | 'failed'
  | 'completed'
  | 'incomplete'
  | 'expired'

export type ErrorCode = 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt'

export interface RunToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

export interface RunObject {
  id: string
  object: 'thread.run'
  created_at: number
  thread_id: string
  assistant_id: string
  status: RunStatus
  required_action: { type: 'submit_tool_outputs'; submit_tool_outputs: { tool_calls: RunToolCall[] } } | null
  last_error: { code: ErrorCode; message: string } | null
  expires_at: number | null
  started_at: number | null
  cancelled_at: number | null
  failed_at: number | null
  completed_at: number | null
  incomplete_details: { reason: 'max_prompt_tokens' | 'max_completion_tokens' } | null
  model: string
  instructions: string
  tools: Tool[]
  metadata: Metadata
  usage: UsageObject | null
  temperature: number
  top_p: number
  max_prompt_tokens: number | null
  max_completion_tokens: number | null
  truncation_strategy: TruncationStrategy
  tool_choice: ToolChoice
  parallel_tool_calls: boolean
  response_format: ResponseFormat
}

export interface StepToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string; output: string | null }
}

export type StepDetails =
  | { type: 'message_creation'; message_creation: { message_id: string } }
  | { type: 'tool_calls'; tool_calls: StepToolCall[] }

export type StepStatus = 'in_progress' | 'cancelled' | 'failed' | 'completed' | 'expired'

export interface RunStepObject {
  id: string
  object: 'thread.run.step'
  created_at: number
  assistant_id: string
  thread_id: string
  run_id: string
  type: StepDetails['type']
  status: StepStatus
  step_details: StepDetails
  last_error: { code: 'server_error' | 'rate_limit_exceeded'; message: string } | null
  expired_at: number | null
  cancelled_at: number | null
  failed_at: number | null
  completed_at: number | null
  metadata: Metadata
  usage: UsageObject | null
  expires_at: number | null
}
