import { defineModel, type Model } from '../model.ts'
import { OpenAIMessage } from './open-ai-message.ts'

/** The fields of ListMessagesResponse. */
export interface ListMessagesResponseFields {
  /** The messages. */
  messages: OpenAIMessage[]
}

/** A page of messages. */
export const ListMessagesResponse = defineModel<ListMessagesResponseFields, [messages?: OpenAIMessage[]]>(
  'ListMessagesResponse',
  { messages: [OpenAIMessage] },
  {},
)
export type ListMessagesResponse = Model<ListMessagesResponseFields>
