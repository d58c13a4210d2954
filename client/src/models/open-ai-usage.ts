import { defineModel, number, type Model } from '../model.ts'

/** The fields of OpenAIUsage. */
export interface OpenAIUsageFields {
  /** Tokens that the model wrote. */
  completion_tokens: number
  /** Tokens that the model read. */
  prompt_tokens: number
  /** The sum of both. */
  total_tokens: number
}

/** Tokens that were used. */
export const OpenAIUsage = defineModel<
  OpenAIUsageFields,
  [completionTokens?: number, promptTokens?: number, totalTokens?: number]
>('OpenAIUsage', { completion_tokens: number, prompt_tokens: number, total_tokens: number }, {})
export type OpenAIUsage = Model<OpenAIUsageFields>
