import { defineModel, number, text, type Model } from '../model.ts'
import { OpenAIError } from './open-ai-error.ts'
import { OpenAIUsage } from './open-ai-usage.ts'
import { StepDefaults } from './step-defaults.ts'

/** The fields of OpenAIRunStep. */
export interface OpenAIRunStepFields {
  /** The id of the step. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the step began, in Unix seconds. */
  created_at: number
  /** The id of the assistant. */
  assistant_id: string
  /** The id of the thread. */
  thread_id: string
  /** The id of the run. */
  run_id: string
  /** `message_creation` or `tool_calls`. */
  type: string
  /** `in_progress`, `cancelled`, `failed`, `completed` or `expired`. */
  status: string
  /** The message or the tool calls of the step. */
  step_defaults: StepDefaults
  /** Why the step failed. */
  last_error?: OpenAIError | null
  /** When the step expired, in Unix seconds. */
  expired_at?: number | null
  /** When the step failed, in Unix seconds. */
  failed_at?: number | null
  /** When the step completed, in Unix seconds. */
  completed_at?: number | null
  /** The tokens that the step used. */
  usage?: OpenAIUsage | null
}

/** A step of a run: a message that was written, or tools that were called. */
export const OpenAIRunStep = defineModel<
  OpenAIRunStepFields,
  [
    id?: string,
    createdAt?: number,
    assistantId?: string,
    threadId?: string,
    runId?: string,
    type?: string,
    status?: string,
    stepDefaults?: StepDefaults,
  ]
>(
  'OpenAIRunStep',
  {
    id: text,
    created_at: number,
    assistant_id: text,
    thread_id: text,
    run_id: text,
    type: text,
    status: text,
    step_defaults: StepDefaults,
  },
  {
    object: text,
    last_error: OpenAIError,
    expired_at: number,
    failed_at: number,
    completed_at: number,
    usage: OpenAIUsage,
  },
  { object: 'thread.run.step' },
)
export type OpenAIRunStep = Model<OpenAIRunStepFields>
