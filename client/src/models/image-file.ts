import { defineModel, text, type Model } from '../model.ts'

/** The fields of ImageFile. */
export interface ImageFileFields {
  /** What this part is. */
  type?: string | null
  /** The id of the file. */
  file_id: string
}

/** An image in a message. */
export const ImageFile = defineModel<ImageFileFields, [fileId?: string]>(
  'ImageFile',
  { file_id: text },
  { type: text },
  { type: 'image_file' },
)
export type ImageFile = Model<ImageFileFields>
