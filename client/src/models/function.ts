import { defineModel, text, type Model } from '../model.ts'

/** The fields of Function. */
export interface FunctionModelFields {
  /** The name of the function. */
  name: string
  /** Its arguments: a JSON object as text. */
  arguments: string
}

/** The function of a tool call. */
export const FunctionModel = defineModel<FunctionModelFields, [name?: string, _arguments?: string]>(
  'Function',
  { name: text, arguments: text },
  {},
)
export type FunctionModel = Model<FunctionModelFields>
