import { excerpt } from '../convert.ts'
import type { UnionClass } from '../union.ts'

/** Both forms are primitive, so that it needs no objects of its own. */
const forms = {
  ValidationErrorLocInner: class {
    static RequiredProperties: string[] = []
    static constructFromObject = (data: unknown) => data ?? undefined
    static validateJSON = (data: unknown): true => {
      if (typeof data === 'string' || typeof data === 'number') return true
      throw new Error(`Expected the JSON data to be a string or a number but got ${excerpt(data)}`)
    }

    constructor(value?: string | number) {
      // A constructor cannot return a primitive value; this object is written to JSON as that value.
      if (value !== undefined) return Object(value) as object
    }
  },
}

/** A part of the place of a fault in a request: the name of a field, or a position in an array. */
export const ValidationErrorLocInner =
  forms.ValidationErrorLocInner as unknown as UnionClass<ValidationErrorLocInner>
export type ValidationErrorLocInner = string | number
