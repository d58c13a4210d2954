import type { TObject } from 'typebox'
import { ApiError } from '../contract/errors.ts'
import {
  ToolForms,
  type MemgptCreateAssistant,
  type MemgptCreateRun,
  type MemgptPage,
  type MemgptSubmit,
  type ToolCallForm,
} from '../contract/memgpt-requests.ts'
import type { PageQuery } from '../contract/paging.ts'
import {
  CreateAssistant,
  CreateMessage,
  CreateRun,
  CreateThread,
  CreateThreadAndRun,
  ModifyAssistant,
  ModifyThread,
  SubmitToolOutputs,
} from '../contract/requests.ts'
import type { FunctionTool, Tool } from '../contract/tools.ts'
import type { AssistantRecord } from '../domain/records.ts'
import { toolName } from '../domain/to-memgpt.ts'
import { depthLimit, valueLimit, refuseUnstorable, scan } from './body.ts'
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

/** The bodies that v2 has for the same thing. */
const v2Bodies = {
  run: [CreateRun, CreateThreadAndRun],
  outputs: [SubmitToolOutputs],
  assistant: [CreateAssistant, ModifyAssistant],
  thread: [CreateThread, ModifyThread],
  message: [CreateMessage],
}

/**
 * Throws for a key that only v2 knows; `path` is where `body` stands in the request's. Keys that nobody knows are left
 * alone, but whoever sends `stream: true` must not wait for a stream that never comes.
 */
export function refuseV2Keys(
  kind: keyof typeof v2Bodies,
  body: object,
  { properties }: TObject,
  path = '',
): void {
  for (const [key, value] of Object.entries(body)) {
    // Null says the same as nothing.
    if (value === null || Object.hasOwn(properties, key)) continue
    if (!v2Bodies[kind].some((v2) => Object.hasOwn(v2.properties, key))) continue
    const param = path + key
    throw new ApiError(
      'unknown_parameter',
      `The memgpt dialect has no '${param}'. Send the header 'OpenAI-Beta: assistants=v2' to be understood in v2.`,
      param,
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

const parseCall = validator(ToolForms.call)
const parseDefinition = validator(ToolForms.definition)
const parseName = validator(ToolForms.name)

function toolOf(tool: unknown, at: string): Tool {
  return isCall(tool) ? definitionOf(parseCall(tool, at), at) : parseDefinition(tool, at)
}

/** A call in place of a definition is known by its arguments or its missing type. */
function isCall(tool: unknown): boolean {
  if (typeof tool !== 'object' || tool === null || !('function' in tool)) return false
  if (!('type' in tool) || 'id' in tool) return true
  return typeof tool.function === 'object' && tool.function !== null && 'arguments' in tool.function
}

function definitionOf({ function: { name, arguments: text } }: ToolCallForm, at: string): FunctionTool {
  const parameters = text ? objectIn(text, `${at}.function.arguments`) : undefined
  return { type: 'function', function: { name, ...(parameters ? { parameters } : {}) } }
}

/** The object that a text of JSON holds, if it holds one. Throws ApiError for one that cannot be stored. */
function objectIn(text: string, at: string): Record<string, unknown> | undefined {
  const { tooDeep, tooMany } = scan(Buffer.from(text))
  if (tooDeep || tooMany) {
    const what = tooDeep ? `is nested deeper than ${depthLimit} levels` : `has more than ${valueLimit} values`
    throw new ApiError('malformed_json', `The JSON in '${at}' ${what}.`, at)
  }
  const value = valueOf(text)
  // The check of the body saw a text with escapes in it.
  refuseUnstorable(value, at)
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isObject ? (value as Record<string, unknown>) : undefined
}

function valueOf(text: string): unknown {
  try {
    return JSON.parse(text)
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

/** An assistant to be made. An empty name or text is none, as none is shown as an empty one. */
export function assistantFields(body: MemgptCreateAssistant): CreateAssistant {
  return {
    model: body.model,
    name: body.name || null,
    description: body.description || null,
    instructions: body.instructions || null,
    tools: assistantTools(body.tools ?? [], []),
    ...resourcesOf(body),
    metadata: body.metadata ?? null,
  }
}

/**
 * What a body changes of an assistant. It has to name model, name and instructions; of the rest, what it leaves out or has
 * as null stays. A tool that the assistant has keeps its definition, of which this dialect shows the name alone.
 */
export function assistantChanges(body: MemgptCreateAssistant, old: AssistantRecord): ModifyAssistant {
  const { description, tools, metadata } = body
  return {
    model: body.model,
    name: body.name || null,
    instructions: body.instructions || null,
    ...(typeof description === 'string' ? { description: description || null } : {}),
    ...(tools ? { tools: assistantTools(tools, old.tools) } : {}),
    ...(body.file_ids
      ? { tool_resources: { ...old.tool_resources, ...resourcesOf(body).tool_resources } }
      : {}),
    ...(metadata ? { metadata } : {}),
  }
}

function resourcesOf({ file_ids }: MemgptCreateAssistant): Pick<CreateAssistant, 'tool_resources'> {
  return file_ids ? { tool_resources: { code_interpreter: { file_ids } } } : {}
}

/** Tools by name, of the hosted ones, of v1's `retrieval` or of a function, or in a form that runs take. */
function assistantTools(tools: readonly unknown[], known: readonly Tool[]): Tool[] {
  return tools.map((tool, i) => {
    const at = `tools[${i}]`
    return typeof tool === 'string' ? namedTool(parseName(tool, at), known) : toolOf(tool, at)
  })
}

function namedTool(name: string, known: readonly Tool[]): Tool {
  const type = name === 'retrieval' ? 'file_search' : name
  const same = known.find((tool) => toolName(tool) === type)
  if (same) return same
  if (type === 'code_interpreter' || type === 'file_search') return { type }
  return { type: 'function', function: { name } }
}
