import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { Maybe } from '../contract/schema.ts'
import { answerDialect } from './route.ts'
import { validator } from './validate.ts'

// Clients of the first version of this API, which `@azure/openai-assistants` still speaks. It had `file_ids` where now
// attachments and resources are, and called file_search `retrieval`. Such a body is translated before it is
// validated, and the answer gets what these clients look for besides. Streams are not translated: none of them streams.

/** The Azure version that brought the second version of the API. */
const secondVersion = '2024-05-01'

/** Whether a request is of the first version: its beta header says so, or without one its Azure version is older. */
export function isV1Era(request: FastifyRequest): boolean {
  const { headers, originalUrl } = request
  // An override has called for the other dialect, whose forms are its own.
  if (answerDialect(request) === 'memgpt') return false
  const header = headers['openai-beta']?.toString() ?? ''
  // What nearly all send.
  if (header === 'assistants=v2') return false
  const beta = /assistants=(v\d+)/.exec(header)?.[1]
  if (beta !== undefined) return beta === 'v1'
  const version = /[?&]api-version=(\d{4}-\d\d-\d\d)/.exec(originalUrl)?.[1]
  return version !== undefined && version < secondVersion
}

export function registerV1Era(app: FastifyInstance): void {
  app.addHook('preValidation', (request, _reply, done) => {
    const id = request.operation?.id
    if (id !== undefined && isRecord(request.body) && isV1Era(request))
      request.body = fromV1(id, request.body)
    done()
  })
  app.addHook('preSerialization', (request, _reply, payload, done) => {
    done(null, inEraOf(request, payload))
  })
}

/** An answer in the form of the version that its request is of. */
export function inEraOf(request: FastifyRequest, answer: unknown): unknown {
  return isRecord(answer) && isV1Era(request) ? toV1(answer) : answer
}

type Json = Record<string, unknown>

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const parseFiles = (maxItems: number) =>
  validator(Type.Object({ file_ids: Maybe(Type.Array(Type.String(), { maxItems })) }))
const assistantFiles = parseFiles(20)
const messageFiles = parseFiles(10)

/** A body of the first version as the operation understands it. Throws ApiError for file_ids that are no such list. */
function fromV1(operation: string, body: Json): Json {
  const translated = fromV1Files(operation, body)
  const { thread, tools } = translated
  if (tools !== undefined) translated['tools'] = renamed(tools, 'retrieval', 'file_search')
  if (isRecord(thread)) translated['thread'] = fromV1(operation, thread)
  for (const key of ['messages', 'additional_messages']) {
    const messages = translated[key]
    if (!Array.isArray(messages)) continue
    translated[key] = messages.map((one: unknown) => (isRecord(one) ? fromV1Message(one) : one))
  }
  return translated
}

function fromV1Files(operation: string, body: Json): Json {
  if (operation === 'createMessage') return fromV1Message(body)
  if (operation !== 'createAssistant' && operation !== 'modifyAssistant') return { ...body }
  const { file_ids: given, tool_resources: resources, ...rest } = body
  const { file_ids } = assistantFiles({ file_ids: given })
  if (!file_ids) return resources === undefined ? rest : { ...rest, tool_resources: resources }
  const others = isRecord(resources) ? resources : {}
  return { ...rest, tool_resources: { ...others, code_interpreter: { file_ids } } }
}

/** A file of a message was for whichever tool the assistant had. */
function fromV1Message({ file_ids: given, ...rest }: Json): Json {
  const { file_ids } = messageFiles({ file_ids: given })
  if (!file_ids?.length) return rest
  const tools = [{ type: 'file_search' }, { type: 'code_interpreter' }]
  return { ...rest, attachments: file_ids.map((file_id) => ({ file_id, tools })) }
}

function renamed(tools: unknown, from: string, to: string): unknown {
  if (!Array.isArray(tools)) return tools
  return tools.map((tool: unknown) =>
    isRecord(tool) && tool['type'] === from ? { ...tool, type: to } : tool,
  )
}

/** An answer with what the first version had. */
function toV1(answer: Json): Json {
  const tools = () => ({ tools: renamed(answer['tools'], 'file_search', 'retrieval') })
  switch (answer['object']) {
    case 'list':
      return { ...answer, data: (answer['data'] as Json[]).map(toV1) }
    case 'assistant':
      return { ...answer, ...tools(), file_ids: codeFiles(answer) }
    case 'thread.message': {
      const attachments = answer['attachments'] as { file_id: string }[]
      return { ...answer, file_ids: attachments.map(({ file_id }) => file_id) }
    }
    case 'thread.run':
      return { ...answer, ...tools(), file_ids: [] }
    default:
      return answer
  }
}

function codeFiles({ tool_resources: resources }: Json): string[] {
  const { code_interpreter: code } = resources as { code_interpreter?: { file_ids: string[] } }
  return code?.file_ids ?? []
}
