import type pg from 'pg'
import type { FileRecord } from '../domain/records.ts'
import { keepAnswer, type Keeping } from './idempotency.ts'
import { inTransaction, query, queryOnce, withoutEffect } from './pool.ts'

// A file on its way in and on its way out (sql/0002_files.sql): nothing of it is to be seen in between.

/** Seconds without a new piece after which an upload counts as left behind. */
const uploadSilence = 3_600

const beginText = `
insert into file_uploads (id, project_id, touched_at) values ($1, $2, threadmill_now())`

// The time of creation is that of the last byte, as the order of the list is.
const finishText = `
with upload as (
  delete from file_uploads where id = $1 and project_id = $2 returning id, project_id
), moment as (
  select floor(threadmill_now())::bigint as now
)
insert into files (id, project_id, created_at, expires_at, filename, purpose, bytes)
select id, project_id, now, now + $6::bigint, $3, $4, $5 from upload, moment
returning id, project_id, created_at, expires_at, filename, purpose, bytes`

const abandonText = `
with upload as (
  delete from file_uploads where id = $1 and project_id = $2 returning id, project_id
)
insert into file_garbage (id, project_id) select id, project_id from upload`

const retireText = `
with expired as (
  delete from files where id in (
    select id from files where expires_at <= floor(threadmill_now())::bigint
    order by expires_at limit $1 for update skip locked)
  returning id, project_id
), silent as (
  delete from file_uploads where id in (
    select id from file_uploads where touched_at < threadmill_now() - $2::double precision
    order by touched_at limit $1 for update skip locked)
  returning id, project_id
)
insert into file_garbage (id, project_id)
select id, project_id from expired union all select id, project_id from silent`

// A content goes when its pieces have gone, which a later call sees.
const purgeText = `
with gone as materialized (
  select id from file_garbage order by id limit $1 for update skip locked
), pieces as (
  delete from file_chunks where (file_id, n) in (
    select c.file_id, c.n from gone join file_chunks c on c.file_id = gone.id limit $2)
)
delete from file_garbage where id in (select id from gone)
  and not exists (select from file_chunks where file_id = file_garbage.id)`

export async function beginUpload(pool: pg.Pool, project: string, id: string): Promise<void> {
  await withoutEffect(query(pool, 'begin_file_upload', beginText, [id, project]))
}

/** What is known of a file when its last byte has come. */
export interface FinishedUpload extends Pick<
  FileRecord,
  'id' | 'project_id' | 'filename' | 'purpose' | 'bytes'
> {
  /** Seconds that the file lives; null = it stays. */
  ttl: number | null
}

/** Makes the file visible. Null if the upload is no longer there: it stood still for too long. Throws NotSent if it never began. */
export async function finishUpload(
  pool: pg.Pool,
  upload: FinishedUpload,
  keeping: Keeping<FileRecord> | null = null,
): Promise<FileRecord | null> {
  const { id, project_id, filename, purpose, bytes, ttl } = upload
  const values = [id, project_id, filename, purpose, bytes, ttl]
  const name = 'finish_file_upload'
  if (keeping === null) return (await queryOnce<FileRecord>(pool, name, finishText, values))[0] ?? null
  const statement = { name, text: finishText, values }
  return inTransaction(pool, async (client) => {
    const [file = null] = (await client.query<FileRecord>(statement)).rows
    if (file) await keepAnswer(client, keeping(file))
    return file
  })
}

/** Leaves what has come in to the sweep. */
export async function abandonUpload(pool: pg.Pool, project: string, id: string): Promise<void> {
  await query(pool, 'abandon_file_upload', abandonText, [id, project])
}

/**
 * Removes a piece of what expired and deleted files and broken uploads left: at most `chunks` pieces of content, from
 * at most `files` files.
 */
export async function purgeFiles(pool: pg.Pool, files: number, chunks: number): Promise<void> {
  await query(pool, 'retire_files', retireText, [files, uploadSilence])
  await query(pool, 'purge_files', purgeText, [files, chunks])
}
