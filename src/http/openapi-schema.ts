import type { TSchema } from 'typebox'

// TypeBox schemas as OpenAPI has them: what has a title is a component, which all others refer to.

/** As much of JSON Schema 2020-12 as the document uses. */
export interface JsonSchema {
  $ref?: string
  title?: string
  description?: string
  type?: string
  format?: string
  const?: unknown
  enum?: unknown[]
  anyOf?: JsonSchema[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  dependentRequired?: Record<string, string[]>
  additionalProperties?: boolean | JsonSchema
  propertyNames?: JsonSchema
  maxProperties?: number
  items?: JsonSchema
  minItems?: number
  maxItems?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minimum?: number
  maximum?: number
  default?: unknown
  examples?: unknown[]
}

/** What stands under these keys is data, not schema. */
const dataKeys: ReadonlySet<string> = new Set([
  'const',
  'default',
  'enum',
  'examples',
  'required',
  'dependentRequired',
])

export class Components {
  readonly schemas: Record<string, JsonSchema> = {}

  /** `schema` for the document. Throws Error if another schema has its title, or that of one of its parts. */
  refer(schema: TSchema): JsonSchema {
    return this.#convert(schema as JsonSchema)
  }

  #convert(schema: JsonSchema): JsonSchema {
    const { title } = schema
    if (title === undefined) return this.#copy(schema)
    const copy = this.#copy(schema)
    const known = this.schemas[title]
    if (known && JSON.stringify(known) !== JSON.stringify(copy)) {
      throw new Error(`Two schemas that differ are called '${title}', and /openapi.json can show only one.`)
    }
    this.schemas[title] = copy
    return { $ref: `#/components/schemas/${title}` }
  }

  #copy(schema: JsonSchema): JsonSchema {
    const entries = Object.entries(schema).map(([key, value]) => [key, this.#part(key, value)])
    return plain(Object.fromEntries(entries) as JsonSchema)
  }

  #part(key: string, value: unknown): unknown {
    if (dataKeys.has(key) || typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map((one) => this.#convert(one as JsonSchema))
    if (key !== 'properties' && key !== 'patternProperties') return this.#convert(value as JsonSchema)
    const parts = Object.entries(value as Record<string, JsonSchema>)
    return Object.fromEntries(parts.map(([name, part]) => [name, this.#convert(part)]))
  }
}

/** The same for readers and generators that conclude nothing by themselves. */
function plain(schema: JsonSchema & { patternProperties?: Record<string, JsonSchema> }): JsonSchema {
  const { patternProperties, ...rest } = schema
  if (schema.type === undefined && schema.enum?.every((value) => typeof value === 'string')) {
    return { type: 'string', ...schema }
  }
  const [first, second, ...more] = schema.anyOf ?? []
  if (first?.description !== undefined && second?.type === 'null' && more.length === 0) {
    // What is said of a value holds for the field that may be null.
    const { description, ...value } = first
    return { description, ...rest, anyOf: [value, second] }
  }
  const any = patternProperties?.['^.*$']
  return any ? { ...rest, additionalProperties: Object.keys(any).length === 0 || any } : schema
}
