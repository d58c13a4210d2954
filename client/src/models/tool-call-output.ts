import { defineModel, text, type Model } from '../model.ts'

/** The fields of ToolCallOutput. */
export interface ToolCallOutputFields {
  /** The id of the call. */
  tool_call_id: string
  /** What the function returned, as text for the model. */
  output: string
}

/** The output of one tool call. */
export const ToolCallOutput = defineModel<ToolCallOutputFields, [toolCallId?: string, output?: string]>(
  'ToolCallOutput',
  { tool_call_id: text, output: text },
  {},
)
export type ToolCallOutput = Model<ToolCallOutputFields>
