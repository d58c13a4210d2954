import { boolean, defineModel, text, type Model } from '../model.ts'

/** The fields of DeleteAssistantFileResponse. */
export interface DeleteAssistantFileResponseFields {
  /** The id of the file. */
  id: string
  /** What this object is. */
  object?: string | null
  /** Whether the file is deleted. */
  deleted: boolean
}

/** What became of a file that was to be taken from an assistant. */
export const DeleteAssistantFileResponse = defineModel<
  DeleteAssistantFileResponseFields,
  [id?: string, deleted?: boolean]
>(
  'DeleteAssistantFileResponse',
  { id: text, deleted: boolean },
  { object: text },
  { object: 'assistant.file.deleted' },
)
export type DeleteAssistantFileResponse = Model<DeleteAssistantFileResponseFields>
