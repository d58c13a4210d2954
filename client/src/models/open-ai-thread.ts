import { defineModel, number, text, type Metadata, type Model } from '../model.ts'

/** The fields of OpenAIThread. */
export interface OpenAIThreadFields {
  /** The id of the thread. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the thread was created, in Unix seconds. */
  created_at: number
  /** Free keys and values kept with the thread. */
  metadata?: Metadata | null
}

/** A thread: the messages of a conversation. */
export const OpenAIThread = defineModel<OpenAIThreadFields, [id?: string, createdAt?: number]>(
  'OpenAIThread',
  { id: text, created_at: number },
  { object: text, metadata: Object },
  { object: 'thread' },
)
export type OpenAIThread = Model<OpenAIThreadFields>
