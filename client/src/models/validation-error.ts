import { defineModel, text, type Model } from '../model.ts'
import { ValidationErrorLocInner } from './validation-error-loc-inner.ts'

/** The fields of ValidationError. */
export interface ValidationErrorFields {
  /** Where it is: names and positions, from the outside in. */
  loc: ValidationErrorLocInner[]
  /** What is wrong. */
  msg: string
  /** The kind of fault. */
  type: string
}

/** One thing in a request that does not fit the schema. */
export const ValidationError = defineModel<
  ValidationErrorFields,
  [loc?: ValidationErrorLocInner[], msg?: string, type?: string]
>('ValidationError', { loc: [ValidationErrorLocInner], msg: text, type: text }, {})
export type ValidationError = Model<ValidationErrorFields>
