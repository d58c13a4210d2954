import { defineModel, text, type Model } from '../model.ts'
import { MemgptSchemasOpenaiOpenaiToolCall } from './memgpt-schemas-openai-openai-tool-call.ts'

/** The fields of RequiredAction. */
export interface RequiredActionFields {
  /** The kind of action. */
  type?: string | null
  /** The calls whose outputs are to be submitted. */
  submit_tool_outputs: MemgptSchemasOpenaiOpenaiToolCall[]
}

/** What a run in `requires_action` waits for. */
export const RequiredAction = defineModel<
  RequiredActionFields,
  [submitToolOutputs?: MemgptSchemasOpenaiOpenaiToolCall[]]
>(
  'RequiredAction',
  { submit_tool_outputs: [MemgptSchemasOpenaiOpenaiToolCall] },
  { type: text },
  { type: 'submit_tool_outputs' },
)
export type RequiredAction = Model<RequiredActionFields>
