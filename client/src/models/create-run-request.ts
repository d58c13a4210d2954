import { defineModel, text, type Metadata, type Model } from '../model.ts'
import {
  MemgptSchemasOpenaiOpenaiToolCall,
  type MemgptSchemasOpenaiOpenaiToolCallFields,
} from './memgpt-schemas-openai-openai-tool-call.ts'

/** The fields of CreateRunRequest. */
export interface CreateRunRequestFields {
  /** The id of the assistant that is to work. */
  assistant_id: string
  /** The model, if not that of the assistant. */
  model?: string | null
  /** The system text of this run; empty takes that of the assistant. */
  instructions: string
  /** Text to put after the instructions. */
  additional_instructions?: string | null
  /** Functions that the model may call, if not those of the assistant; `arguments` holds the JSON schema of the parameters. */
  tools?: MemgptSchemasOpenaiOpenaiToolCallFields[] | null
  /** Free keys and values kept with the run. */
  metadata?: Metadata | null
}

/** The body of a request for a run. */
export const CreateRunRequest = defineModel<
  CreateRunRequestFields,
  [assistantId?: string, instructions?: string]
>(
  'CreateRunRequest',
  { assistant_id: text, instructions: text },
  {
    model: text,
    additional_instructions: text,
    tools: [MemgptSchemasOpenaiOpenaiToolCall],
    metadata: Object,
  },
)
export type CreateRunRequest = Model<CreateRunRequestFields>
