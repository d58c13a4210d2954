import { randomFillSync } from 'node:crypto'

// Ids are made by the node before the write, so that a replayed write is a no-op. The leading characters grow
// with time only to keep index inserts local: order never comes from an id.

const prefixes = {
  assistant: 'asst',
  thread: 'thread',
  message: 'msg',
  run: 'run',
  step: 'step',
  call: 'call',
  file: 'file',
  key: 'key',
} as const

export type IdKind = keyof typeof prefixes

const alphabet = Buffer.from('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz')
const timeChars = 8
const ownChars = 24

/** Where an id is put together: appended to each other, characters make a string of many pieces, which takes a multiple of the memory. */
const text = Buffer.allocUnsafe(16 + ownChars)

function putTime(at: number, ms: number): void {
  let rest = ms
  for (let i = at + timeChars - 1; i >= at; i--) {
    text[i] = alphabet[rest % 62] as number
    rest = Math.floor(rest / 62)
  }
}

// Random bytes are asked for in blocks: each asking costs as much as hundreds of bytes.
const block = Buffer.allocUnsafe(4096)
let used = block.length

function randomByte(): number {
  if (used === block.length) refill()
  return block[used++] as number
}

function refill(): void {
  randomFillSync(block)
  used = 0
}

/** Characters of base62; bytes of 248 and above are thrown away so that each character is equally likely. */
function putRandom(from: number, to: number): void {
  for (let i = from; i < to;) {
    const byte = randomByte()
    if (byte < 248) text[i++] = alphabet[byte % 62] as number
  }
}

/** A new id: the field's prefix, an underscore (of files a hyphen) and 24 characters of base62 (wire.md §2). */
export function newId(kind: IdKind): string {
  const start = text.write(prefixes[kind], 'latin1') + 1
  text.write(kind === 'file' ? '-' : '_', start - 1, 'latin1')
  putTime(start, Date.now())
  putRandom(start + timeChars, start + ownChars)
  return text.toString('latin1', 0, start + ownChars)
}

/** A request id: `req_` and 32 hexadecimal digits (wire.md §2). */
export function newRequestId(): string {
  if (used + 16 > block.length) refill()
  used += 16
  return `req_${block.toString('hex', used - 16, used)}`
}

/** Whether `value` could be an id of this kind; false means that no lookup is needed to refuse it. */
export function looksLikeId(kind: IdKind, value: string): boolean {
  return value.startsWith(prefixes[kind]) && /^[A-Za-z0-9_-]{1,128}$/.test(value)
}

export function idPrefix(kind: IdKind): string {
  return prefixes[kind]
}
