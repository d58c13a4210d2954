import { defineModel, number, text, type Metadata, type Model } from '../model.ts'
import { MemgptSchemasOpenaiOpenaiToolCall } from './memgpt-schemas-openai-openai-tool-call.ts'
import { OpenAIError } from './open-ai-error.ts'
import { OpenAIUsage } from './open-ai-usage.ts'
import { RequiredAction } from './required-action.ts'

/** The fields of OpenAIRun. */
export interface OpenAIRunFields {
  /** The id of the run. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the run was created, in Unix seconds. */
  created_at: number
  /** The id of the thread that it works on. */
  thread_id: string
  /** The id of the assistant that works. */
  assistant_id: string
  /** `queued`, `in_progress`, `requires_action`, `cancelling`, `cancelled`, `failed`, `completed`, `incomplete` or `expired`. */
  status: string
  /** What the run waits for while it is in `requires_action`. */
  required_action?: RequiredAction | null
  /** Why the run failed. */
  last_error?: OpenAIError | null
  /** When the run expires unless it has ended, in Unix seconds. */
  expires_at: number
  /** When work began, in Unix seconds. */
  started_at?: number | null
  /** When the run was cancelled, in Unix seconds. */
  cancelled_at?: number | null
  /** When the run failed, in Unix seconds. */
  failed_at?: number | null
  /** When the run completed, in Unix seconds. */
  completed_at?: number | null
  /** The model that answers. */
  model: string
  /** The system text; empty if there is none. */
  instructions: string
  /** The function calls that the model has made. */
  tools?: MemgptSchemasOpenaiOpenaiToolCall[] | null
  /** The ids of attached files. */
  file_ids?: string[] | null
  /** Free keys and values kept with the run. */
  metadata?: Metadata | null
  /** The tokens that were used, once the run has ended. */
  usage?: OpenAIUsage | null
}

/** A run: an assistant at work on a thread. */
export const OpenAIRun = defineModel<
  OpenAIRunFields,
  [
    id?: string,
    createdAt?: number,
    threadId?: string,
    assistantId?: string,
    status?: string,
    expiresAt?: number,
    model?: string,
    instructions?: string,
  ]
>(
  'OpenAIRun',
  {
    id: text,
    created_at: number,
    thread_id: text,
    assistant_id: text,
    status: text,
    expires_at: number,
    model: text,
    instructions: text,
  },
  {
    object: text,
    required_action: RequiredAction,
    last_error: OpenAIError,
    started_at: number,
    cancelled_at: number,
    failed_at: number,
    completed_at: number,
    tools: [MemgptSchemasOpenaiOpenaiToolCall],
    file_ids: [text],
    metadata: Object,
    usage: OpenAIUsage,
  },
  { object: 'thread.run' },
)
export type OpenAIRun = Model<OpenAIRunFields>
