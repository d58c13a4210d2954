import { imageType } from '../domain/image-type.ts'
import type { MessageRecord } from '../domain/records.ts'
import type { ChatMessage, ChatPart } from '../models/model.ts'
import { getFile, readFileBytes } from '../store/files.ts'
import { Semaphore } from '../store/semaphore.ts'
import type { Store } from '../store/store.ts'
import { imagePart, imagesOf, isData, notLoaded, type ImagePart, type ShownImages } from './chat-messages.ts'

// Images that the model is sent whole, as data URLs: stored files (image_file), and what clients wrote into the
// message itself. One that cannot be shown does not fail the run, which may be about something else by now: the
// model reads why in its place.

const mebibyte = 1024 * 1024

/** Bytes of one stored image; the hosted models take 20 MB. */
const imageBytesAtMost = 20 * mebibyte
/** Characters of all data URLs of a request, which is in memory as a whole; the hosted models take 50 MB. */
const requestCharsAtMost = 48 * mebibyte

/** Characters of all data URLs of all requests that are not sent yet; their bodies take as much again, twice. */
const processCharsAtMost = 128 * mebibyte

const room = new Semaphore(processCharsAtMost)

type Image = { url: string } | { problem: string }

const tooLarge: Image = { problem: 'too large to be shown' }

export interface LoadedImages {
  shown: ShownImages
  /** To be called once they were sent or are not needed any more: others wait for the room that they take. */
  free: () => void
}

/**
 * Reads the images of `messages`, which are in the thread's order. If they are too large together, the newest are shown.
 * Waits while those of other runs take all the room; if the signal ends that, none are shown.
 */
export async function loadImages(
  store: Store,
  project: string,
  messages: MessageRecord[],
  signal: AbortSignal,
): Promise<LoadedImages> {
  const parts = messages.flatMap(imagesOf)
  if (parts.length === 0) return { shown: notLoaded, free: () => {} }
  const chars = await charsOf(store, project, parts)
  if (chars === 0) return { shown: await readImages(store, project, messages), free: () => {} }
  const free = await room.acquire(chars, signal).catch(() => null)
  if (free === null) return { shown: notLoaded, free: () => {} }
  try {
    return { shown: await readImages(store, project, messages), free }
  } catch (error) {
    free()
    throw error
  }
}

/** Characters that these images take as data URLs, before they are read. */
async function charsOf(store: Store, project: string, parts: ImagePart[]): Promise<number> {
  const sizes = new Map<string, number>()
  let chars = 0
  for (const part of parts) {
    if (part.type === 'image_url') {
      chars += isData(part.image_url.url) ? part.image_url.url.length : 0
      continue
    }
    const { file_id } = part.image_file
    if (!sizes.has(file_id)) sizes.set(file_id, (await getFile(store.pool, project, file_id))?.bytes ?? 0)
    chars += ((sizes.get(file_id) ?? 0) / 3) * 4
  }
  return Math.min(chars, requestCharsAtMost)
}

/** What is to be called when a request was sent: its images are dropped, and the room that they took is free. */
export function droppingImages(messages: ChatMessage[], free: () => void): () => void {
  let dropped = false
  return () => {
    if (dropped) return
    dropped = true
    for (const { content } of messages) {
      if (!Array.isArray(content)) continue
      for (const part of content) if (part.type === 'image_url') part.image_url = withoutData(part.image_url)
    }
    free()
  }
}

/** What is left counts as many tokens as before. */
const withoutData = <T extends { url: string }>(image: T): T =>
  isData(image.url) ? { ...image, url: 'data:' } : image

async function readImages(store: Store, project: string, messages: MessageRecord[]): Promise<ShownImages> {
  const shown = new Map<ImagePart, ChatPart>()
  const files = new Map<string, Image>()
  let left = requestCharsAtMost
  for (const part of messages.toReversed().flatMap(imagesOf)) {
    let image: Image
    if (part.type === 'image_url') image = part.image_url
    else {
      const { file_id } = part.image_file
      image = files.get(file_id) ?? (await readImage(store, project, file_id, left))
      files.set(file_id, image)
    }
    // A file that is shown twice is sent twice.
    if ('url' in image && isData(image.url) && image.url.length > left) image = tooLarge
    if ('url' in image && isData(image.url)) left -= image.url.length
    shown.set(part, 'url' in image ? imagePart(part, image.url) : told(part, image.problem))
  }
  return shown
}

/** A stored image as a data URL of about `maxChars` at most. */
async function readImage(store: Store, project: string, id: string, maxChars: number): Promise<Image> {
  // Base64 writes three bytes as four characters.
  const maxBytes = Math.min(imageBytesAtMost, (maxChars / 4) * 3)
  const file = await readFileBytes(store.pool, project, id, maxBytes)
  if (file === 'too_large') return tooLarge
  if (file === 'missing') return { problem: 'the file is not there any more' }
  const type = imageType(file.bytes)
  if (type === null) return { problem: 'the file is not a PNG, JPEG, GIF or WebP image' }
  return { url: `data:${type};base64,${file.bytes.toString('base64')}` }
}

function told(part: ImagePart, problem: string): ChatPart {
  const name = part.type === 'image_file' ? ` ${part.image_file.file_id}` : ''
  return { type: 'text', text: `[image${name}: ${problem}]` }
}
