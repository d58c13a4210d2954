import { defineModel, text, type Metadata, type Model } from '../model.ts'

/** The fields of CreateMessageRequest. */
export interface CreateMessageRequestFields {
  /** Who says it: `user`, or `assistant` for an earlier answer. */
  role: string
  /** The text of the message. */
  content: string
  /** The ids of attached files. */
  file_ids?: string[] | null
  /** Free keys and values kept with the message. */
  metadata?: Metadata | null
}

/** The body of a request for a message. */
export const CreateMessageRequest = defineModel<
  CreateMessageRequestFields,
  [role?: string, content?: string]
>('CreateMessageRequest', { role: text, content: text }, { file_ids: [text], metadata: Object })
export type CreateMessageRequest = Model<CreateMessageRequestFields>
