import { defineModel, number, text, type Model } from '../model.ts'

/** The fields of MessageFile. */
export interface MessageFileFields {
  /** The id of the file. */
  id: string
  /** What this object is. */
  object?: string | null
  /** When the file was attached, in Unix seconds. */
  created_at: number
  /** The id of the message. */
  message_id: string
}

/** A file of a message. */
export const MessageFile = defineModel<
  MessageFileFields,
  [id?: string, createdAt?: number, messageId?: string]
>(
  'MessageFile',
  { id: text, created_at: number, message_id: text },
  { object: text },
  { object: 'thread.message.file' },
)
export type MessageFile = Model<MessageFileFields>
