import { flatOptions, variantOf, type Schema } from './validate.ts'

/** What to do with keys of a body that its schema does not have (wire.md §1 "Unknown body keys"). */
export type UnknownKeys = 'refuse' | 'ignore'

/** Removes from `value` all keys that `schema` does not have, at any depth. What else is wrong with it stays. */
export function dropUnknownKeys(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = schema.anyOf ? (flatOptions(schema.anyOf).find(({ items }) => items) ?? {}) : schema
    if (items) for (const item of value) dropUnknownKeys(items, item)
  } else if (typeof value === 'object' && value !== null) {
    const described = objectSchema(schema, value as Record<string, unknown>)
    if (described) dropFromObject(described, value as Record<string, unknown>)
  }
}

function objectSchema(schema: Schema, value: Record<string, unknown>): Schema | undefined {
  if (!schema.anyOf) return schema
  const objects = flatOptions(schema.anyOf).filter(({ properties }) => properties)
  return objects.length > 1 ? variantOf(objects, value) : objects[0]
}

function dropFromObject(
  { properties = {}, additionalProperties }: Schema,
  value: Record<string, unknown>,
): void {
  for (const [key, item] of Object.entries(value)) {
    if (Object.hasOwn(properties, key)) dropUnknownKeys(properties[key] ?? {}, item)
    else if (additionalProperties === false) delete value[key]
  }
}
