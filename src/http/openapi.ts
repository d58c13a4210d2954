import type { FastifyInstance } from 'fastify'
import { Type, type TSchema } from 'typebox'
import { eventData } from '../contract/events.ts'
import { policyHeader, threadPolicies } from '../contract/thread-policy.ts'
import { Literals } from '../contract/schema.ts'
import { version } from '../observe/version.ts'
import {
  operationObject,
  pageObject,
  pathOf,
  tagOf,
  type OperationObject,
  type Parameter,
} from './openapi-operation.ts'
import { Components, type JsonSchema } from './openapi-schema.ts'
import { errorTable, introduction, tagTexts } from './openapi-text.ts'
import type { Operation } from './route.ts'
import type { ServicePage } from './service-page.ts'

// The OpenAPI document of the server, made from the routes that it has.

export interface Document {
  openapi: '3.1.0'
  info: { title: string; version: string; description: string; license: { name: string; identifier: string } }
  servers: { url: string }[]
  tags: { name: string; description?: string }[]
  paths: Record<string, Record<string, OperationObject>>
  components: {
    schemas: Record<string, JsonSchema>
    parameters: Record<string, Parameter>
    headers: Record<string, { description: string; schema: JsonSchema }>
  }
}

/** The routes of a server. */
export interface Routes {
  operations: Operation[]
  pages: { method: string; path: string; page: ServicePage }[]
}

/**
 * Gathers what routes are registered from here on. A route that has no description is a fault of ours and throws, so
 * that the document cannot lack one.
 */
export function gatherRoutes(app: FastifyInstance): Routes {
  const routes: Routes = { operations: [], pages: [] }
  app.addHook('onRoute', ({ method, url, config }) => {
    const { operation, page } = config ?? {}
    for (const one of [method].flat()) {
      if (one === 'HEAD' || one === 'OPTIONS') continue
      if (operation) routes.operations.push(operation)
      else if (page) routes.pages.push({ method: one, path: url, page })
      else throw new Error(`${one} ${url} says nothing of itself: give it a 'config.page'.`)
    }
  })
  return routes
}

/** The document that describes these routes. Throws Error if two of their schemas have one title and differ. */
export function openApiDocument({ operations, pages }: Routes): Document {
  const components = new Components()
  components.refer(streamEvent)
  const paths: Document['paths'] = {}
  for (const operation of operations) {
    const twin = operations.find((other) => isTwin(operation, other))
    const item = (paths[pathOf(operation)] ??= {})
    item[operation.method.toLowerCase()] = operationObject(operation, twin, components)
  }
  for (const { method, path, page } of pages) {
    const item = (paths[path] ??= {})
    item[method.toLowerCase()] = pageObject(page, components)
  }
  const used = new Set(operations.map(tagOf))
  return {
    openapi: '3.1.0',
    info: {
      title: 'Threadmill',
      version,
      description: `${introduction}\n\n${errorTable}`,
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: tagsOf(used),
    paths,
    components: { schemas: components.schemas, parameters, headers },
  }
}

/** Whether they are one operation in two dialects. */
function isTwin(one: Operation, other: Operation): boolean {
  const shape = ({ path }: Operation) => path.replaceAll(/\{\w+\}/g, '{}')
  return one.dialect !== other.dialect && one.method === other.method && shape(one) === shape(other)
}

function tagsOf(used: ReadonlySet<string>): Document['tags'] {
  const memgpt = tagTexts.map(([name]): [string, string] => [
    `${name} (memgpt)`,
    `${name} in the memgpt dialect, on the same records.`,
  ])
  return [...tagTexts, ...memgpt]
    .filter(([name]) => name === 'Service' || used.has(name))
    .map(([name, description]) => ({ name, description }))
}

const streamEvent = Type.Union(
  [...eventsByData()].map(([data, names]) => Type.Object({ event: Literals(...names), data })),
  { title: 'StreamEvent', description: 'One event of a stream, its two lines as an object' },
)

function eventsByData(): Map<TSchema, string[]> {
  const names = new Map<TSchema, string[]>()
  for (const [name, data] of Object.entries(eventData)) names.set(data, [...(names.get(data) ?? []), name])
  return names.set(Type.Literal('[DONE]'), ['done'])
}

const parameters: Document['components']['parameters'] = {
  'x-assistants-dialect': {
    name: 'x-assistants-dialect',
    in: 'header',
    description: 'Decides the dialect, whatever else the request says. `openai` is v2.',
    schema: { type: 'string', enum: ['openai', 'memgpt'] },
  },
  'Idempotency-Key': {
    name: 'Idempotency-Key',
    in: 'header',
    description:
      'A name for this request, new for each: sent again within 24 hours, it is not done again (see "Retries").',
    schema: { type: 'string', pattern: '^[ -~]{1,255}$' },
  },
  'OpenAI-Beta': {
    name: 'OpenAI-Beta',
    in: 'header',
    required: true,
    description: 'Says that the request is v2; there are other ways (see "Dialects").',
    schema: { type: 'string', const: 'assistants=v2' },
  },
  'x-thread-policy-applies': {
    name: policyHeader,
    in: 'header',
    description:
      'What is to be done while a run holds the thread; without it the thread\'s own policy counts, then the server\'s. See "Threads that are held".',
    schema: { type: 'string', enum: [...threadPolicies] },
  },
  'x-thread-policy-sets': {
    name: policyHeader,
    in: 'header',
    description: 'Becomes the policy of the thread. See "Threads that are held".',
    schema: { type: 'string', enum: [...threadPolicies] },
  },
  'OpenAI-Beta-v1': {
    name: 'OpenAI-Beta',
    in: 'header',
    required: true,
    description:
      'Says that the client is of the first version; an `api-version` before 2024-05-01 does, too.',
    schema: { type: 'string', const: 'assistants=v1' },
  },
}

const header = (description: string, schema: JsonSchema = { type: 'string' }) => ({ description, schema })

const headers: Document['components']['headers'] = {
  'x-request-id': header('The name of the request in the log'),
  'x-assistants-dialect': header('The dialect of this answer', {
    type: 'string',
    enum: ['openai', 'memgpt'],
  }),
  'openai-version': header('The version of the API that the answer has the form of'),
  'openai-processing-ms': header('Milliseconds that the answer took', { type: 'integer' }),
  'openai-poll-after-ms': header('Milliseconds after which to ask again, while the run has not ended', {
    type: 'integer',
  }),
  'x-tools-not-run': header('The tools, separated by commas, that were asked for and will not be run'),
  'x-thread-policy': header('The policy of the thread, if it has one of its own', {
    type: 'string',
    enum: [...threadPolicies],
  }),
  'idempotent-replayed': header('`true` if this was answered before, to the same Idempotency-Key'),
  'retry-after': header('Seconds after which to try again, if nothing was done', { type: 'integer' }),
  'x-should-retry': header(
    '`false` if it is not known whether something was done, or asking again is of no use today',
    { type: 'string' },
  ),
}
