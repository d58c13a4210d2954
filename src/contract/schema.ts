import { Type, type Static, type TSchema } from 'typebox'

// The few forms that most schemas of the wire are made of. A schema with a `title` is a component of its own in
// /openapi.json.

/** Keys that are not listed are refused (wire.md §1 "Unknown body keys"). */
export const closed = { additionalProperties: false } as const

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** May be left out, and null says the same. */
export const Maybe = <T extends TSchema>(schema: T) => Type.Optional(Nullable(schema))

/** One of these strings. */
export const Literals = <T extends string[]>(...values: [...T]) => Type.Enum(values)

/** Unix seconds. */
export const Seconds = Type.Integer({ description: 'Unix seconds' })

const pairs = <T extends TSchema>(value: T, title: string | undefined, description: string) =>
  Type.Unsafe<Record<string, Static<T>>>(
    Type.Object(
      {},
      {
        ...(title === undefined ? {} : { title }),
        description,
        additionalProperties: value,
        maxProperties: 16,
        propertyNames: { maxLength: 64 },
      },
    ),
  )

const MetadataValue = Type.String({ maxLength: 512 })

/** At most 16 pairs of 64 and 512 characters (wire.md §8). */
export const Metadata = pairs(MetadataValue, 'Metadata', 'Names and texts of your own.')
export type Metadata = Record<string, string>

/** In a query: `metadata[user]=42`. */
export const MetadataFilter = pairs(
  MetadataValue,
  undefined,
  'Only what has all of these pairs, as `metadata[user]=42`',
)

/** In a change, null removes a key as "" does. */
export const MetadataChange = pairs(
  Nullable(MetadataValue),
  'MetadataChange',
  'Keys that are not sent stay; "" or null removes one.',
)
