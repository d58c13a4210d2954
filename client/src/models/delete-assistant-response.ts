import { boolean, defineModel, text, type Model } from '../model.ts'

/** The fields of DeleteAssistantResponse. */
export interface DeleteAssistantResponseFields {
  /** The id of the assistant. */
  id: string
  /** What this object is. */
  object?: string | null
  /** Whether the assistant is deleted. */
  deleted: boolean
}

/** What became of an assistant that was to be deleted. */
export const DeleteAssistantResponse = defineModel<
  DeleteAssistantResponseFields,
  [id?: string, deleted?: boolean]
>(
  'DeleteAssistantResponse',
  { id: text, deleted: boolean },
  { object: text },
  { object: 'assistant.deleted' },
)
export type DeleteAssistantResponse = Model<DeleteAssistantResponseFields>
