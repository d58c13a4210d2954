import type { Static, TObject } from 'typebox'
import { ApiError } from '../contract/errors.ts'
import { validator } from './validate.ts'

export type Query = Record<string, string | string[] | undefined>

/** As much of a property's schema as reading a query needs. */
interface Property {
  type?: string
  default?: unknown
  properties?: Record<string, Property>
}

/**
 * A function that reads the parameters of `schema` from a query string, or throws the ApiError that names what
 * is wrong. Parameters that the schema does not know are left alone: Azure's clients send `api-version`, browsers'
 * caches are broken with `_`. An empty parameter counts as one that is not there.
 */
export function queryParser<T extends TObject>(schema: T): (query: Query) => Static<T> {
  const check = validator(schema)
  const properties = Object.entries(schema.properties) as [string, Property][]
  return (query) => {
    const given: Record<string, unknown> = {}
    for (const [name, property] of properties) {
      const value = valueOf(query, name, property) ?? property.default
      if (value !== undefined) given[name] = value
    }
    return check(given)
  }
}

function valueOf(query: Query, name: string, property: Property): unknown {
  if (property.type === 'array') return listOf(query, name)
  if (property.type === 'object') return objectOf(query, name, property)
  return scalarOf(query, name, property)
}

function scalarOf(query: Query, name: string, { type }: Property): unknown {
  const text = single(query, name)
  if (text === undefined || text === '') return undefined
  if (type === 'integer' && /^-?\d+$/.test(text)) return Number(text)
  if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  return text
}

/** `include[]=a&include[]=b`, `include=a&include=b` and `include=a` say the same kind of thing (wire.md §1). */
function listOf(query: Query, name: string): string[] | undefined {
  const given = [query[`${name}[]`], query[name]]
    .flat()
    .filter((value) => value !== undefined && value !== '')
  return given.length === 0 ? undefined : (given as string[])
}

/**
 * `name[a]=1&name[b]=2`. A value that is empty is one: a filter by what a program forgot to fill in finds nothing rather than
 * everything. So is one that cannot be read, as `name[a][b]=1`, refused rather than left out. What is no pair at all, as `name=1`, is
 * handed on for the check to refuse.
 */
function objectOf(query: Query, name: string, { properties = {} }: Property): unknown {
  const pairs = Object.keys(query).flatMap((given) => {
    if (!given.startsWith(`${name}[`)) return []
    const [, key] = /^[^[]*\[([^\]]*)\]$/.exec(given) ?? []
    if (key === undefined) {
      const shown = given.slice(0, 100)
      throw new ApiError('invalid_value', `Invalid '${shown}': it must be of the form '${name}[key]'.`, shown)
    }
    const value = Object.hasOwn(properties, key) ? scalarOf(query, given, properties[key] ?? {}) : undefined
    return [[key, value ?? single(query, given) ?? '']]
  })
  if (pairs.length > 0) return Object.fromEntries(pairs)
  return single(query, name) || undefined
}

/** A parameter that may be given once; of several the last counts. */
function single(query: Query, name: string): string | undefined {
  const given = query[name]
  const value = Array.isArray(given) ? given.at(-1) : given
  // Postgres takes no NUL, not even to compare with.
  if (!value?.includes('\0')) return value
  throw new ApiError('invalid_value', `Invalid '${name}': the text contains the NUL character.`, name)
}
