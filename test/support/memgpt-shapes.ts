import { Ajv2020 as Ajv } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv'
import { Type, type TSchema } from 'typebox'
import { AssistantFile, MessageFile } from '../../src/contract/file-object.ts'
import { HTTPValidationError, MemgptError } from '../../src/contract/memgpt-errors.ts'
import {
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
} from '../../src/contract/memgpt-objects.ts'
import { Deleted } from '../../src/contract/objects.ts'

// The judge of every answer of the memgpt dialect that a test sees: all fields that it must have, and no others.

const run = '/threads/[^/]+/runs/[^/]+'
const message = '/threads/[^/]+/messages/[^/]+'

/** The answers of operations that went well. The first path that matches counts. */
const answers: [string, string, TSchema][] = [
  ['POST', '/threads/runs', OpenAIRun],
  ['POST', '/threads/[^/]+/runs', OpenAIRun],
  ['GET', '/threads/[^/]+/runs', Type.Array(OpenAIRun)],
  ['GET', run, OpenAIRun],
  ['POST', run, OpenAIRun],
  ['POST', `${run}/cancel`, OpenAIRun],
  ['POST', `${run}/submit_tool_outputs`, OpenAIRun],
  ['GET', `${run}/steps`, Type.Array(OpenAIRunStep)],
  ['GET', `${run}/steps/[^/]+`, OpenAIRunStep],
  ['POST', '/assistants', OpenAIAssistant],
  ['GET', '/assistants', Type.Array(OpenAIAssistant)],
  ['GET', '/assistants/[^/]+', OpenAIAssistant],
  ['POST', '/assistants/[^/]+', OpenAIAssistant],
  ['DELETE', '/assistants/[^/]+', Deleted('assistant.deleted')],
  ['POST', '/assistants/[^/]+/files', AssistantFile],
  ['GET', '/assistants/[^/]+/files', Type.Array(AssistantFile)],
  ['GET', '/assistants/[^/]+/files/[^/]+', AssistantFile],
  ['DELETE', '/assistants/[^/]+/files/[^/]+', Deleted('assistant.file.deleted')],
  ['POST', '/threads', OpenAIThread],
  ['GET', '/threads/[^/]+', OpenAIThread],
  ['POST', '/threads/[^/]+', OpenAIThread],
  ['DELETE', '/threads/[^/]+', Deleted('thread.deleted')],
  ['POST', '/threads/[^/]+/messages', OpenAIMessage],
  ['GET', '/threads/[^/]+/messages', Type.Object({ messages: Type.Array(OpenAIMessage) })],
  ['GET', message, OpenAIMessage],
  ['POST', message, OpenAIMessage],
  ['GET', `${message}/files/[^/]+`, MessageFile],
]

const ajv = new Ajv({ strict: false, allErrors: true })
const compiled = new Map<TSchema, ValidateFunction>()

/** Fails if an answer is not what the dialect says of `method` and `url`. */
export function assertMemgptAnswer(method: string, url: string, status: number, body: unknown): void {
  const schema = schemaFor(method, url, status)
  const validate = compiled.get(schema) ?? ajv.compile(withoutOthers(schema))
  compiled.set(schema, validate)
  if (validate(body)) return
  const faults = (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
  throw new Error(
    `${method} ${url}, ${status}: ${faults.join('; ')}\n${JSON.stringify(body).slice(0, 2_000)}`,
  )
}

function schemaFor(method: string, url: string, status: number): TSchema {
  if (status === 422) return HTTPValidationError
  if (status >= 400) return MemgptError
  const path = new URL(url).pathname.replace(/^\/(?:openai|memgpt)(?:\/v1)?|^\/v1/, '').replace(/\/$/, '')
  const found = answers.find(([verb, pattern]) => verb === method && new RegExp(`^${pattern}$`).test(path))
  if (!found) throw new Error(`${method} ${path} has no memgpt form, and yet was answered in it`)
  return found[2]
}

/** The schema as plain JSON, whose objects have no other keys than those that it lists. */
function withoutOthers(schema: TSchema): object {
  return JSON.parse(JSON.stringify(schema), (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null) return value
    const isClosing = 'properties' in value && !('additionalProperties' in value)
    return isClosing ? { ...value, additionalProperties: false } : value
  }) as object
}
