import type { MessageContent } from '../contract/objects.ts'
import type { MessageRecord } from '../domain/records.ts'
import type { ChatMessage, ChatPart } from '../models/model.ts'

// Messages of a thread as the Chat Completions protocol has them. What the model cannot be given it is told of in a
// line of text, so that it does not answer as if nothing had been there.

export type ImagePart = Exclude<MessageContent, { type: 'text' }>

/** What the model is sent in place of an image; one that is not in here goes as it is. */
export type ShownImages = ReadonlyMap<ImagePart, ChatPart>

/** Before images are loaded: stored ones have no content yet, but as many tokens as after. */
export const notLoaded: ShownImages = new Map()

/**
 * A message of the thread, or null for one that says nothing: an answer may be empty, and backends refuse an empty
 * message. Only users' messages take images in this protocol; in others they become text.
 */
export function toChat(message: MessageRecord, images: ShownImages): ChatMessage | null {
  const { role, content } = message
  // Tools that would read them do not run here; the model is to know of them all the same.
  const attached = message.attachments.map(({ file_id }) => `[attached file: ${file_id}]`)
  if (role === 'assistant' || content.every((part) => part.type === 'text')) {
    const text = linesOf([...content.map(asText), ...attached])
    return text === '' ? null : { role, content: text }
  }
  const parts = content.map((part) => toPart(part, images))
  return { role, content: [...parts, ...attached.map((text): ChatPart => ({ type: 'text', text }))] }
}

/** The text parts of a message, a line each. */
export function textOf(content: MessageContent[]): string {
  return linesOf(content.map((part) => (part.type === 'text' ? part.text.value : '')))
}

function linesOf(texts: string[]): string {
  return texts.join('\n')
}

/** The images that the model is to see of a message. */
export function imagesOf({ role, content }: MessageRecord): ImagePart[] {
  return role === 'user' ? content.filter((part) => part.type !== 'text') : []
}

/** Whether a URL is the image itself. */
export function isData(url: string): boolean {
  return /^data:/i.test(url)
}

function asText(part: MessageContent): string {
  switch (part.type) {
    case 'text':
      return part.text.value
    case 'image_file':
      return `[image ${part.image_file.file_id}]`
    case 'image_url':
      // The characters of an image would be read as text, at a hundred times its price.
      return isData(part.image_url.url) ? '[image]' : `[image ${part.image_url.url}]`
  }
}

function toPart(part: MessageContent, images: ShownImages): ChatPart {
  if (part.type === 'text') return { type: 'text', text: part.text.value }
  return images.get(part) ?? imagePart(part, part.type === 'image_url' ? part.image_url.url : 'data:')
}

/** An image under the URL that its content is at. */
export function imagePart(part: ImagePart, url: string): ChatPart {
  const { detail } = part.type === 'image_url' ? part.image_url : part.image_file
  return { type: 'image_url', image_url: detail === undefined ? { url } : { url, detail } }
}
