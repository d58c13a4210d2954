import type pg from 'pg'
import type { PageQuery } from '../contract/paging.ts'
import type { FileRecord } from '../domain/records.ts'
import { chunkSize, getChunk } from './file-chunks.ts'
import { readPage, type Page } from './page.ts'
import { query } from './pool.ts'
import { withoutSeq } from './rows.ts'

type FileRow = FileRecord & { seq: number }

const columns = 'id, project_id, seq, created_at, expires_at, filename, purpose, bytes'

/** For the `where` of every read: an expired file is gone at once, although its rows are purged later. */
const live = 'and (expires_at is null or expires_at > threadmill_now())'

const selectText = `select ${columns} from files where id = $1 and project_id = $2 ${live}`

const list = {
  name: 'list_files',
  large: [],
  text: `select ${columns} from files where project_id = $1 and seq > $2 and seq < $3 ${live}`,
  cursor: `select seq from files where project_id = $1 and id = $2 ${live}`,
}

const listOfPurpose = {
  name: 'list_files_of_purpose',
  large: [],
  text: `select ${columns} from files where project_id = $1 and purpose = $2 and seq > $3 and seq < $4 ${live}`,
  cursor: `select seq from files where project_id = $1 and purpose = $2 and id = $3 ${live}`,
}

const deleteText = `
with gone as (
  delete from files where id = $1 and project_id = $2 ${live} returning id, project_id
)
insert into file_garbage (id, project_id) select id, project_id from gone returning id`

const missingText = `
select asked.id from unnest($2::text[]) with ordinality asked (id, place)
where not exists (select from files where files.id = asked.id and project_id = $1 ${live})
order by place`

/** The file; null if there is none, or if it has expired. */
export async function getFile(pool: pg.Pool, project: string, id: string): Promise<FileRecord | null> {
  const rows = await query<FileRow>(pool, 'get_file', selectText, [id, project])
  return rows[0] ? withoutSeq(rows[0]) : null
}

/** A page of the project's files, of one purpose if it is not null. */
export async function listFiles(
  pool: pg.Pool,
  project: string,
  purpose: string | null,
  page: PageQuery,
): Promise<Page<FileRecord>> {
  const { rows, hasMore } =
    purpose === null
      ? await readPage<FileRow>(pool, list, [project], page)
      : await readPage<FileRow>(pool, listOfPurpose, [project, purpose], page)
  return { rows: rows.map(withoutSeq), hasMore }
}

/** The file is gone at once, its content soon after. False if there is no such file. */
export async function deleteFile(pool: pg.Pool, project: string, id: string): Promise<boolean> {
  const rows = await query(pool, 'delete_file', deleteText, [id, project])
  return rows.length > 0
}

/** Those of `ids` that are no files of the project, in their order. */
export async function missingFiles(
  pool: pg.Pool,
  project: string,
  ids: readonly string[],
): Promise<string[]> {
  if (ids.length === 0) return []
  const rows = await query<{ id: string }>(pool, 'missing_files', missingText, [project, ids])
  return rows.map(({ id }) => id)
}

/**
 * The content in pieces, each read when it is asked for. Throws when the file is deleted meanwhile and its pieces
 * are removed.
 */
export async function* fileContent(pool: pg.Pool, file: FileRecord): AsyncGenerator<Buffer, void> {
  for (let n = 0; n * chunkSize < file.bytes; n++) {
    const chunk = await getChunk(pool, file.project_id, file.id, n)
    if (chunk === null) throw new ContentRemoved(file.id)
    yield chunk
  }
}

/** The content of a file was removed while it was read. */
export class ContentRemoved extends Error {
  constructor(id: string) {
    super(`the content of ${id} was removed while it was read`)
    this.name = 'ContentRemoved'
  }
}

/** A whole file in memory, for those that cannot take it in pieces; not read if it has more than `maxBytes`. */
export async function readFileBytes(
  pool: pg.Pool,
  project: string,
  id: string,
  maxBytes: number,
): Promise<{ filename: string; bytes: Buffer } | 'missing' | 'too_large'> {
  const file = await getFile(pool, project, id)
  if (file === null) return 'missing'
  if (file.bytes > maxBytes) return 'too_large'
  try {
    const chunks: Buffer[] = []
    for await (const chunk of fileContent(pool, file)) chunks.push(chunk)
    return { filename: file.filename, bytes: Buffer.concat(chunks) }
  } catch (error) {
    if (error instanceof ContentRemoved) return 'missing'
    throw error
  }
}
