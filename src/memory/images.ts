import { imageType } from '../domain/image-type.ts'
import type { MessageRecord } from '../domain/records.ts'
import type { ChatPart } from '../models/model.ts'
import { readFileBytes } from '../store/files.ts'
import type { Store } from '../store/store.ts'
import { imagePart, imagesOf, isData, type ImagePart, type ShownImages } from './chat-messages.ts'

// Images that the model is sent whole, as data URLs: stored files (image_file), and what clients wrote into the
// message itself. One that cannot be shown does not fail the run, which may be about something else by now: the
// model reads why in its place.

const mebibyte = 1024 * 1024

/** Bytes of one stored image; the hosted models take 20 MB. */
const imageBytesAtMost = 20 * mebibyte
/** Characters of all data URLs of a request, which is in memory as a whole; the hosted models take 50 MB. */
const requestCharsAtMost = 48 * mebibyte

type Image = { url: string } | { problem: string }

const tooLarge: Image = { problem: 'too large to be shown' }

/** Reads the images of `messages`, which are in the thread's order. If they are too large together, the newest are shown. */
export async function loadImages(
  store: Store,
  project: string,
  messages: MessageRecord[],
): Promise<ShownImages> {
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
