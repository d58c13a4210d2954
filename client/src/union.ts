import { excerpt } from './convert.ts'

// Classes that stand for several forms. The generator of the original left these files empty, so that whatever held
// one of them could not be read.

/** One of the forms: a model class. */
interface Form {
  readonly prototype: object
  RequiredProperties: string[]
  constructFromObject(this: void, data: unknown): object | undefined
  validateJSON(this: void, data: unknown): true
}

/** A class that stands for the forms `Forms`; whatever it makes is an object of one of these. */
export interface UnionClass<Forms> {
  new (data?: unknown): Extract<Forms, object>
  readonly prototype: Extract<Forms, object>
  RequiredProperties: string[]
  /** An object of the form that the JSON has; null gives undefined, and JSON of no form is returned as it is. */
  constructFromObject(this: void, data: object): Forms
  constructFromObject(this: void, data: unknown): Forms | undefined
  /** True if the JSON fits its form; throws an Error that says what does not fit. */
  validateJSON(this: void, data: unknown): true
}

/**
 * Makes the class of a union. The form is told by the fixed fields (`type`, `object`), and where none says, by the
 * required fields that are there; the first of `forms` wins.
 */
export function defineUnion<Forms>(name: string, forms: readonly Form[]): UnionClass<Forms> {
  const formOf = (data: unknown) =>
    typeof data === 'object' && data !== null
      ? (forms.find((form) => hasFixedFields(form, data)) ?? forms.find((form) => hasRequired(form, data)))
      : undefined
  const constructFromObject = (data: unknown) => {
    if (data) return formOf(data)?.constructFromObject(data) ?? data
    return undefined
  }
  const classes = {
    [name]: class {
      static RequiredProperties: string[] = []
      static constructFromObject = constructFromObject
      static validateJSON = (data: unknown): true => {
        const form = formOf(data)
        if (form) return form.validateJSON(data)
        throw new Error(`Expected the JSON data of ${name} to have one of its forms but got ${excerpt(data)}`)
      }
      static [Symbol.hasInstance](value: unknown): boolean {
        return forms.some((form) => Object.prototype.isPrototypeOf.call(form.prototype, value as object))
      }

      constructor(data?: unknown) {
        const made = constructFromObject(data)
        if (typeof made === 'object') return made
      }
    },
  }
  return classes[name] as unknown as UnionClass<Forms>
}

function hasFixedFields(form: Form, data: object): boolean {
  return Object.entries(form.prototype).some(
    ([field, value]) => value !== undefined && Reflect.get(data, field) === value,
  )
}

function hasRequired(form: Form, data: object): boolean {
  return form.RequiredProperties.every((field) => Reflect.get(data, field) !== undefined)
}
