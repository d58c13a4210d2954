import { Compile } from 'typebox/compile'
import type { Static, TSchema } from 'typebox'
import { ApiError } from '../contract/errors.ts'

// Request bodies: a compiled check says yes or no, and only after a no the schema is walked again for the
// error that names the field, in the words of wire.md §9.

/** As much of JSON Schema as contract/requests.ts uses. */
export interface Schema {
  type?: string
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  propertyNames?: { maxLength?: number }
  maxProperties?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  minimum?: number
  maximum?: number
}

/**
 * A function that answers the value as the schema's type, or throws the ApiError that names what is wrong. `path` is where the
 * value stands in the body, if it is a part of it.
 */
export function validator<T extends TSchema>(schema: T): (value: unknown, path?: string) => Static<T> {
  const check = Compile(schema)
  return (value, path = '') => {
    // "No body" counts as an empty object (wire.md §1).
    const body = value === undefined || value === null ? {} : value
    if (check.Check(body)) return body as Static<T>
    throw (
      explain(schema as Schema, body, path) ?? new ApiError('invalid_value', 'The request body is not valid.')
    )
  }
}

function explain(schema: Schema, value: unknown, path: string): ApiError | null {
  if (schema.anyOf) return explainUnion(flatOptions(schema.anyOf), value, path)
  if (schema.const !== undefined || schema.enum)
    return explainEnum(schema.enum ?? [schema.const], value, path)
  if (schema.type !== undefined && !isOfType(schema.type, value)) return wrongType([schema.type], value, path)
  if (typeof value === 'string') return explainString(schema, value, path)
  if (typeof value === 'number') return explainNumber(schema, value, path)
  if (Array.isArray(value)) return explainArray(schema, value, path)
  if (typeof value === 'object' && value !== null) {
    return explainObject(schema, value as Record<string, unknown>, path)
  }
  return null
}

/** A nullable union is a union within a union. */
export function flatOptions(options: Schema[]): Schema[] {
  return options.flatMap((option) => (option.anyOf ? flatOptions(option.anyOf) : [option]))
}

function explainUnion(options: Schema[], value: unknown, path: string): ApiError | null {
  const fitting = options.filter((option) => optionTypes(option).some((type) => isOfType(type, value)))
  const only = fitting[0]
  if (only === undefined) return wrongType([...new Set(options.flatMap(optionTypes))], value, path)
  if (fitting.length === 1) return explain(only, value, path)
  if (typeof value === 'string')
    return explainEnum(
      fitting.flatMap((o) => o.enum ?? [o.const]),
      value,
      path,
    )
  return explainVariant(fitting, value as Record<string, unknown>, path)
}

function explainVariant(options: Schema[], value: Record<string, unknown>, path: string): ApiError | null {
  if (value['type'] === undefined) return missing(join(path, 'type'))
  const chosen = variantOf(options, value)
  return chosen
    ? explain(chosen, value, path)
    : explainEnum(options.flatMap(typesOf), value['type'], join(path, 'type'))
}

/** Of objects that are told apart by their `type` the one that `value` means to be. */
export function variantOf(options: Schema[], value: Record<string, unknown>): Schema | undefined {
  return options.find((option) => typesOf(option).includes(value['type']))
}

function typesOf({ properties }: Schema): unknown[] {
  return properties?.['type']?.enum ?? [properties?.['type']?.const]
}

function explainEnum(values: unknown[], value: unknown, path: string): ApiError | null {
  if (values.includes(value)) return null
  if (typeof value !== 'string') return wrongType(['string'], value, path)
  const supported = values.map((one) => `'${String(one)}'`).join(', ')
  const text = `Invalid value: '${clip(value)}'. Supported values are: ${supported}.`
  return new ApiError('invalid_value', text, path)
}

function explainObject(schema: Schema, value: Record<string, unknown>, path: string): ApiError | null {
  const properties = schema.properties ?? {}
  for (const key of schema.required ?? []) if (value[key] === undefined) return missing(join(path, key))
  const keys = Object.keys(value)
  const { maxProperties, additionalProperties: rest } = schema
  if (maxProperties !== undefined && keys.length > maxProperties) {
    const text = `too many properties. Expected an object with at most ${maxProperties} properties, but got an object with ${keys.length} properties instead.`
    return new ApiError('object_too_large', `Invalid '${path}': ${text}`, path)
  }
  for (const key of keys) {
    const at = join(path, key)
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined
    if (!known && rest === false)
      return new ApiError('unknown_parameter', `Unknown parameter: '${clip(at)}'.`, clip(at))
    const error = explainKey(schema, key, path) ?? explainValue(known ?? rest, value[key], at)
    if (error) return error
  }
  return null
}

function explainValue(schema: Schema | boolean | undefined, value: unknown, path: string): ApiError | null {
  return typeof schema === 'object' ? explain(schema, value, path) : null
}

function explainKey(schema: Schema, key: string, path: string): ApiError | null {
  const most = schema.propertyNames?.maxLength
  const length = Array.from(key).length
  if (most === undefined || length <= most) return null
  const text = `'${clip(key)}' is too long. Expected a string with maximum length ${most}, but got a string with length ${length} instead.`
  return new ApiError(
    'property_name_too_long',
    `Invalid property name in '${path}': ${text}`,
    join(path, key),
  )
}

function explainArray(schema: Schema, value: unknown[], path: string): ApiError | null {
  const { minItems, maxItems, items } = schema
  const got = `but got an array with length ${value.length} instead.`
  if (maxItems !== undefined && value.length > maxItems) {
    const text = `array too long. Expected an array with maximum length ${maxItems}, ${got}`
    return new ApiError('array_too_long', `Invalid '${path}': ${text}`, path)
  }
  if (minItems !== undefined && value.length < minItems) {
    const text = `array too short. Expected an array with minimum length ${minItems}, ${got}`
    return new ApiError('array_too_short', `Invalid '${path}': ${text}`, path)
  }
  for (const [i, item] of value.entries()) {
    const error = items ? explain(items, item, `${path}[${i}]`) : null
    if (error) return error
  }
  return null
}

function explainString(schema: Schema, value: string, path: string): ApiError | null {
  const { minLength, maxLength, pattern } = schema
  // Counted in code points, as JSON Schema and wire.md §8 do.
  const length = Array.from(value).length
  const got = `but got ${length === 0 ? 'an empty string' : `a string with length ${length}`} instead.`
  if (maxLength !== undefined && length > maxLength) {
    const text = `string too long. Expected a string with maximum length ${maxLength}, ${got}`
    return new ApiError('string_too_long', `Invalid '${path}': ${text}`, path)
  }
  if (minLength !== undefined && length < minLength) {
    const text = `string too short. Expected a string with minimum length ${minLength}, ${got}`
    return new ApiError('string_too_short', `Invalid '${path}': ${text}`, path)
  }
  if (pattern !== undefined && !new RegExp(pattern).test(value)) {
    const text = `string does not match pattern. Expected a string that matches the pattern '${pattern}'.`
    return new ApiError('invalid_value', `Invalid '${path}': ${text}`, path)
  }
  return null
}

function explainNumber(schema: Schema, value: number, path: string): ApiError | null {
  const { minimum, maximum } = schema
  const word = schema.type === 'integer' ? 'integer' : 'decimal'
  const integer = word === 'integer'
  if (maximum !== undefined && value > maximum) {
    const text = `${word} above maximum value. Expected a value <= ${maximum}, but got ${value} instead.`
    return new ApiError(
      integer ? 'integer_too_large' : 'number_too_large',
      `Invalid '${path}': ${text}`,
      path,
    )
  }
  if (minimum !== undefined && value < minimum) {
    const text = `${word} below minimum value. Expected a value >= ${minimum}, but got ${value} instead.`
    return new ApiError(
      integer ? 'integer_too_small' : 'number_too_small',
      `Invalid '${path}': ${text}`,
      path,
    )
  }
  return null
}

function missing(path: string): ApiError {
  return new ApiError('missing_parameter', `Missing required parameter: '${path}'.`, path)
}

const typeNames: Record<string, string> = {
  string: 'a string',
  integer: 'an integer',
  number: 'a decimal',
  boolean: 'a boolean',
  object: 'an object',
  array: 'an array',
  null: 'null',
}

/** The error for a value of the wrong JSON type. */
function wrongType(expected: string[], value: unknown, path: string): ApiError {
  const named = expected.filter((type) => type !== 'null').map((type) => typeNames[type] ?? type)
  const list = named.length > 1 ? `one of ${named.slice(0, -1).join(', ')} or ${named.at(-1)}` : named[0]
  const where = path === '' ? 'the request body' : `'${path}'`
  const text = `Invalid type for ${where}: expected ${list}, but got ${typeNames[typeOf(value)]} instead.`
  return new ApiError('invalid_type', text, path === '' ? null : path)
}

function optionTypes(schema: Schema): string[] {
  if (schema.type !== undefined) return [schema.type]
  return schema.enum || schema.const !== undefined ? ['string'] : []
}

function isOfType(type: string, value: unknown): boolean {
  const actual = typeOf(value)
  return actual === type || (type === 'number' && actual === 'integer')
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function clip(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}
