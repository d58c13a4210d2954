import { defineModel, type Metadata, type Model } from '../model.ts'

/** The fields of ModifyThreadRequest. */
export interface ModifyThreadRequestFields {
  /** Free keys and values kept with the thread. */
  metadata?: Metadata | null
}

/** The body of a request to change a thread. */
export const ModifyThreadRequest = defineModel<ModifyThreadRequestFields, []>(
  'ModifyThreadRequest',
  {},
  { metadata: Object },
)
export type ModifyThreadRequest = Model<ModifyThreadRequestFields>
