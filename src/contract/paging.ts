import { Type, type Static, type TSchema } from 'typebox'
import { Literals, Nullable } from './schema.ts'

// Lists (wire.md §3): `after` and `before` are ids, order is by creation, the newest first unless asked.

/** The query of a list; what is left out has the default. */
export const PageQuery = Type.Object({
  limit: Type.Integer({ minimum: 1, maximum: 100, default: 20 }),
  order: Type.Enum(['asc', 'desc'], { default: 'desc' }),
  after: Type.Optional(Type.String()),
  before: Type.Optional(Type.String()),
})
export type PageQuery = Static<typeof PageQuery>

/** The list envelope of objects of one kind. */
export const ListObject = <T extends TSchema>(item: T) =>
  Type.Object({
    object: Literals('list'),
    data: Type.Array(item),
    first_id: Nullable(Type.String()),
    last_id: Nullable(Type.String()),
    has_more: Type.Boolean(),
  })
export type ListObject<T extends TSchema> = Static<ReturnType<typeof ListObject<T>>>

/** Wraps a page in the list envelope; an empty page has null ids. */
export function toList<T extends { id: string }>(data: T[], hasMore: boolean) {
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  }
}

/** What may be asked for besides. Taken, and without effect while no tool of this server has search results. */
export const RunStepInclude = Type.Object({
  include: Type.Optional(Type.Array(Literals('step_details.tool_calls[*].file_search.results[*].content'))),
})
