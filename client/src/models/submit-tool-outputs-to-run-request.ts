import { defineModel, type Model } from '../model.ts'
import { ToolCallOutput, type ToolCallOutputFields } from './tool-call-output.ts'

/** The fields of SubmitToolOutputsToRunRequest. */
export interface SubmitToolOutputsToRunRequestFields {
  /** One output for each call that the run waits for. */
  tools_outputs: ToolCallOutputFields[]
}

/** The body of a request that submits the outputs of tool calls. */
export const SubmitToolOutputsToRunRequest = defineModel<
  SubmitToolOutputsToRunRequestFields,
  [toolsOutputs?: ToolCallOutputFields[]]
>('SubmitToolOutputsToRunRequest', { tools_outputs: [ToolCallOutput] }, {})
export type SubmitToolOutputsToRunRequest = Model<SubmitToolOutputsToRunRequestFields>
