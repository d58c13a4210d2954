import { Type, type Static, type TSchema } from 'typebox'
import { Literals, MetadataFilter, Nullable } from './schema.ts'

// Lists (wire.md §3): `after` and `before` are ids, order is by creation, the newest first unless asked.

export const Order = Type.Enum(['asc', 'desc'], {
  default: 'desc',
  description: 'By creation: `asc` is the oldest first',
})
export const After = Type.Optional(Type.String({ description: 'An id: only what follows it in this order' }))
const Before = Type.Optional(Type.String({ description: 'An id: the page that ends just before it' }))

/** The query of a list; what is left out has the default. */
export const PageQuery = Type.Object({
  limit: Type.Integer({
    minimum: 1,
    maximum: 100,
    default: 20,
    description: 'How many at most; fewer if these would be very large',
  }),
  order: Order,
  after: After,
  before: Before,
})
export type PageQuery = Static<typeof PageQuery>

const Second = (what: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: what }))

/** A span of time, as the hosted API's newer lists take it: `created_at[gte]=...&created_at[lt]=...`. */
const Span = Type.Object(
  { gt: Second('After'), gte: Second('From'), lt: Second('Before'), lte: Second('Until') },
  { additionalProperties: false, description: 'Only what was created then: Unix seconds' },
)
export type Span = Static<typeof Span>

/** The query of the list of threads. */
export const ThreadsQuery = Type.Object({
  ...PageQuery.properties,
  metadata: Type.Optional(MetadataFilter),
  created_at: Type.Optional(Span),
})
export type ThreadsQuery = Static<typeof ThreadsQuery>

/** The list envelope of objects of one kind. */
export const ListObject = <T extends TSchema>(item: T) =>
  Type.Object(
    {
      object: Literals('list'),
      data: Type.Array(item),
      first_id: Nullable(Type.String()),
      last_id: Nullable(Type.String()),
      has_more: Type.Boolean({ description: 'Whether there is more in this direction' }),
    },
    { title: `${(item as { title?: string }).title}List` },
  )
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
