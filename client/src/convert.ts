// Conversion between JSON and values of the client, by the type names that the API classes use.

/** What an answer is turned into: a type name, a model, `[type]` for an array, `{ String: type }` for a map. */
export type DataType =
  | 'Boolean'
  | 'Integer'
  | 'Number'
  | 'String'
  | 'Date'
  | 'Blob'
  | ObjectConstructor
  | FromObject
  | readonly [DataType]
  | { readonly [key: string]: DataType }

/** A model class, or anything else that builds a value from JSON. */
export interface FromObject {
  readonly name: string
  constructFromObject(data: unknown): unknown
  validateJSON?(data: unknown): boolean
}

/**
 * `data` as a value of `type`; null and undefined stay what they are. Throws a TypeError that names what the server
 * sent where an array or an object was expected.
 */
export function convertToType(data: unknown, type: DataType): unknown {
  if (data === null || data === undefined) return data
  switch (type) {
    case 'Boolean':
      return Boolean(data)
    case 'Integer':
      return parseInt(plainText(data), 10)
    case 'Number':
      return parseFloat(plainText(data))
    case 'String':
      return plainText(data)
    case 'Date':
      return parseDate(plainText(data))
    case 'Blob':
    case Object:
      return data
  }
  if (isModel(type)) return type.constructFromObject(data)
  if (isArrayType(type)) return convertArray(data, type[0])
  return convertMap(data, type as Record<string, DataType>)
}

export function isModel(type: DataType): type is FromObject {
  return typeof (type as Partial<FromObject>).constructFromObject === 'function'
}

export function isArrayType(type: DataType): type is readonly [DataType] {
  return Array.isArray(type)
}

/** A date from its ISO 8601 form or from milliseconds since 1970. */
export function parseDate(text: string): Date {
  return new Date(Number.isNaN(Number(text)) ? text : Number(text))
}

/** What messages of errors show of a value: its beginning. */
export function excerpt(data: unknown): string {
  const text = typeof data === 'string' ? data : (JSON.stringify(data) ?? String(data))
  return text.length > 200 ? `${text.slice(0, 200)}...` : text
}

/** String(), which gives objects the text that they define for themselves. */
export function plainText(data: unknown): string {
  // oxlint-disable-next-line typescript/no-base-to-string
  return String(data)
}

function convertArray(data: unknown, item: DataType): unknown[] {
  if (Array.isArray(data)) return data.map((each) => convertToType(each, item))
  const what = isModel(item) ? item.name : 'values'
  // The list envelope of the other dialect is what a wrongly detected client would see here.
  throw new TypeError(`Expected an array of ${what} and the server sent: ${excerpt(data)}`)
}

function convertMap(data: unknown, type: Record<string, DataType>): unknown {
  const [entry] = Object.entries(type)
  if (!entry || typeof data !== 'object' || data === null) return data
  const [key, value] = entry as [DataType, DataType]
  const converted = Object.entries(data).map(([name, each]) => [
    convertToType(name, key),
    convertToType(each, value),
  ])
  return Object.fromEntries(converted) as unknown
}
