// What a model is told of an image's format comes from its bytes: names and declared types are the client's word.

export type ImageType = 'image/png' | 'image/jpeg' | 'image/gif' | 'image/webp'

const starts: [ImageType, Uint8Array][] = [
  ['image/png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)],
  ['image/jpeg', Uint8Array.of(0xff, 0xd8, 0xff)],
  ['image/gif', new TextEncoder().encode('GIF87a')],
  ['image/gif', new TextEncoder().encode('GIF89a')],
]

/** The media type of an image that models take, told by its first bytes; null for anything else. */
export function imageType(bytes: Uint8Array): ImageType | null {
  const found = starts.find(([, start]) => beginsWith(bytes, start))
  if (found) return found[0]
  // RIFF, four bytes of length, WEBP.
  const isWebp = beginsWith(bytes, ascii('RIFF')) && beginsWith(bytes.subarray(8), ascii('WEBP'))
  return isWebp ? 'image/webp' : null
}

const ascii = (text: string) => new TextEncoder().encode(text)

function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && start.every((byte, i) => bytes[i] === byte)
}
