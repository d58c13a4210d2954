// A schema as a list of plain facts, so that two ways of writing the same are the same.

export interface Schema {
  $ref?: string
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  propertyNames?: Schema
  items?: Schema
  default?: unknown
  [bound: string]: unknown
}

const bounds = [
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'pattern',
]

export class Facts {
  readonly #schemas: Record<string, Schema>
  /** @param schemas the components that a `$ref` may name */
  constructor(schemas: Record<string, Schema>) {
    this.#schemas = schemas
  }

  /** Lines like `tools[]<function>.function.name: required`, sorted. */
  of(schema: Schema, path = ''): string[] {
    return [...new Set(this.#facts(schema, path, []))].toSorted()
  }

  *#facts(schema: Schema, path: string, above: readonly string[]): Generator<string> {
    // A schema that holds itself is told once.
    if (schema.$ref !== undefined && above.includes(schema.$ref)) return
    const inside = schema.$ref === undefined ? above : [...above, schema.$ref]
    const variants = this.#variants(schema)
    const types = [...new Set(variants.map(({ type }) => String(type)))].toSorted()
    yield `${path}: ${types.join(' or ')}`
    const given = this.#defaultOf(schema)
    if (given !== undefined) yield `${path}: default ${JSON.stringify(given)}`
    for (const type of types) {
      const same = variants.filter((variant) => variant.type === type)
      if (type === 'object') yield* this.#objects(same, path, inside)
      else if (type === 'array')
        for (const { items } of same) yield* this.#facts(items ?? {}, `${path}[]`, inside)
      yield* this.#bounds(same, path)
    }
  }

  *#bounds(variants: Schema[], path: string): Generator<string> {
    const values = variants.map(({ enum: list, const: one }) => list ?? (one === undefined ? null : [one]))
    if (values.every((list) => list !== null)) {
      for (const value of values.flat()) yield `${path}: may be ${JSON.stringify(value)}`
    }
    for (const variant of variants) {
      for (const bound of bounds) {
        if (variant[bound] !== undefined) yield `${path}: ${bound} ${JSON.stringify(variant[bound])}`
      }
    }
  }

  /** The forms of a union are told as one: what each may hold is the same whichever way it is written. */
  *#objects(variants: Schema[], path: string, above: readonly string[]): Generator<string> {
    for (const variant of variants) {
      const { properties = {}, required = [], additionalProperties: rest, propertyNames } = variant
      if (rest === false) yield `${path}: closed`
      if (typeof rest === 'object') yield* this.#facts(rest, `${path}{}`, above)
      if (propertyNames) yield* this.#bounds([propertyNames], `${path}{key}`)
      for (const name of required) if (name in properties) yield `${path}.${name}: required`
      for (const [name, property] of Object.entries(properties))
        yield* this.#facts(property, `${path}.${name}`, above)
    }
  }

  /** What a value may be, one schema for each JSON type and form. */
  #variants(schema: Schema): Schema[] {
    const { $ref, anyOf, oneOf, allOf, type, ...rest } = schema
    if ($ref !== undefined) return this.#variants(this.#named($ref))
    if (allOf)
      return this.#variants({ ...rest, ...Object.assign({}, ...allOf.map((one) => this.#whole(one))) })
    const options = anyOf ?? (rest.properties ? undefined : oneOf)
    if (options) return options.flatMap((option) => this.#variants(option))
    const types =
      type ??
      ((rest.enum ?? (rest.const === undefined ? undefined : [rest.const]))
        ? 'string'
        : rest.properties
          ? 'object'
          : 'anything')
    return [types].flat().map((one) => ({ ...rest, type: one }))
  }

  #whole(schema: Schema): Schema {
    return schema.$ref === undefined ? schema : this.#whole(this.#named(schema.$ref))
  }

  #defaultOf(schema: Schema): unknown {
    if (schema.default !== undefined || schema.$ref === undefined) return schema.default
    return this.#defaultOf(this.#named(schema.$ref))
  }

  #named(ref: string): Schema {
    const schema = this.#schemas[ref.split('/').at(-1) ?? '']
    if (!schema) throw new Error(`${ref} leads nowhere`)
    return schema
  }
}
