import { createParser } from 'eventsource-parser'
import { ModelError } from './model.ts'

// A chunk of this size holds a whole answer; a longer line is no chunk but an attack on our memory.
const eventCharsAtMost = 8_000_000

/**
 * Reads the data of server-sent events until `[DONE]` or the end of the bytes, and says whether `[DONE]` came.
 * Bytes may be cut anywhere. A last event without its closing blank line counts if `isWhole` says so, since some
 * servers forget the line and others are cut off in the middle of an event.
 */
export async function readSse(
  body: AsyncIterable<Uint8Array | string>,
  take: (data: string) => void,
  isWhole: (data: string) => boolean,
): Promise<boolean> {
  let done = false
  let ended = false
  const parser = createParser({
    maxBufferSize: eventCharsAtMost,
    onEvent({ data }) {
      if (done || data === '') return
      if (data.trim() === '[DONE]') done = true
      else if (!ended || isWhole(data)) take(data)
    },
    onError(error) {
      if (error.type !== 'max-buffer-size-exceeded') return
      throw new ModelError('server_error', 'The model endpoint sent a chunk too large to take.')
    },
  })
  const decoder = new TextDecoder()
  for await (const bytes of body) {
    parser.feed(typeof bytes === 'string' ? bytes : decoder.decode(bytes, { stream: true }))
    // Not waiting for the end of the bytes: some servers keep the connection open behind [DONE].
    if (done) return true
  }
  ended = true
  parser.feed(`${decoder.decode()}\n\n`)
  return done
}

/** Reads a body as text, no further than `limit` bytes; `whole` says whether that was all. */
export async function readText(
  body: AsyncIterable<Uint8Array | string>,
  limit: number,
): Promise<{ text: string; whole: boolean }> {
  const decoder = new TextDecoder()
  let text = ''
  let left = limit
  for await (const part of body) {
    const bytes = typeof part === 'string' ? new TextEncoder().encode(part) : part
    text += decoder.decode(bytes.subarray(0, left), { stream: true })
    left -= bytes.length
    if (left < 0) return { text, whole: false }
  }
  return { text: text + decoder.decode(), whole: true }
}
