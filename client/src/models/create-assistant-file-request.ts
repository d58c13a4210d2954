import { defineModel, text, type Model } from '../model.ts'

/** The fields of CreateAssistantFileRequest. */
export interface CreateAssistantFileRequestFields {
  /** The id of the file. */
  file_id: string
}

/** The body of a request that attaches a file to an assistant. */
export const CreateAssistantFileRequest = defineModel<CreateAssistantFileRequestFields, [fileId?: string]>(
  'CreateAssistantFileRequest',
  { file_id: text },
  {},
)
export type CreateAssistantFileRequest = Model<CreateAssistantFileRequestFields>
