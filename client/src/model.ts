import {
  convertToType,
  excerpt,
  isArrayType,
  isModel,
  plainText,
  type DataType,
  type FromObject,
} from './convert.ts'

// What the model classes have in common. A model is an object with the names of the wire (`created_at`), as its class
// builds it from the arguments of its constructor or from JSON. The names of the documentation (`createdAt`) lead to
// the same values; they are neither enumerated nor written to JSON.

type Camel<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name

/** The name that the documentation has for a field. */
type Documented<Name extends string> = Name extends 'function' | 'arguments' ? `_${Name}` : Camel<Name>

/** An object of a model class: its fields, by both names. */
export type Model<Fields> = Fields & {
  [Name in keyof Fields as Documented<Name & string>]: Fields[Name]
}

/** A model class. `Args` are the required fields in the order of the constructor; each may be left out. */
export interface ModelClass<Fields, Args extends unknown[]> {
  new (...args: Args): Model<Fields>
  readonly prototype: Model<Fields>
  /** The fields that `validateJSON` demands. */
  RequiredProperties: string[]
  /** Sets the required fields of `obj`, as the constructor does. */
  initialize(this: void, obj: object, ...args: Args): void
  /** A model from JSON, or `obj` with the fields of that JSON; keys that the model does not know are left out. */
  constructFromObject(this: void, data: object, obj?: object): Model<Fields>
  constructFromObject(this: void, data: unknown, obj?: object): Model<Fields> | undefined
  /** True, or an Error that names the field which is missing or has another type. */
  validateJSON(this: void, data: unknown): true
}

/** The type of a field at run time, which must fit its type in TypeScript. */
type TypeOf<Value> = [Value] extends [string]
  ? 'String'
  : [Value] extends [number]
    ? 'Number'
    : [Value] extends [boolean]
      ? 'Boolean'
      : [Value] extends [readonly (infer Item)[]]
        ? readonly [TypeOf<Item>] | readonly [FromObject]
        : FromObject | ObjectConstructor

/** The types of those fields that must be there (`true`) or may be missing (`false`). */
type Types<Fields, IsRequired> = {
  readonly [Name in keyof Fields as IsOptional<Fields, Name> extends IsRequired ? never : Name]-?: TypeOf<
    NonNullable<Fields[Name]>
  >
}

type IsOptional<Fields, Name extends keyof Fields> =
  Record<never, never> extends Pick<Fields, Name> ? true : false

export const text = 'String'
export const number = 'Number'
export const boolean = 'Boolean'

/** Free keys and values that are kept with an object. */
export type Metadata = Record<string, unknown>

/**
 * Makes a model class. `required` and `optional` are the types of the fields, in the order of the constructor's arguments;
 * `defaults` stand on the prototype, so that JSON does not show them.
 */
export function defineModel<Fields extends object, Args extends unknown[]>(
  name: string,
  required: Types<Fields, true>,
  optional: Types<Fields, false>,
  defaults: Partial<Fields> = {},
): ModelClass<Fields, Args> {
  const fields = Object.entries<DataType>({ ...required, ...optional })
  const RequiredProperties = Object.keys(required)
  const initialize = (obj: object, ...values: Args) => {
    RequiredProperties.forEach((field, at) => Reflect.set(obj, field, values[at]))
  }
  // The name of the property becomes the name of the class.
  const classes = {
    [name]: class {
      static RequiredProperties: string[] = RequiredProperties
      static initialize = initialize
      static validateJSON = (data: unknown): true => validate(name, RequiredProperties, fields, data)
      static constructFromObject = (data: unknown, obj?: object) => {
        if (data) return fill(fields, data, obj ?? new ModelOf())
        return obj
      }

      constructor(...values: Args) {
        initialize(this, ...values)
      }
    },
  }
  const ModelOf = classes[name] as unknown as ModelClass<Fields, Args> & (new (...args: unknown[]) => object)
  for (const [field] of fields) {
    Reflect.set(ModelOf.prototype, field, Reflect.get(defaults, field))
    addDocumentedName(ModelOf.prototype, field)
  }
  return ModelOf
}

/** `created_at` by the name `createdAt`, `function` by the name `_function`. */
function addDocumentedName(prototype: object, field: string): void {
  const reserved = field === 'function' || field === 'arguments'
  const name = reserved ? `_${field}` : field.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
  if (name === field) return
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(this: object): unknown {
      return Reflect.get(this, field)
    },
    set(this: object, value: unknown) {
      Reflect.set(this, field, value)
    },
  })
}

function fill(fields: [string, DataType][], data: unknown, obj: object): object {
  for (const [field, type] of fields) {
    if (!Object.hasOwn(data as object, field)) continue
    const value: unknown = Reflect.get(data as object, field)
    // A model that is null in JSON is left undefined, any other null is kept.
    Reflect.set(obj, field, isModel(type) ? type.constructFromObject(value) : convertToType(value, type))
  }
  return obj
}

function validate(
  name: string,
  required: readonly string[],
  fields: [string, DataType][],
  data: unknown,
): true {
  if (typeof data !== 'object' || data === null)
    throw new Error(`Expected the JSON data of ${name} to be an object but got ${excerpt(data)}`)
  for (const field of required) {
    if (!Object.hasOwn(data, field))
      throw new Error(
        `The required field \`${field}\` is not found in the JSON data: ${JSON.stringify(data)}`,
      )
  }
  for (const [field, type] of fields) validateField(field, type, Reflect.get(data, field))
  return true
}

function validateField(field: string, type: DataType, value: unknown): void {
  if (value === undefined || value === null) return
  if (type === text && value && typeof value !== 'string' && !(value instanceof String))
    throw new Error(
      `Expected the field \`${field}\` to be a primitive type in the JSON string but got ${plainText(value)}`,
    )
  if (isArrayType(type)) {
    if (!Array.isArray(value))
      throw new Error(
        `Expected the field \`${field}\` to be an array in the JSON data but got ${plainText(value)}`,
      )
    for (const item of value) if (isModel(type[0])) type[0].validateJSON?.(item)
  } else if (isModel(type)) type.validateJSON?.(value)
}
