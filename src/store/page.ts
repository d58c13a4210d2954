import type pg from 'pg'
import { ApiError } from '../contract/errors.ts'
import type { PageQuery } from '../contract/paging.ts'
import { query } from './pool.ts'

// Keyset pages by sequence number: a page costs the same at the start and at the end of a long list.

export interface PageStatements {
  /** Names the prepared statements. */
  name: string
  /** `select` with $1.. = scope and then two bounds: seq > $n and seq < $n+1; order and limit are appended. */
  text: string
  /** Finds the seq of a cursor: $1.. = scope, then the id. */
  cursor: string
}

export interface Page<T> {
  rows: T[]
  hasMore: boolean
}

const highest = Number.MAX_SAFE_INTEGER

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
  const up = ascending !== backwards
  const limit = `$${scope.length + 3}`
  const rows = await query<R>(
    pool,
    `${statements.name}_${up ? 'asc' : 'desc'}`,
    statements.text + (up ? ' order by seq asc limit ' : ' order by seq desc limit ') + limit,
    [...scope, above, below, page.limit + 1],
  )
  const hasMore = rows.length > page.limit
  if (hasMore) rows.pop()
  return { rows: backwards ? rows.reverse() : rows, hasMore }
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
