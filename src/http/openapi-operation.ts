import type { TObject } from 'typebox'
import { policyHeader } from '../contract/thread-policy.ts'
import { idPrefix } from '../contract/ids.ts'
import { errorAnswers } from './openapi-errors.ts'
import type { Components, JsonSchema } from './openapi-schema.ts'
import { streamText } from './openapi-text.ts'
import { idParams, type Operation } from './route.ts'
import type { ServicePage } from './service-page.ts'

// An operation, or a service page, as OpenAPI writes it down.

export interface Ref {
  $ref: string
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  description?: string
  /** Of objects: `name[key]=value`. */
  style?: 'deepObject'
  explode?: boolean
  schema: JsonSchema
}

type Content = Record<string, { schema: JsonSchema }>

export interface ResponseObject {
  description: string
  headers?: Record<string, Ref>
  content?: Content
}

export interface OperationObject {
  operationId: string
  tags: string[]
  summary: string
  description?: string
  parameters?: (Parameter | Ref)[]
  requestBody?: { required: boolean; content: Content }
  responses: Record<string, ResponseObject>
}

const component = (kind: string, name: string): Ref => ({ $ref: `#/components/${kind}/${name}` })

/** Where the document has an operation: one path and method can have only one there. */
export function pathOf({ path, dialect }: Operation): string {
  return `${dialect === 'memgpt' ? '/memgpt' : ''}/v1${path}`
}

/** The tag under which the document has an operation. */
export function tagOf({ tag, dialect }: Operation): string {
  return dialect === 'memgpt' ? `${tag} (memgpt)` : tag
}

/** `twin` is the operation of the other dialect with the same method and path. */
export function operationObject(
  operation: Operation,
  twin: Operation | undefined,
  components: Components,
): OperationObject {
  const requestBody = requestOf(operation, components)
  const parameters = parametersOf(operation, twin, components)
  const { status: ok, ...answer } = { status: '200', ...answerOf(operation, components) }
  const failures = errorAnswers(operation).map(({ status, keys, schema }) => {
    const description = `One of the errors ${keys.map((key) => `\`${key}\``).join(', ')}.`
    const content = { 'application/json': { schema: components.refer(schema) } }
    const headers = headersOf(['x-request-id', ...(onErrors[status] ?? [])])
    return [String(status), { description, headers, content }] as const
  })
  return {
    operationId: operation.id,
    tags: [tagOf(operation)],
    summary: operation.summary,
    ...describe(operation, twin),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(requestBody ? { requestBody } : {}),
    responses: { [ok]: answer, ...Object.fromEntries(failures) },
  }
}

/** A service page as OpenAPI writes it down. */
export function pageObject({ id, summary, answers }: ServicePage, components: Components): OperationObject {
  const responses = Object.entries(answers).map(([status, { description, type, schema }]) => {
    const content = { [type]: { schema: components.refer(schema) } }
    return [status, { description, headers: headersOf(onAllAnswers), content }] as const
  })
  return { operationId: id, tags: ['Service'], summary, responses: Object.fromEntries(responses) }
}

function describe({ details, streams }: Operation, twin: Operation | undefined): { description?: string } {
  const other =
    twin &&
    `${twin.dialect === 'memgpt' ? 'The memgpt dialect' : 'v2'} has it as \`${twin.method} ${pathOf(twin)}\`.`
  const texts = [details, streams === true ? streamText : undefined, other].filter(
    (text) => text !== undefined,
  )
  return texts.length > 0 ? { description: texts.join('\n\n') } : {}
}

function parametersOf(
  { method, path, query, dialect, beta, policy, admin }: Operation,
  twin: Operation | undefined,
  components: Components,
): (Parameter | Ref)[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']): Parameter => {
    const id = dialect === 'memgpt' ? undefined : idParams[name]
    const schema = id
      ? { type: 'string', pattern: `^${idPrefix(id.kind)}[A-Za-z0-9_-]*$` }
      : { type: 'string' }
    return { name, in: 'path', required: true, schema }
  })
  const markers = twin && dialect !== 'memgpt' ? ['x-assistants-dialect', 'OpenAI-Beta'] : []
  const header = [
    ...(beta === 'v1' ? ['OpenAI-Beta-v1'] : markers),
    ...(policy ? [`${policyHeader}-${policy}`] : []),
    ...(method === 'POST' && !admin ? ['Idempotency-Key'] : []),
  ]
  return [
    ...inPath,
    ...(query ? queryParameters(query, components) : []),
    ...header.map((name) => component('parameters', name)),
  ]
}

function queryParameters(query: TObject, components: Components): Parameter[] {
  const { properties = {}, required = [] } = components.refer(query)
  return Object.entries(properties).map(([key, { description, ...schema }]) => ({
    name: schema.type === 'array' ? `${key}[]` : key,
    in: 'query',
    // What has a default need not be sent.
    required: required.includes(key) && schema.default === undefined,
    ...(description === undefined ? {} : { description }),
    ...(schema.type === 'object' ? { style: 'deepObject' as const, explode: true } : {}),
    schema,
  }))
}

function requestOf(operation: Operation, components: Components): OperationObject['requestBody'] {
  const { body, form } = operation
  if (form) return { required: true, content: { 'multipart/form-data': { schema: flat(form, components) } } }
  if (!body) return undefined
  // No body counts as `{}`.
  const required = 'required' in body && (body.required as string[]).length > 0
  return { required, content: { 'application/json': { schema: components.refer(body) } } }
}

/** A form has no objects: their fields come one by one, as `outer[inner]`, and all or none. */
function flat({ title, ...form }: TObject & { title?: string }, components: Components): JsonSchema {
  const { properties = {}, ...rest } = components.refer(form)
  const fields: Record<string, JsonSchema> = {}
  const together: Record<string, string[]> = {}
  for (const [name, field] of Object.entries(properties)) {
    if (!field.properties) fields[name] = field
    const needed = (field.required ?? []).map((inner) => `${name}[${inner}]`)
    for (const [inner, schema] of Object.entries(field.properties ?? {})) {
      const flatName = `${name}[${inner}]`
      fields[flatName] = schema
      together[flatName] = needed.filter((other) => other !== flatName)
    }
  }
  return { ...rest, properties: fields, dependentRequired: together }
}

function answerOf(operation: Operation, components: Components): ResponseObject {
  const { answer, streams } = operation
  const headers = [
    ...(operation.headers ?? []),
    ...(operation.method === 'POST' ? ['idempotent-replayed'] : []),
  ]
  const stream: Content = streams
    ? { 'text/event-stream': { schema: component('schemas', 'StreamEvent') } }
    : {}
  if (streams === 'always') {
    return { description: 'The events.', headers: headersOf([...onAllAnswers, ...headers]), content: stream }
  }
  const schema = components.refer(answer)
  const type = schema.format === 'binary' ? 'application/octet-stream' : 'application/json'
  return {
    description: streams ? 'Done; or the events, with `stream: true`.' : 'Done.',
    headers: headersOf([...onAllAnswers, ...headers]),
    content: { [type]: { schema }, ...stream },
  }
}

/** Headers of the answers with these statuses. */
const onErrors: Record<number, string[]> = {
  409: ['retry-after'],
  429: ['retry-after', 'x-should-retry'],
  503: ['retry-after', 'x-should-retry'],
}

const onAllAnswers = ['x-request-id', 'x-assistants-dialect', 'openai-version', 'openai-processing-ms']

function headersOf(names: readonly string[]): Record<string, Ref> {
  return Object.fromEntries(names.map((name) => [name, component('headers', name)]))
}
