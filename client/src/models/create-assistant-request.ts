import { defineModel, text, type Metadata, type Model } from '../model.ts'

/** The fields of CreateAssistantRequest. */
export interface CreateAssistantRequestFields {
  /** The model that answers. */
  model: string
  /** Its name. */
  name: string
  /** What it is for. */
  description?: string | null
  /** The system text. */
  instructions: string
  /** The names of its tools. */
  tools?: string[] | null
  /** The ids of its files. */
  file_ids?: string[] | null
  /** Free keys and values kept with the assistant. */
  metadata?: Metadata | null
  /** The model for embeddings; this server has no use for it. */
  embedding_model?: string | null
}

/** The body of a request that creates or changes an assistant. */
export const CreateAssistantRequest = defineModel<
  CreateAssistantRequestFields,
  [model?: string, name?: string, instructions?: string]
>(
  'CreateAssistantRequest',
  { model: text, name: text, instructions: text },
  { description: text, tools: [text], file_ids: [text], metadata: Object, embedding_model: text },
)
export type CreateAssistantRequest = Model<CreateAssistantRequestFields>
