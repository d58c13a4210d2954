import type { ApiClient, Callback } from './api-client.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import type { DataType } from './convert.ts'

/** One operation of the API, as its method calls it. */
export interface Operation {
  /** The name of its method. */
  name: string
  method: 'GET' | 'POST' | 'DELETE'
  /** With the parameters in snake_case: `/v1/threads/{thread_id}`. */
  path: string
  returns: DataType
  /** The name of the parameter that is the body; it stands behind those of the path. */
  body: string | undefined
}

/**
 * Describes an operation. Its method has the name that the framework of the original gave it, made of `verb`, path and
 * HTTP method: `createRun`, `/v1/threads/{thread_id}/runs`, POST is createRunV1ThreadsThreadIdRunsPost.
 */
export function operation(
  verb: string,
  method: Operation['method'],
  path: string,
  returns: DataType,
  body?: string,
): Operation {
  const name = camelCase(`${verb}${path}_${method.toLowerCase()}`)
  return { name, method, path, returns, body }
}

/** Which part of a list is wanted. What is left out, the server decides: limit 1000, order asc, from the start. */
export interface ListOptions extends RequestOptions {
  /** How many items. */
  limit?: number | undefined
  /** `asc` or `desc` by time; quotes around it are taken off. */
  order?: string | undefined
  /** The id of the item before the first that is wanted. */
  after?: string | undefined
  /** The id of the item behind the last that is wanted. */
  before?: string | undefined
}

/** What may follow the required parameters: options, a callback, or a callback and options. */
export type Rest<T> = [Callback<T>?, RequestOptions?] | [RequestOptions?]

/** The same for lists, whose options come first and may be left out, undefined or null. */
export type ListRest<T> =
  | [(ListOptions | null)?, Callback<T>?, RequestOptions?]
  | [(ListOptions | null)?, RequestOptions?]
  | [Callback<T>, RequestOptions?]

/** Calls an operation. Throws for the first required parameter that is missing, before anything is sent. */
export function call<T>(
  client: ApiClient,
  operation: Operation,
  values: readonly unknown[],
  rest: Rest<T> | ListRest<T>,
  query: Record<string, unknown> = {},
): ApiRequest {
  const { name, method, path, returns } = operation
  const places = [...(path.match(/\w+(?=\})/g) ?? []), ...(operation.body ? [operation.body] : [])]
  const named = Object.fromEntries(places.map((place, at) => [place, values[at]]))
  for (const [place, value] of Object.entries(named)) {
    if (value === undefined || value === null)
      throw new Error(`Missing the required parameter '${camelCase(place)}' when calling ${name}`)
  }
  const body = operation.body === undefined ? null : named[operation.body]
  const callback = rest.find((each) => typeof each === 'function') as Callback<unknown> | undefined
  const options = Object.assign({}, ...rest.filter((each) => typeof each === 'object')) as RequestOptions
  const contentTypes = body === null ? [] : ['application/json']
  const accepts = ['application/json']
  return client.callApi(
    ...([path, method, named, query, {}, {}, body, [], contentTypes, accepts] as const),
    ...([returns, null, callback, options] as const),
  )
}

/** Calls an operation that lists. */
export function callList<T>(
  client: ApiClient,
  operation: Operation,
  values: readonly unknown[],
  rest: ListRest<T>,
): ApiRequest {
  const [first] = rest
  const { limit, order, after, before }: ListOptions = typeof first === 'object' && first ? first : {}
  // The original's pages print the order in quotes inside the string. Without a dialect bytes are sent as given.
  const plain = client.dialect === null ? order : order?.replace(/^'(.*)'$/, '$1')
  return call(client, operation, values, rest, { limit, order: plain, after, before })
}

/** `created_at` as `createdAt`; what is neither letter nor digit parts two words. */
function camelCase(name: string): string {
  return name.replace(/[^A-Za-z0-9]+(\w?)/g, (_, letter: string) => letter.toUpperCase())
}
