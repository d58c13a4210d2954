import { purgeFiles } from '../../src/store/file-uploads.ts'
import type { TestServer } from './server.ts'

/** What the database holds of files, in rows of each table. */
export interface FileRows {
  files: number
  uploads: number
  garbage: number
  chunks: number
}

export const noFileRows: FileRows = { files: 0, uploads: 0, garbage: 0, chunks: 0 }

export async function fileRows({ db }: TestServer): Promise<FileRows> {
  const [row] = await db.sql<FileRows>(`select (select count(*)::int from files) files,
    (select count(*)::int from file_uploads) uploads, (select count(*)::int from file_garbage) garbage,
    (select count(*)::int from file_chunks) chunks`)
  return row ?? noFileRows
}

/**
 * As many sweeps as it takes to remove what nobody needs: retire, remove the pieces, forget. The server sweeps too, and what it has
 * under way these pass by.
 */
export async function sweepFiles(server: TestServer): Promise<void> {
  for (let i = 0; i < 3 || (await fileRows(server)).garbage > 0; i++)
    await purgeFiles(server.app.store.pool, 100, 10_000)
}
