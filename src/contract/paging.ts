// Lists (wire.md §3): `after` and `before` are ids, order is by creation, the newest first unless asked.

export interface PageQuery {
  limit: number
  order: 'asc' | 'desc'
  after: string | null
  before: string | null
}

export interface ListObject<T> {
  object: 'list'
  data: T[]
  first_id: string | null
  last_id: string | null
  has_more: boolean
}

/** The list envelope; an empty page has null ids. */
export function toList<T extends { id: string }>(data: T[], hasMore: boolean): ListObject<T> {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  }
}
