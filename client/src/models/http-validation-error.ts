import { defineModel, type Model } from '../model.ts'
import { ValidationError } from './validation-error.ts'

/** The fields of HTTPValidationError. */
export interface HTTPValidationErrorFields {
  /** Each thing that does not fit. */
  detail?: ValidationError[] | null
}

/** The body of an answer 422: the request does not fit the schema. */
export const HTTPValidationError = defineModel<HTTPValidationErrorFields, []>(
  'HTTPValidationError',
  {},
  { detail: [ValidationError] },
)
export type HTTPValidationError = Model<HTTPValidationErrorFields>
