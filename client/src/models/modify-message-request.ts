import { defineModel, type Metadata, type Model } from '../model.ts'

/** The fields of ModifyMessageRequest. */
export interface ModifyMessageRequestFields {
  /** Free keys and values kept with the message. */
  metadata?: Metadata | null
}

/** The body of a request to change a message. */
export const ModifyMessageRequest = defineModel<ModifyMessageRequestFields, []>(
  'ModifyMessageRequest',
  {},
  { metadata: Object },
)
export type ModifyMessageRequest = Model<ModifyMessageRequestFields>
