import type pg from 'pg'
import { fileNotFound } from '../contract/errors.ts'
import type { CreateMessage } from '../contract/requests.ts'
import type { NewToolResources } from '../contract/tools.ts'
import { missingFiles } from '../store/files.ts'

// Files that a body names. They have to be there when the body comes; what is deleted later is the run's to find.
// The files of a vector store to be made are not among them: the store would tell of each.

/** What may name files. */
export interface NamingFiles {
  messages?: readonly CreateMessage[] | null | undefined
  resources?: NewToolResources | null | undefined
}

/** Throws ApiError for the first file that the project does not have. Asks nobody when no file is named. */
export async function refuseMissingFiles(
  pool: pg.Pool,
  project: string,
  { messages, resources }: NamingFiles,
): Promise<void> {
  const ids = [...(messages ?? []).flatMap(filesOf), ...(resources?.code_interpreter?.file_ids ?? [])]
  if (ids.length === 0) return
  const [missing] = await missingFiles(pool, project, [...new Set(ids)])
  if (missing !== undefined) throw fileNotFound(missing)
}

function filesOf({ content, attachments }: CreateMessage): string[] {
  const attached = (attachments ?? []).map(({ file_id }) => file_id)
  if (typeof content === 'string') return attached
  return [
    ...content.flatMap((part) => (part.type === 'image_file' ? part.image_file.file_id : [])),
    ...attached,
  ]
}
