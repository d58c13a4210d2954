import { ApiError } from '../contract/errors.ts'
import {
  RunToolForms,
  type MemgptCreateAssistant,
  type MemgptCreateRun,
  type MemgptPage,
  type MemgptSubmit,
  type ToolCallForm,
} from '../contract/memgpt-requests.ts'
import type { PageQuery } from '../contract/paging.ts'
import {
  CreateAssistant,
  CreateRun,
  CreateThreadAndRun,
  type SubmitToolOutputs,
} from '../contract/requests.ts'
import type { FunctionTool, Tool } from '../contract/tools.ts'
import { validator } from './validate.ts'

// Requests of the memgpt dialect as v2 has them (memgpt-dialect.md §4 "Dialect rules").

/** Clients of this dialect ask for up to a thousand at a time; more than this is cut to it. */
const mostRows = 10_000

/** The page that a list asks for; null for `limit=0`, which is an empty one. */
export function pageOf({ limit, order, after, before }: MemgptPage): PageQuery | null {
  if (limit === 0) return null
  const word = order.replaceAll(/['"]/g, '')
  return { limit: Math.min(limit, mostRows), order: word === 'desc' ? 'desc' : 'asc', after, before }
}

/**
 * Throws for a key that only v2 knows. Keys that nobody knows are left alone, but whoever sends `stream: true`
 * must not wait for a stream that never comes.
 */
export function refuseV2Keys(body: object, own: object): void {
  const known = new Set(
    [CreateRun, CreateThreadAndRun, CreateAssistant].flatMap(({ properties }) => Object.keys(properties)),
  )
  for (const key of Object.keys(body)) {
    if (Object.hasOwn(own, key) || !known.has(key)) continue
    throw new ApiError(
      'unknown_parameter',
      `The memgpt dialect has no '${key}'. Send the header 'OpenAI-Beta: assistants=v2' to be understood in v2.`,
      key,
    )
  }
}

/** What a run of this dialect sets: an empty text inherits, as null does. */
export function runFields(
  body: Pick<MemgptCreateRun, 'assistant_id' | 'model' | 'instructions' | 'tools' | 'metadata'>,
) {
  return {
    assistant_id: body.assistant_id,
    model: body.model || null,
    instructions: body.instructions || null,
    tools: body.tools ? body.tools.map((tool, i) => toolOf(tool, `tools[${i}]`)) : null,
    metadata: body.metadata ?? null,
  }
}

const parseCall = validator(RunToolForms.call)
const parseDefinition = validator(RunToolForms.definition)

function toolOf(tool: unknown, at: string): Tool {
  try {
    return isCall(tool) ? definitionOf(parseCall(tool)) : parseDefinition(tool)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    throw new ApiError(error.key, error.message, error.param === null ? at : `${at}.${error.param}`)
  }
}

/** A call in place of a definition is known by its arguments or its missing type. */
function isCall(tool: unknown): boolean {
  if (typeof tool !== 'object' || tool === null || !('function' in tool)) return false
  if (!('type' in tool) || 'id' in tool) return true
  return typeof tool.function === 'object' && tool.function !== null && 'arguments' in tool.function
}

function definitionOf({ function: { name, arguments: text } }: ToolCallForm): FunctionTool {
  const parameters = text ? objectIn(text) : undefined
  return { type: 'function', function: { name, ...(parameters ? { parameters } : {}) } }
}

/** The object that a text of JSON holds, if it holds one. */
function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** The outputs under either of their two names. */
export function outputsOf(body: MemgptSubmit): SubmitToolOutputs['tool_outputs'] {
  const { tools_outputs, tool_outputs } = body
  if (tools_outputs && tool_outputs) {
    throw new ApiError('invalid_value', "Give 'tools_outputs' or 'tool_outputs', not both.", 'tool_outputs')
  }
  const outputs = tools_outputs ?? tool_outputs
  if (!outputs) {
    throw new ApiError('missing_parameter', "Missing required parameter: 'tools_outputs'.", 'tools_outputs')
  }
  return outputs
}

const hosted: ReadonlySet<string> = new Set(['code_interpreter', 'file_search'])

/** An assistant's tools are names here: of the hosted tools, of v1's `retrieval`, or of a function. */
export function assistantFields(body: MemgptCreateAssistant): CreateAssistant {
  return {
    model: body.model,
    name: body.name,
    description: body.description ?? null,
    instructions: body.instructions,
    tools: (body.tools ?? []).map((tool, i) =>
      typeof tool === 'string' ? namedTool(tool) : toolOf(tool, `tools[${i}]`),
    ),
    ...(body.file_ids ? { tool_resources: { code_interpreter: { file_ids: body.file_ids } } } : {}),
    metadata: body.metadata ?? null,
  }
}

function namedTool(name: string): Tool {
  if (name === 'retrieval') return { type: 'file_search' }
  if (hosted.has(name)) return { type: name as 'code_interpreter' | 'file_search' }
  return { type: 'function', function: { name } }
}
