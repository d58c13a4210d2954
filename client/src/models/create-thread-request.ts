import { defineModel, text, type Metadata, type Model } from '../model.ts'

/** The fields of CreateThreadRequest. */
export interface CreateThreadRequestFields {
  /** What the user says first, one text a message. */
  messages?: string[] | null
  /** Free keys and values kept with the thread. */
  metadata?: Metadata | null
  /** The name of the assistant that the thread is for. */
  assistant_name?: string | null
}

/** The body of a request for a thread. */
export const CreateThreadRequest = defineModel<CreateThreadRequestFields, []>(
  'CreateThreadRequest',
  {},
  { messages: [text], metadata: Object, assistant_name: text },
)
export type CreateThreadRequest = Model<CreateThreadRequestFields>
