import type { FilePurpose } from '../contract/file-object.ts'
import type {
  Attachment,
  IncompleteReason,
  MessageContent,
  StepDetails,
  StepStatus,
} from '../contract/objects.ts'
import type { Metadata } from '../contract/schema.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type {
  NewToolResources,
  ResponseFormat,
  Tool,
  ToolChoice,
  TruncationStrategy,
} from '../contract/tools.ts'
import type { RunState } from './run.ts'
import type { Usage } from './usage.ts'

// What the store keeps, free of any dialect. Times are Unix seconds; `seq` orders within a thread (messages,
// runs), within a run (steps) or within a project (assistants): ids and times never do.

export interface AssistantRecord {
  id: string
  project_id: string
  created_at: number
  name: string | null
  description: string | null
  model: string
  instructions: string | null
  tools: Tool[]
  tool_resources: NewToolResources | null
  metadata: Metadata
  /** null = not set by the client, so not sent to the model. The wire shows 1. */
  temperature: number | null
  top_p: number | null
  response_format: ResponseFormat
  reasoning_effort: string | null
}

export interface ThreadRecord {
  id: string
  project_id: string
  created_at: number
  tool_resources: NewToolResources | null
  metadata: Metadata
  /** Its own, or null: the server's. */
  policy: ThreadPolicy | null
}

export interface MessageRecord {
  id: string
  project_id: string
  thread_id: string
  role: 'user' | 'assistant'
  status: 'in_progress' | 'incomplete' | 'completed'
  content: MessageContent[]
  assistant_id: string | null
  run_id: string | null
  attachments: Attachment[]
  metadata: Metadata
  created_at: number
  ended_at: number | null
  incomplete_reason: IncompleteReason | null
}

/** Resolved when the run is created and frozen (wire.md §5): later edits of the assistant do not reach it. */
export interface RunSettings {
  model: string
  instructions: string
  tools: Tool[]
  /** null in any of these = not set by the client, so not sent to the model. */
  temperature: number | null
  top_p: number | null
  tool_choice: ToolChoice | null
  parallel_tool_calls: boolean | null
  reasoning_effort: string | null
  response_format: ResponseFormat
  max_prompt_tokens: number | null
  max_completion_tokens: number | null
  truncation_strategy: TruncationStrategy
  /** The id of the key that created it, if there was one. */
  key?: string
  /** Only of runs that were created while traces were told. */
  trace?: RunTrace
}

/** What a run keeps of the request that created it, so that every server tells of it as part of one trace. */
export interface RunTrace {
  /** Its traceparent (W3C Trace Context). */
  parent: string | null
  /** The name of the assistant at that time. */
  agent: string | null
}

export interface RunRecord {
  id: string
  project_id: string
  thread_id: string
  assistant_id: string
  created_at: number
  settings: RunSettings
  metadata: Metadata
  state: RunState
}

export interface StepRecord {
  id: string
  project_id: string
  thread_id: string
  run_id: string
  assistant_id: string
  /** Place within the run, from 0. */
  seq: number
  /** The model turn that made it, from 0: a message and tool calls of one turn are one answer of the model. */
  turn: number
  status: StepStatus
  details: StepDetails
  /** Kept from the end of the turn on; shown once the step has ended. */
  usage: Usage | null
  error: { code: 'server_error' | 'rate_limit_exceeded'; message: string } | null
  created_at: number
  ended_at: number | null
  expires_at: number
}

/** A file that is whole. Its content is kept apart (src/store/file-chunks.ts). */
export interface FileRecord {
  id: string
  project_id: string
  created_at: number
  /** From then on it is gone; null = it stays. */
  expires_at: number | null
  filename: string
  purpose: FilePurpose
  /** Size of the content. */
  bytes: number
}

/** What a run is in the middle of: the rows that must be closed when it ends. */
export interface OpenItems {
  steps: StepRecord[]
  messages: MessageRecord[]
}
