import { escaped, inlineHtml } from './markdown.ts'
import type { JsonSchema } from './openapi-schema.ts'

// Schemas as tables for people: one row a field, nested ones below the field that holds them.

/** The anchor of a component. */
export const schemaAnchor = (name: string) => `schema-${name}`

/** What a value may be, in a few words with links. */
export function typeHtml(schema: JsonSchema): string {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1) ?? ''
    return `<a href="#${schemaAnchor(name)}">${escaped(name)}</a>`
  }
  if (schema.anyOf) return [...new Set(schema.anyOf.map(typeHtml))].join(' or ')
  if (schema.const !== undefined) return codeHtml(schema.const)
  if (schema.enum) return schema.enum.map(codeHtml).join(' or ')
  if (schema.type === 'array') return `list of ${typeHtml(schema.items ?? {}).replace(/^object$/, 'objects')}`
  const rest = schema.additionalProperties
  if (schema.type === 'object' && typeof rest === 'object') return `object of ${typeHtml(rest)}`
  return escaped(schema.format === 'binary' ? 'bytes' : (schema.type ?? 'anything'))
}

const codeHtml = (value: unknown) =>
  `<code>${escaped(typeof value === 'string' ? value : JSON.stringify(value))}</code>`

/** A table of the fields of `schema`; empty if it has none of its own. */
export function fieldsHtml(schema: JsonSchema): string {
  const rows = rowsOf(schema, '', 0)
  return rows.length === 0 ? '' : `<table class="fields"><tbody>${rows.join('')}</tbody></table>`
}

function rowsOf(schema: JsonSchema, prefix: string, depth: number): string[] {
  const objects = ownObjects(schema)
  return objects.flatMap((object) => {
    const { properties = {}, required = [] } = object
    const rows = Object.entries(properties).flatMap(([name, field]) => [
      rowHtml(prefix, name, field, required.includes(name), depth),
      ...rowsOf(field, `${prefix}${name}${isList(field) ? '[]' : ''}.`, depth + 1),
    ])
    return objects.length > 1 ? [variantHtml(object, depth), ...rows] : rows
  })
}

/** The objects that a value may be, as far as they are described here and not in a component. */
function ownObjects(schema: JsonSchema): JsonSchema[] {
  if (schema.anyOf) return schema.anyOf.flatMap(ownObjects)
  if (schema.type === 'array') return schema.items ? ownObjects(schema.items) : []
  return schema.properties ? [schema] : []
}

function isList(schema: JsonSchema): boolean {
  return schema.type === 'array' || (schema.anyOf?.some(isList) ?? false)
}

function variantHtml({ properties = {} }: JsonSchema, depth: number): string {
  const [[name, kind] = []] = Object.entries(properties).filter(([key]) => key === 'type' || key === 'event')
  const said = kind ? `with <code>${escaped(name ?? '')}</code> ${typeHtml(kind)}:` : 'or:'
  return `<tr class="variant d${Math.min(depth, 5)}"><td colspan="3">${said}</td></tr>`
}

function rowHtml(prefix: string, name: string, field: JsonSchema, required: boolean, depth: number): string {
  const notes = [
    field.description ? `${inlineHtml(field.description)}.`.replace(/\.\.$/, '.') : '',
    boundsHtml(field),
  ]
  return (
    `<tr class="d${Math.min(depth, 5)}"><td><span class="prefix">${escaped(prefix)}</span><b>${escaped(name)}</b>` +
    `${required ? '' : ' <i>optional</i>'}</td><td>${typeHtml(field)}</td><td>${notes.filter(Boolean).join(' ')}</td></tr>`
  )
}

/** The limits of a value, in words. */
export function boundsHtml(schema: JsonSchema): string {
  const { default: otherwise, pattern, maxProperties, anyOf = [], items } = schema
  const own = [
    otherwise === undefined ? '' : `Default ${codeHtml(otherwise)}.`,
    rangeText(schema.minimum, schema.maximum, ''),
    rangeText(schema.minLength, schema.maxLength, ' characters'),
    rangeText(schema.minItems, schema.maxItems, ' items'),
    rangeText(undefined, maxProperties, ' pairs'),
    pattern === undefined ? '' : `Pattern ${codeHtml(pattern)}.`,
    ...anyOf.map(boundsHtml),
  ]
  const each = items && !items.properties ? boundsHtml(items) : ''
  return [...own, each && `Each: ${each}`].filter(Boolean).join(' ')
}

function rangeText(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}.`
  if (least !== undefined) return `At least ${least}${unit}.`
  return most === undefined ? '' : `At most ${most}${unit}.`
}
