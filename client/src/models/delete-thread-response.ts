import { boolean, defineModel, text, type Model } from '../model.ts'

/** The fields of DeleteThreadResponse. */
export interface DeleteThreadResponseFields {
  /** The id of the thread. */
  id: string
  /** What this object is. */
  object?: string | null
  /** Whether the thread is deleted. */
  deleted: boolean
}

/** What became of a thread that was to be deleted. */
export const DeleteThreadResponse = defineModel<DeleteThreadResponseFields, [id?: string, deleted?: boolean]>(
  'DeleteThreadResponse',
  { id: text, deleted: boolean },
  { object: text },
  { object: 'thread.deleted' },
)
export type DeleteThreadResponse = Model<DeleteThreadResponseFields>
