import { defineUnion } from '../union.ts'
import { ImageFile } from './image-file.ts'
import { Text } from './text.ts'

/** A part of a message: text or an image. */
export const OpenAIMessageContentInner = defineUnion<OpenAIMessageContentInner>('OpenAIMessageContentInner', [
  Text,
  ImageFile,
])
export type OpenAIMessageContentInner = Text | ImageFile
