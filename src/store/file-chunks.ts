import type pg from 'pg'
import { NotDone, query, withoutEffect } from './pool.ts'
import { Semaphore } from './semaphore.ts'

// The content of files, in pieces of one size but for the last. A piece is what an upload or a download holds in
// memory at a time; Postgres sends it as text, twice as long.

/** Bytes of a piece. */
export const chunkSize = 256 * 1024

// Only while the upload has its row: a piece never comes in behind the end of its file.
const insertText = `
with upload as (
  update file_uploads set touched_at = threadmill_now() where id = $1 and project_id = $2 returning id, project_id
)
insert into file_chunks (file_id, project_id, n, content) select id, project_id, $3, $4 from upload returning n`

const selectText = 'select content from file_chunks where file_id = $1 and project_id = $2 and n = $3'

/** Pieces on their way at a time: they take a connection for longer than other statements, and must not take all. */
const piecesAtOnce = 4

/** Milliseconds that a piece waits for its turn. */
const turnMs = 8_000

const turns = new WeakMap<pg.Pool, Semaphore>()

async function inTurn<T>(pool: pg.Pool, work: () => Promise<T>): Promise<T> {
  let semaphore = turns.get(pool)
  if (!semaphore) turns.set(pool, (semaphore = new Semaphore(piecesAtOnce)))
  const giveBack = await semaphore.acquire(1, AbortSignal.timeout(turnMs)).catch((cause: unknown) => {
    throw new NotDone('a piece of a file has waited too long for its turn', { cause })
  })
  try {
    return await work()
  } finally {
    giveBack()
  }
}

/** Stores the `n`th piece of an upload, from 0. False if the upload is no longer there. */
export async function insertChunk(
  pool: pg.Pool,
  project: string,
  upload: string,
  n: number,
  content: Buffer,
): Promise<boolean> {
  const values = [upload, project, n, content]
  const rows = await inTurn(pool, () => withoutEffect(query(pool, 'insert_file_chunk', insertText, values)))
  return rows.length > 0
}

/** The `n`th piece of a file, from 0; null if it was removed. */
export async function getChunk(
  pool: pg.Pool,
  project: string,
  file: string,
  n: number,
): Promise<Buffer | null> {
  const values = [file, project, n]
  const rows = await inTurn(pool, () =>
    query<{ content: Buffer }>(pool, 'get_file_chunk', selectText, values),
  )
  return rows[0]?.content ?? null
}

/**
 * Stores the content of an upload as it comes: the next data are asked for when the last piece is stored. Answers its
 * size in bytes; `too_large` as soon as that is above `maxBytes`, `gone` if the upload is no longer there.
 */
export async function storeContent(
  pool: pg.Pool,
  project: string,
  upload: string,
  content: AsyncIterable<Buffer>,
  maxBytes: number,
): Promise<number | 'too_large' | 'gone'> {
  let n = 0
  let bytes = 0
  for await (const chunk of inChunks(content)) {
    bytes += chunk.length
    if (bytes > maxBytes) return 'too_large'
    if (!(await insertChunk(pool, project, upload, n++, chunk))) return 'gone'
  }
  return bytes
}

/** The same bytes in pieces of `chunkSize`, the last one shorter. */
export async function* inChunks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let held: Buffer[] = []
  let length = 0
  for await (let data of content) {
    while (length + data.length >= chunkSize) {
      const head = data.subarray(0, chunkSize - length)
      yield Buffer.concat([...held, head])
      data = data.subarray(head.length)
      held = []
      length = 0
    }
    if (data.length > 0) held.push(data)
    length += data.length
  }
  if (length > 0) yield Buffer.concat(held)
}
