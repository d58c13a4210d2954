import { defineModel, type Metadata, type Model } from '../model.ts'

/** The fields of ModifyRunRequest. */
export interface ModifyRunRequestFields {
  /** Free keys and values kept with the run. */
  metadata?: Metadata | null
}

/** The body of a request to change a run. */
export const ModifyRunRequest = defineModel<ModifyRunRequestFields, []>(
  'ModifyRunRequest',
  {},
  { metadata: Object },
)
export type ModifyRunRequest = Model<ModifyRunRequestFields>
