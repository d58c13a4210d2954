import { defineModel, text, type Model } from '../model.ts'
import { FunctionModel, type FunctionModelFields } from './function.ts'

/** The fields of MemgptSchemasOpenaiOpenaiToolCall. */
export interface MemgptSchemasOpenaiOpenaiToolCallFields {
  /** The id of the call; its output names it. */
  id: string
  /** The kind of tool. */
  type?: string | null
  /** The function and its arguments. */
  function: FunctionModelFields
}

/** A call of a function that the model asks for. */
export const MemgptSchemasOpenaiOpenaiToolCall = defineModel<
  MemgptSchemasOpenaiOpenaiToolCallFields,
  [id?: string, _function?: FunctionModelFields]
>(
  'MemgptSchemasOpenaiOpenaiToolCall',
  { id: text, function: FunctionModel },
  { type: text },
  { type: 'function' },
)
export type MemgptSchemasOpenaiOpenaiToolCall = Model<MemgptSchemasOpenaiOpenaiToolCallFields>
