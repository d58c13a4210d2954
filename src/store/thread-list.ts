import type pg from 'pg'
import { ApiError } from '../contract/errors.ts'
import type { Span, ThreadsQuery } from '../contract/paging.ts'
import type { ThreadRecord } from '../domain/records.ts'
import type { Page } from './page.ts'
import { query } from './pool.ts'
import { withoutSeq } from './rows.ts'

// Threads of a project by when they were made and by their metadata. The order is that of creation times, and of seq within one
// second, so that both ends of a span of time are found by their index; a page costs the same wherever it is.

type Row = ThreadRecord & { seq: number }
/** A place in the order: the second, and the seq within it. */
type Place = readonly [second: number, seq: number]

const columns = 'id, project_id, seq, created_at, tool_resources, metadata, policy'

// $1 project, $2.. the places that it lies between, $6 how many threads are looked at, $7 the metadata, $8 how many are wanted.
const walk = `
  select ${columns} from threads
  where project_id = $1 and (created_at, seq) > ($2, $3) and (created_at, seq) < ($4, $5) and deleted_at is null`
const walkUpText = `
select ${columns} from (${walk}
  order by created_at, seq limit $6
) walked where metadata @> $7 order by created_at, seq limit $8`
const walkDownText = `
select ${columns} from (${walk}
  order by created_at desc, seq desc limit $6
) walked where metadata @> $7 order by created_at desc, seq desc limit $8`

// Read by the metadata alone, for Postgres cannot know how rare it is; its statistics are those of an empty table.
const sought = `
with sought as materialized (
  select ${columns} from threads where metadata @> $6 and metadata <> '{}' and deleted_at is null
)
select ${columns} from sought
where project_id = $1 and (created_at, seq) > ($2, $3) and (created_at, seq) < ($4, $5)`
const seekUpText = `${sought} order by created_at, seq limit $7`
const seekDownText = `${sought} order by created_at desc, seq desc limit $7`

const placeText =
  'select created_at, seq from threads where id = $1 and project_id = $2 and deleted_at is null'

/** Threads looked at one by one before their metadata is looked for in its index. */
const walked = 1_000

const first: Place = [-1, -1]
const last: Place = [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]

/**
 * One page of the threads that have all pairs of `metadata` and were made in the span `created_at`. Throws ApiError for an
 * unknown cursor.
 */
export async function findThreads(
  pool: pg.Pool,
  project: string,
  { metadata = {}, created_at: span = {}, ...page }: ThreadsQuery,
): Promise<Page<ThreadRecord>> {
  const [after, before] = await Promise.all([
    placeOf(pool, project, 'after', page.after),
    placeOf(pool, project, 'before', page.before),
  ])
  const ascending = page.order === 'asc'
  const above = later(fromOf(span), (ascending ? after : before) ?? first)
  const below = sooner(untilOf(span), (ascending ? before : after) ?? last)
  // Reading backwards from `before` finds the nearest threads; they are turned round afterwards.
  const backwards = before !== null && after === null
  const between = [project, ...above, ...below]
  const rows = await read(pool, ascending !== backwards, between, JSON.stringify(metadata), page.limit + 1)
  const hasMore = rows.length > page.limit
  if (hasMore) rows.pop()
  return { rows: (backwards ? rows.reverse() : rows).map(withoutSeq), hasMore }
}

/** Pairs that many threads have are met at once by walking; those that few have are looked up. */
async function read(
  pool: pg.Pool,
  up: boolean,
  between: unknown[],
  metadata: string,
  wanted: number,
): Promise<Row[]> {
  const seeks = metadata !== '{}'
  const look = [...between, seeks ? walked : wanted, metadata, wanted]
  const rows = up
    ? await query<Row>(pool, 'walk_threads_asc', walkUpText, look)
    : await query<Row>(pool, 'walk_threads_desc', walkDownText, look)
  if (!seeks || rows.length === wanted) return rows
  const seek = [...between, metadata, wanted]
  return up
    ? query<Row>(pool, 'seek_threads_asc', seekUpText, seek)
    : query<Row>(pool, 'seek_threads_desc', seekDownText, seek)
}

async function placeOf(
  pool: pg.Pool,
  project: string,
  param: 'after' | 'before',
  id: string | undefined,
): Promise<Place | null> {
  if (id === undefined) return null
  const [found] = await query<Row>(pool, 'place_of_thread', placeText, [id, project])
  if (found) return [found.created_at, found.seq]
  throw new ApiError(
    'unknown_cursor',
    `Invalid '${param}': no item with id '${id.slice(0, 200)}' is in this list.`,
    param,
  )
}

/** The place behind which a span begins. */
function fromOf({ gt, gte }: Span): Place {
  const from = gte === undefined ? first : ([gte, -1] as const)
  return gt === undefined ? from : later(from, [gt, Number.MAX_SAFE_INTEGER])
}

/** The place before which it ends. */
function untilOf({ lt, lte }: Span): Place {
  const until = lte === undefined ? last : ([lte, Number.MAX_SAFE_INTEGER] as const)
  return lt === undefined ? until : sooner(until, [lt, -1])
}

const isBefore = (a: Place, b: Place) => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])
const later = (a: Place, b: Place) => (isBefore(a, b) ? b : a)
const sooner = (a: Place, b: Place) => (isBefore(a, b) ? a : b)
