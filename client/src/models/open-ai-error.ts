import { defineModel, text, type Model } from '../model.ts'

/** The fields of OpenAIError. */
export interface OpenAIErrorFields {
  /** `server_error`, `rate_limit_exceeded` or `invalid_prompt`. */
  code: string
  /** What happened, for people. */
  message: string
}

/** Why a run or a step failed. */
export const OpenAIError = defineModel<OpenAIErrorFields, [code?: string, message?: string]>(
  'OpenAIError',
  { code: text, message: text },
  {},
)
export type OpenAIError = Model<OpenAIErrorFields>
