import { defineModel, text, type Model } from '../model.ts'
import { MemgptSchemasOpenaiOpenaiToolCall } from './memgpt-schemas-openai-openai-tool-call.ts'

/** The fields of OpenAIToolCallsStep. */
export interface OpenAIToolCallsStepFields {
  /** The form of these details. */
  type?: string | null
  /** The calls, in the order of the model. */
  tool_calls: MemgptSchemasOpenaiOpenaiToolCall[]
}

/** What a step of the type `tool_calls` did. */
export const OpenAIToolCallsStep = defineModel<
  OpenAIToolCallsStepFields,
  [toolCalls?: MemgptSchemasOpenaiOpenaiToolCall[]]
>(
  'OpenAIToolCallsStep',
  { tool_calls: [MemgptSchemasOpenaiOpenaiToolCall] },
  { type: text },
  { type: 'tool_calls' },
)
export type OpenAIToolCallsStep = Model<OpenAIToolCallsStepFields>
