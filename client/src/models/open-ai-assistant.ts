import { defineModel, number, text, type Metadata, type Model } from '../model.ts'

/** The fields of OpenAIAssistant. */
export interface OpenAIAssistantFields {
  /** The id of the assistant. */
  id: string
  /** Its name. */
  name: string
  /** What this object is. */
  object?: string | null
  /** What it is for. */
  description?: string | null
  /** When the assistant was created, in Unix seconds. */
  created_at: number
  /** The model that answers. */
  model: string
  /** The system text; empty if there is none. */
  instructions: string
  /** The names of its tools. */
  tools?: string[] | null
  /** The ids of its files. */
  file_ids?: string[] | null
  /** Free keys and values kept with the assistant. */
  metadata?: Metadata | null
}

/** An assistant: instructions, a model and tools under one id. */
export const OpenAIAssistant = defineModel<
  OpenAIAssistantFields,
  [id?: string, name?: string, createdAt?: number, model?: string, instructions?: string]
>(
  'OpenAIAssistant',
  { id: text, name: text, created_at: number, model: text, instructions: text },
  { object: text, description: text, tools: [text], file_ids: [text], metadata: Object },
  { object: 'assistant' },
)
export type OpenAIAssistant = Model<OpenAIAssistantFields>
