import { defineModel, text, type Model } from '../model.ts'

/** The fields of Text. */
export interface TextFields {
  /** What this part is. */
  object?: string | null
  /** The text. */
  text: string
}

/** Text in a message. */
export const Text = defineModel<TextFields, [text?: string]>(
  'Text',
  { text: text },
  { object: text },
  { object: 'text' },
)
export type Text = Model<TextFields>
