import { defineModel, text, type Model } from '../model.ts'

/** The fields of OpenAIMessageCreationStep. */
export interface OpenAIMessageCreationStepFields {
  /** The form of these details. */
  type?: string | null
  /** The id of the message that was written. */
  message_id: string
}

/** What a step of the type `message_creation` did. */
export const OpenAIMessageCreationStep = defineModel<OpenAIMessageCreationStepFields, [messageId?: string]>(
  'OpenAIMessageCreationStep',
  { message_id: text },
  { type: text },
  { type: 'message_creation' },
)
export type OpenAIMessageCreationStep = Model<OpenAIMessageCreationStepFields>
