import type pg from 'pg'
import { ApiError } from '../contract/errors.ts'
import type { PageQuery } from '../contract/paging.ts'
import { query } from './pool.ts'
import { sizeOf } from './write-size.ts'

// Keyset pages by sequence number: a page costs the same at the start and at the end of a long list. Items may be as large as a
// body, so a page ends too where it has become too large to be answered: it is shorter than asked, and says that there is more.

export interface PageStatements {
  /** Names the prepared statements. */
  name: string
  /** `select` with $1.. = scope and then two bounds: seq > $n and seq < $n+1; order and limit are appended. */
  text: string
  /** Its columns that may be large. */
  large: readonly string[]
  /** Finds the seq of a cursor: $1.. = scope, then the id. */
  cursor: string
}

export interface Page<T> {
  rows: T[]
  hasMore: boolean
}

const highest = Number.MAX_SAFE_INTEGER

/** Characters of a page, about; it is at least one item. */
const pageChars = 16 << 20
/** Bytes that are read at once. */
const pieceBytes = 4 << 20

/** An expression for about how many bytes these columns take: nothing is read for it. What is compressed counts for much more. */
export function storedSize(columns: readonly string[]): string {
  return columns
    .map(
      (name) =>
        `coalesce(pg_column_size(${name}) * case when pg_column_compression(${name}) is null then 1 else 16 end, 0)`,
    )
    .join(' + ')
}

/**
 * One page (wire.md §3). `before` alone gives the page nearest to the cursor, still in the asked order.
 * `scope` fills the statements' first parameters. Throws ApiError for an unknown cursor.
 */
export async function readPage<R extends { seq: number }>(
  pool: pg.Pool,
  statements: PageStatements,
  scope: unknown[],
  page: PageQuery,
): Promise<Page<R>> {
  const cursor = (param: 'after' | 'before') => cursorSeq(pool, statements, scope, param, page[param])
  const [after, before] = await Promise.all([cursor('after'), cursor('before')])
  const ascending = page.order === 'asc'
  const above = (ascending ? after : before) ?? -1
  const below = (ascending ? before : after) ?? highest
  // Reading backwards from `before` finds the nearest rows; they are turned round afterwards.
  const backwards = before !== null && after === null
  const { rows, hasMore } = await readRows<R>(pool, statements, ascending !== backwards, {
    scope,
    above,
    below,
    limit: page.limit,
  })
  return { rows: backwards ? rows.reverse() : rows, hasMore }
}

interface Stretch {
  scope: unknown[]
  above: number
  below: number
  limit: number
}

/** What a piece says of each row. */
interface Piece {
  /** Bytes, about. */
  size?: number
  nth?: number
  /** Bytes of the rows up to this one. */
  total?: number
  /** Rows that were found, those that are not in the piece among them. */
  found?: number
}

/** The first rows of a stretch: as many as are wanted, or as fit into a page. */
async function readRows<R extends { seq: number }>(
  pool: pg.Pool,
  statements: PageStatements,
  up: boolean,
  { scope, above, below, limit }: Stretch,
): Promise<Page<R>> {
  const name = `${statements.name}_${up ? 'asc' : 'desc'}`
  const text = pieceText(statements, up, scope.length + 3)
  const rows: R[] = []
  for (let chars = 0; ;) {
    const last = rows.at(-1)?.seq
    const bounds = last === undefined ? [above, below] : up ? [last, below] : [above, last]
    const wanted = limit + 1 - rows.length
    const values = [...scope, ...bounds, wanted, ...(statements.large.length > 0 ? [pieceBytes] : [])]
    const piece = await query<R & Piece>(pool, name, text, values)
    for (const { size: _, nth: _n, total: _t, found: _f, ...row } of piece) {
      // It would be too large with this one.
      if (rows.length === limit || (rows.length > 0 && chars + sizeOf(row) > pageChars))
        return { rows, hasMore: true }
      rows.push(row as unknown as R)
      chars += sizeOf(row)
    }
    if (piece.length === (piece[0]?.found ?? piece.length)) return { rows, hasMore: false }
  }
}

/**
 * Of the rows that are wanted those that are read at once: at least one. $n is how many are wanted; if they may be large, each says
 * what is in Piece, and $n+1 is how many bytes are read.
 */
function pieceText({ text, large }: PageStatements, up: boolean, n: number): string {
  const order = up ? ' order by seq asc' : ' order by seq desc'
  const asked = text + order + ' limit $' + n
  if (large.length === 0) return asked
  const counts = [
    'row_number() over (' + order + ') as nth',
    'sum(size) over (' + order + ') as total',
    'count(*) over () as found',
  ]
  const sized = 'select *, ' + storedSize(large) + ' as size from (' + asked + ') asked'
  const counted = 'select *, ' + counts.join(', ') + ' from (' + sized + ') sized'
  return 'select * from (' + counted + ') counted where nth = 1 or total <= $' + (n + 1) + order
}

async function cursorSeq(
  pool: pg.Pool,
  statements: PageStatements,
  scope: unknown[],
  param: 'after' | 'before',
  id: string | undefined,
): Promise<number | null> {
  if (id === undefined) return null
  const rows = await query<{ seq: number }>(pool, `${statements.name}_cursor`, statements.cursor, [
    ...scope,
    id,
  ])
  const found = rows[0]
  if (!found) {
    throw new ApiError(
      'unknown_cursor',
      `Invalid '${param}': no item with id '${id.slice(0, 200)}' is in this list.`,
      param,
    )
  }
  return found.seq
}
