import { defineModel, number, text, type Model } from '../model.ts'

/** The fields of AssistantFile. */
export interface AssistantFileFields {
  /** The id of the file. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the file was attached, in Unix seconds. */
  created_at: number
  /** The id of the assistant. */
  assistant_id: string
}

/** A file of an assistant. */
export const AssistantFile = defineModel<
  AssistantFileFields,
  [id?: string, createdAt?: number, assistantId?: string]
>(
  'AssistantFile',
  { id: text, created_at: number, assistant_id: text },
  { object: text },
  { object: 'assistant.file' },
)
export type AssistantFile = Model<AssistantFileFields>
