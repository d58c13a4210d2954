import { defineModel, number, text, type Metadata, type Model } from '../model.ts'
import { OpenAIMessageContentInner } from './open-ai-message-content-inner.ts'

/** The fields of OpenAIMessage. */
export interface OpenAIMessageFields {
  /** The id of the message. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the message was created, in Unix seconds. */
  created_at: number
  /** The id of the thread. */
  thread_id: string
  /** Who says it: `user` or `assistant`. */
  role: string
  /** The parts of the message. */
  content?: OpenAIMessageContentInner[] | null
  /** The id of the assistant that wrote it; empty if none did. */
  assistant_id: string
  /** The id of the run that wrote it. */
  run_id?: string | null
  /** The ids of attached files. */
  file_ids?: string[] | null
  /** Free keys and values kept with the message. */
  metadata?: Metadata | null
}

/** A message of a thread. */
export const OpenAIMessage = defineModel<
  OpenAIMessageFields,
  [id?: string, createdAt?: number, threadId?: string, role?: string, assistantId?: string]
>(
  'OpenAIMessage',
  { id: text, created_at: number, thread_id: text, role: text, assistant_id: text },
  { object: text, content: [OpenAIMessageContentInner], run_id: text, file_ids: [text], metadata: Object },
  { object: 'thread.message' },
)
export type OpenAIMessage = Model<OpenAIMessageFields>
