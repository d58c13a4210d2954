import { defineModel, text, type Metadata, type Model } from '../model.ts'
import {
  MemgptSchemasOpenaiOpenaiToolCall,
  type MemgptSchemasOpenaiOpenaiToolCallFields,
} from './memgpt-schemas-openai-openai-tool-call.ts'
import { OpenAIThread, type OpenAIThreadFields } from './open-ai-thread.ts'

/** The fields of CreateThreadRunRequest. */
export interface CreateThreadRunRequestFields {
  /** The id of the assistant that is to work. */
  assistant_id: string
  /** The thread to work on; one with an unknown id is created. */
  thread: OpenAIThreadFields
  /** The model that is to answer. */
  model: string
  /** The system text of this run; empty takes that of the assistant. */
  instructions: string
  /** Functions that the model may call, if not those of the assistant. */
  tools?: MemgptSchemasOpenaiOpenaiToolCallFields[] | null
  /** Free keys and values kept with the run. */
  metadata?: Metadata | null
}

/** The body of a request for a thread with a run. */
export const CreateThreadRunRequest = defineModel<
  CreateThreadRunRequestFields,
  [assistantId?: string, thread?: OpenAIThreadFields, model?: string, instructions?: string]
>(
  'CreateThreadRunRequest',
  { assistant_id: text, thread: OpenAIThread, model: text, instructions: text },
  { tools: [MemgptSchemasOpenaiOpenaiToolCall], metadata: Object },
)
export type CreateThreadRunRequest = Model<CreateThreadRunRequestFields>
