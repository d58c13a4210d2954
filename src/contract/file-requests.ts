import { Type, type Static } from 'typebox'
import { FilePurpose } from './file-object.ts'
import { After, Order } from './paging.ts'
import { closed, Literals } from './schema.ts'

// What the Files operations take (wire.md §4 "Files").

const day = 86_400

/** The form of an upload. Its fields are named `file`, `purpose`, `expires_after[anchor]` and `expires_after[seconds]`. */
export const CreateFile = Type.Object(
  {
    file: Type.String({ format: 'binary', description: 'The file itself, with its name' }),
    purpose: FilePurpose,
    expires_after: Type.Optional(
      Type.Object(
        {
          anchor: Literals('created_at'),
          seconds: Type.Integer({ minimum: 3_600, maximum: 30 * day, description: 'After the upload' }),
        },
        closed,
      ),
    ),
  },
  { ...closed, title: 'CreateFile' },
)
export type CreateFile = Static<typeof CreateFile>

/** Seconds that a file lives; null = until it is deleted. Without a wish only files of a batch expire. */
export function fileTtl({ purpose, expires_after }: CreateFile): number | null {
  return expires_after?.seconds ?? (purpose === 'batch' ? 30 * day : null)
}

/** The query of the list: as of other lists, with longer pages and no `before` (wire.md §3). */
export const FileQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 10_000, default: 10_000, description: 'How many at most' }),
  order: Order,
  after: After,
  purpose: Type.Optional(Type.String({ description: 'Only files of this purpose' })),
})
