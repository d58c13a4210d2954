import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Static, TObject, TSchema } from 'typebox'
import { ApiError, notFound, type ErrorKey } from '../contract/errors.ts'
import { idPrefix, looksLikeId, type IdKind } from '../contract/ids.ts'
import type { policyHeader, ThreadPolicy } from '../contract/thread-policy.ts'
import type { Dialect } from './dialect.ts'
import type { Idempotency, Keep } from './idempotency.ts'
import { projectOf } from './principal.ts'
import { queryParser, type Query } from './query.ts'
import { policyOf } from './thread-policy.ts'
import { dropUnknownKeys, type UnknownKeys } from './unknown-keys.ts'
import { validator, type Schema } from './validate.ts'

// An operation is described once. The description validates its requests, types its handler and is what
// /openapi.json tells of it.

export interface Operation<
  Path extends string = string,
  Q extends TObject = TObject,
  B extends TSchema = TSchema,
  A extends TSchema = TSchema,
> {
  /** The operationId. */
  id: string
  method: 'GET' | 'POST' | 'DELETE'
  /** It is part of the admin API: who asks has to have its key. */
  admin?: true
  /** Below /v1, with its parameters in braces. */
  path: Path
  /** The group that it belongs to. */
  tag: string
  /** One line on what it does. */
  summary: string
  /** What else is to be known of it. */
  details?: string
  dialect?: Dialect
  /** The version of OpenAI-Beta that it is for, if not the second. */
  beta?: 'v1'
  query?: Q
  body?: B
  /** What is sent as multipart/form-data instead of a body; the handler reads it part by part. */
  form?: TObject
  /** The body of the answer 200. */
  answer: A
  /** `stream: true` in the body asks for the run's events instead. */
  streams?: boolean | 'always'
  /** What the header x-thread-policy does: it says how the request is to come to its thread, or sets the thread's own. */
  policy?: 'applies' | 'sets'
  /** The headers that its answer may have besides those of all answers. */
  headers?: readonly ('openai-poll-after-ms' | 'x-tools-not-run' | typeof policyHeader)[]
  /** The errors that it answers besides those that follow from its path and its schemas. */
  errors?: readonly ErrorKey[]
}

type ParamsOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Record<Name, string> & ParamsOf<Rest>
  : unknown

/** A request whose parts have been checked. */
export interface Call<Path extends string, Q extends TObject, B extends TSchema> {
  request: FastifyRequest
  reply: FastifyReply
  /** The project that the request belongs to. */
  project: string
  /** What the request names, if the operation has a use for it. */
  policy: ThreadPolicy | null
  params: ParamsOf<Path>
  query: Static<Q>
  body: Static<B>
  /** How to have the answer kept; of use to what writes something. */
  keep: Keep
}

/** Undefined when the reply was taken over, as a stream does. */
type Answer<A extends TSchema> = Promise<Static<A> | undefined>

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation
  }
  interface FastifyRequest {
    /** That of its route: to ask the route for it makes an object each time. */
    operation: Operation | undefined
  }
  interface FastifyInstance {
    unknownKeys: UnknownKeys
    idempotency: Idempotency
  }
}

/** Registers an operation under /v1, in its dialect. */
export function route<const Path extends string, Q extends TObject, B extends TSchema, A extends TSchema>(
  app: FastifyInstance,
  operation: Operation<Path, Q, B, A>,
  handler: (call: Call<Path, Q, B>) => Answer<A>,
): void {
  const { method, path, dialect = 'openai' } = operation
  const parseQuery = operation.query && queryParser(operation.query)
  const parseBody = operation.body && bodyParser(operation.body, app.unknownKeys)
  app.route({
    method: method satisfies HTTPMethods,
    url: `/v1${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
    config: { operation: operation as unknown as Operation },
    // What has no memgpt form is answered in v2, whoever asks.
    ...(dialect === 'memgpt' ? { constraints: { dialect } } : {}),
    handler: (request, reply) => {
      const work = (keep: Keep) =>
        handler({
          request,
          reply,
          project: projectOf(request),
          policy: operation.policy ? policyOf(request.headers) : null,
          params: checkedParams(request.params as Record<string, string>, dialect) as ParamsOf<Path>,
          query: (parseQuery ? parseQuery(request.query as Query) : {}) as Static<Q>,
          body: (parseBody ? parseBody(request.body) : undefined) as Static<B>,
          keep,
        })
      return app.idempotency.once(request, reply, work)
    },
  })
}

function bodyParser<B extends TSchema>(schema: B, unknownKeys: UnknownKeys): (body: unknown) => Static<B> {
  const parse = validator(schema)
  if (unknownKeys === 'refuse') return parse
  return (body) => {
    dropUnknownKeys(schema as Schema, body)
    return parse(body)
  }
}

/** The dialect in which a request is answered. */
export function answerDialect({ operation }: FastifyRequest): Dialect | undefined {
  return operation && (operation.dialect ?? 'openai')
}

/** The parameters of paths that are ids of a form. */
export const idParams: Record<string, { kind: IdKind; noun: string }> = {
  assistant_id: { kind: 'assistant', noun: 'assistant' },
  thread_id: { kind: 'thread', noun: 'thread' },
  message_id: { kind: 'message', noun: 'message' },
  run_id: { kind: 'run', noun: 'run' },
  step_id: { kind: 'step', noun: 'run step' },
}

function checkedParams(params: Record<string, string>, dialect: Dialect): Record<string, string> {
  for (const [param, value] of Object.entries(params)) {
    const known = idParams[param]
    if (known) checkId(known.kind, param, value, dialect)
  }
  return params
}

/**
 * Throws if `value` cannot be an id of this kind: in v2 the error of a malformed id (wire.md §9), in the memgpt
 * dialect, where ids have no form, that of an unknown one.
 */
export function checkId(kind: IdKind, param: string, value: string, dialect: Dialect = 'openai'): void {
  if (looksLikeId(kind, value)) return
  const shown = value.slice(0, 200)
  if (dialect === 'memgpt') throw notFound(idParams[param]?.noun ?? kind, shown)
  throw new ApiError(
    'malformed_id',
    `Invalid '${param}': '${shown}'. Expected an ID that begins with '${idPrefix(kind)}'.`,
    param,
  )
}
