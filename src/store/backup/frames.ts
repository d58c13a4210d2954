import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { createGunzip, createGzip } from 'node:zlib'

// The form of a backup file: gzip over frames. A frame is one letter for its kind, the length of what follows (4 bytes, big end
// first), and that many bytes. docs/backup.md says the same for those who have to read one without us.

export const frameKinds = {
  /** JSON: what the file is. The first. */
  header: 'H',
  /** JSON: a table begins. */
  table: 'T',
  /** Rows of that table in the text format of COPY; cut anywhere. */
  data: 'D',
  /** JSON: how many rows each table had, and the SHA-256 of all frames before. The last. */
  end: 'E',
} as const
export type FrameKind = (typeof frameKinds)[keyof typeof frameKinds]

export interface Frame {
  kind: FrameKind
  payload: Buffer
  /** The SHA-256 of all frames before this one. */
  before: string
}

/** The file is not a whole backup. */
export class DamagedBackup extends Error {}

/** Bytes of a data frame. */
const dataSize = 256 * 1024

/** Bytes of the longest frame that is read. */
const longest = 4 * 1024 * 1024

/** Bytes that may wait to be written. */
const waiting = 4 * 1024 * 1024

export class FrameWriter {
  readonly #out: Writable
  readonly #gzip = createGzip({ level: 1 })
  readonly #hash = createHash('sha256')
  readonly #data = Buffer.alloc(dataSize)
  #filled = 0
  #failure: unknown = null

  /** `out` is not ended: it may be stdout, which cannot be. */
  constructor(out: Writable) {
    this.#out = out
    this.#gzip.pipe(out, { end: false })
    const fail = (error: Error) => {
      this.#failure ??= error
      // Whoever waits for room, or for the end, must hear of it.
      this.#gzip.destroy(error)
    }
    out.once('error', fail)
    this.#gzip.once('error', fail)
  }

  /** The SHA-256 of all that was written. */
  get digest(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Writes a frame of JSON, after the rows that came before it. */
  async json(kind: FrameKind, value: object): Promise<void> {
    this.#flush()
    this.#frame(kind, Buffer.from(JSON.stringify(value)))
    await this.room()
  }

  /** Puts what was taken into frames, so that the digest knows of it. */
  async settle(): Promise<void> {
    this.#flush()
    await this.room()
  }

  /** Takes a row, and copies it at once. Answers a promise if there is no room for more. */
  row(row: Buffer): Promise<void> | undefined {
    for (let at = 0; at < row.length;) {
      const size = row.copy(this.#data, this.#filled, at)
      at += size
      this.#filled += size
      if (this.#filled === dataSize) this.#flush()
    }
    return this.#gzip.writableLength > waiting ? this.room() : undefined
  }

  /** Waits until there is room. Throws if what is written to has failed. */
  async room(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (this.#gzip.writableNeedDrain) await once(this.#gzip, 'drain')
  }

  /** Ends what is written; resolves when `out` has taken all of it. */
  async end(): Promise<void> {
    this.#flush()
    if (this.#failure !== null) throw this.#failure
    const packed = once(this.#gzip, 'end')
    this.#gzip.end()
    await packed
    await new Promise<void>((resolve, reject) => {
      this.#out.write('', (error) => (error ? reject(error) : resolve()))
    })
  }

  #flush(): void {
    if (this.#filled === 0) return
    // The buffer is filled again while gzip has not taken it.
    this.#frame(frameKinds.data, Buffer.from(this.#data.subarray(0, this.#filled)))
    this.#filled = 0
  }

  #frame(kind: FrameKind, payload: Buffer): void {
    const head = Buffer.alloc(5)
    head.write(kind)
    head.writeUInt32BE(payload.length, 1)
    for (const part of [head, payload]) {
      this.#hash.update(part)
      this.#gzip.write(part)
    }
  }
}

/** Reads the frames of a backup. Throws DamagedBackup where it is none, or no more. */
export async function* readFrames(source: Readable): AsyncGenerator<Frame> {
  const hash = createHash('sha256')
  const bytes = new Bytes(gunzipped(source))
  for (;;) {
    const head = await bytes.take(5)
    if (head === null) return
    const kind = head.toString('latin1', 0, 1) as FrameKind
    const length = head.readUInt32BE(1)
    if (!Object.values(frameKinds).includes(kind) || length > longest)
      throw new DamagedBackup('it has bytes that are no frame')
    const payload = await bytes.take(length)
    if (payload === null) throw new DamagedBackup('it ends in the middle')
    yield { kind, payload, before: hash.copy().digest('hex') }
    hash.update(head).update(payload)
  }
}

async function* gunzipped(source: Readable): AsyncGenerator<Buffer> {
  const gunzip = createGunzip()
  source.once('error', (error) => gunzip.destroy(error))
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Buffer>
  } catch (error) {
    const { code = '' } = error as { code?: string }
    if (!code.startsWith('Z_')) throw error
    throw new DamagedBackup(code === 'Z_BUF_ERROR' ? 'it ends in the middle' : 'it is not what was written', {
      cause: error,
    })
  }
}

/** Takes so many bytes at a time from pieces of any size. */
class Bytes {
  readonly #source: AsyncIterator<Buffer>
  #pieces: Buffer[] = []
  #held = 0

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** null if the source ends before there are as many; at its very end too. */
  async take(size: number): Promise<Buffer | null> {
    while (this.#held < size) {
      const { value, done } = await this.#source.next()
      if (done === true) {
        if (this.#held > 0) throw new DamagedBackup('it ends in the middle')
        return size === 0 ? Buffer.alloc(0) : null
      }
      this.#pieces.push(value)
      this.#held += value.length
    }
    const all = this.#pieces.length === 1 ? (this.#pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#pieces)
    this.#pieces = [all.subarray(size)]
    this.#held = all.length - size
    return all.subarray(0, size)
  }
}
