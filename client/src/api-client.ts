import { ApiError } from './api-error.ts'
import { ApiPromise, type Outcome } from './api-promise.ts'
import { ApiRequest, type RequestOptions } from './api-request.ts'
import { readResponse, type ApiResponse } from './api-response.ts'
import { convertToType, excerpt, isModel, parseDate, plainText, type DataType } from './convert.ts'
import { CookieJar } from './cookie-jar.ts'
import { isJsonMime } from './mime.ts'
import { isNode } from './node-fetch.ts'
import { encodeBody, isFile } from './request-body.ts'
import { guarded, limited, send } from './send.ts'

/** Receives the outcome of a call: an error, or the data; and the answer, if there was one. */
export type Callback<T> = (error: Error | null, data: T | null, response: ApiResponse | undefined) => void

/** A way to authenticate. Which of its properties count depends on its type. */
export interface Authentication {
  /** `bearer`, `basic`, `apiKey` or `oauth2`. */
  type: string
  /** Of bearer and oauth2: the token, or what returns it. */
  accessToken?: string | (() => string)
  /** Of basic: the user. */
  username?: string
  /** Of basic: the password. */
  password?: string
  /** Of apiKey: where it goes, `header` or `query`. */
  in?: string
  /** Of apiKey: the name of that header or parameter. */
  name?: string
  /** Of apiKey: the key. */
  apiKey?: string
  /** Of apiKey: what stands before it. */
  apiKeyPrefix?: string
}

/** How `buildCollectionParam` writes an array. */
export type CollectionFormat = 'csv' | 'ssv' | 'tsv' | 'pipes' | 'multi' | 'passthrough'

const separators: Record<string, string> = { csv: ',', ssv: ' ', tsv: '\t', pipes: '|' }

/** Where a server of this API may be found; the first is the default. */
const hosts = [
  'http://memgpt.localhost',
  'http://localhost:8283',
  'http://localhost:8083',
  'http://127.0.0.1:8283',
  'http://127.0.0.1:5173',
  'http://localhost:5173',
]

/**
 * Settings of the connection to a server, and the call that all operations go through.
 * API objects that are made without a client share `ApiClient.instance`.
 * @example
 * import OpenAiAssistantsApi from 'open_ai_assistants_api';
 *
 * // The client that is used where none is given:
 * let defaultClient = OpenAiAssistantsApi.ApiClient.instance;
 * defaultClient.basePath = 'http://127.0.0.1:8283';
 * defaultClient.timeout = 10000;
 *
 * // And one of your own, here for a server with a key:
 * let apiClient = new OpenAiAssistantsApi.ApiClient('http://127.0.0.1:8283');
 * apiClient.defaultHeaders['Authorization'] = 'Bearer YOUR_KEY';
 *
 * let apiInstance = new OpenAiAssistantsApi.AssistantsApi(apiClient);
 * apiInstance.listAssistantsV1AssistantsGet({ 'limit': 1 }, (error, data, response) => {
 *   if (error) {
 *     console.error(error);
 *   } else {
 *     console.log('API called successfully. Status: ' + response.status);
 *   }
 * });
 */
export class ApiClient {
  /** The separators of `buildCollectionParam`. */
  static readonly CollectionFormatEnum = { CSV: ',', SSV: ' ', TSV: '\t', PIPES: '|', MULTI: 'multi' }

  /** The client of every API object that is made without one. */
  static instance: ApiClient = new ApiClient()

  /** The address of the server, without a slash at its end. */
  basePath: string
  /** Ways to authenticate, by name. The operations of this package use none. */
  authentications: Record<string, Authentication> = { HTTPBearer: { type: 'bearer' } }
  /** Headers of every request. Browsers send their own User-Agent. */
  defaultHeaders: Record<string, string> = { 'User-Agent': 'OpenAPI-Generator/0.1.0/Javascript' }
  /** Milliseconds until a request without a whole answer is given up; 0 waits for ever. */
  timeout = 60_000
  /** Set to false, it makes each GET unique by a parameter `_`, so that no cache answers it. */
  cache = true
  /** Whether cookies of answers are sent back with later requests. */
  enableCookies = false
  /** Outside of browsers: the cookies. */
  agent: CookieJar | undefined = isNode() ? new CookieJar() : undefined
  /** In Node: an agent of node:http or node:https for all requests. */
  requestAgent: unknown = null
  /** Functions that see each request before it is sent, and may `set` headers and add to the `query`. */
  plugins: ((request: ApiRequest) => void)[] | null = null
  /** The dialect that requests ask for by the header `x-assistants-dialect`; null sends no such header. */
  dialect: 'memgpt' | null = 'memgpt'

  constructor(basePath = 'http://memgpt.localhost') {
    this.basePath = basePath.replace(/\/+$/, '')
  }

  /** A parameter as text: nothing for null and undefined, dates in ISO 8601, plain objects as JSON. */
  paramToString(param: unknown): string {
    if (param === undefined || param === null) return ''
    if (param instanceof Date) return param.toJSON()
    return ApiClient.canBeJsonified(param) ? JSON.stringify(param) : plainText(param)
  }

  /** The address of a path, its `{names}` replaced by the encoded values of `pathParams`. */
  buildUrl(path: string, pathParams: Record<string, unknown>, apiBasePath?: string | null): string {
    const url = (apiBasePath ?? this.basePath) + (path.startsWith('/') ? path : `/${path}`)
    return url.replace(/\{([\w\-.#]+)\}/g, (whole, name: string) =>
      encodeURIComponent(Object.hasOwn(pathParams, name) ? this.paramToString(pathParams[name]) : whole),
    )
  }

  /** Whether a content type is JSON. */
  isJsonMime(contentType: string | null | undefined): boolean {
    return isJsonMime(contentType)
  }

  /** JSON if it is among the content types, else the first of them. */
  jsonPreferredMime(contentTypes: readonly string[]): string | undefined {
    return contentTypes.find(isJsonMime) ?? contentTypes[0]
  }

  /** Whether a parameter is the content of a file: a Blob, a Buffer or a read stream. */
  isFileParam(param: unknown): boolean {
    return isFile(param)
  }

  /** Parameters as they are sent: without null and undefined, and as text except for files and arrays. */
  normalizeParams(params: Record<string, unknown>): Record<string, unknown> {
    const entries = Object.entries(params).filter(([, value]) => value !== undefined && value !== null)
    return Object.fromEntries(
      entries.map(([name, value]) => {
        const asItIs = Array.isArray(value) || this.isFileParam(value)
        return [name, asItIs ? value : this.paramToString(value)]
      }),
    )
  }

  /** An array parameter as text, or as an array of texts for `multi`. Throws for a format that it does not know. */
  buildCollectionParam(param: unknown[] | null | undefined, format: CollectionFormat): unknown {
    if (param === undefined || param === null) return null
    if (format === 'passthrough') return param
    const texts = param.map((each) => this.paramToString(each))
    if (format === 'multi') return texts
    const separator = separators[format]
    if (separator === undefined) throw new Error(`Unknown collection format: ${String(format)}`)
    return texts.join(separator)
  }

  /** Adds the headers or the query that the named authentications need. */
  applyAuthToRequest(request: ApiRequest, authNames: readonly string[]): void {
    for (const name of authNames) {
      const auth = this.authentications[name] ?? { type: `none named ${name}` }
      switch (auth.type) {
        case 'basic':
          if (auth.username || auth.password) request.auth(auth.username ?? '', auth.password ?? '')
          break
        case 'bearer':
        case 'oauth2': {
          const token = typeof auth.accessToken === 'function' ? auth.accessToken() : auth.accessToken
          if (token) request.set('Authorization', `Bearer ${token}`)
          break
        }
        case 'apiKey':
          if (auth.apiKey) applyApiKey(request, auth)
          break
        default:
          throw new Error(`Unknown authentication type: ${auth.type}`)
      }
    }
  }

  /** The data of an answer. Throws a TypeError that shows the body where it is not what the operation returns. */
  deserialize(response: ApiResponse | null, returnType: DataType | null): unknown {
    if (response === null || returnType === null || response.status === 204) return null
    if (returnType === 'String') return response.text
    const data = response.body ?? response.text
    if (isModel(returnType) && (typeof data !== 'object' || Array.isArray(data)))
      throw new TypeError(`Expected an object ${returnType.name} and the server sent: ${excerpt(data)}`)
    return convertToType(data, returnType)
  }

  /**
   * Sends a request. With a callback it returns the ApiRequest, without one an ApiPromise; both have `abort()`.
   * Throws for an unknown authentication and what plugins throw; all else reaches the callback or the promise.
   */
  callApi(
    path: string,
    httpMethod: string,
    pathParams: Record<string, unknown>,
    queryParams: Record<string, unknown>,
    headerParams: Record<string, unknown>,
    formParams: Record<string, unknown>,
    bodyParam: unknown,
    authNames: readonly string[],
    contentTypes: readonly string[],
    accepts: readonly string[],
    returnType: DataType | null,
    apiBasePath: string | null,
    callback?: Callback<unknown> | null,
    options: RequestOptions = {},
  ): ApiRequest {
    const url = this.buildUrl(path, pathParams, apiBasePath)
    const request = callback ? new ApiRequest(httpMethod, url) : new ApiPromise<unknown>(httpMethod, url)
    this.applyAuthToRequest(request, authNames)
    const unique = httpMethod.toUpperCase() === 'GET' && !this.cache ? { _: Date.now() } : {}
    request.query(this.normalizeParams({ ...queryParams, ...unique }))
    this.#setHeaders(request, { ...this.normalizeParams(headerParams), ...options.headers }, accepts)
    for (const plugin of Object.values(this.plugins ?? {})) plugin(request)

    const contentType = this.jsonPreferredMime(contentTypes)
    const encode = () => encodeBody(contentType, this.normalizeParams(formParams), bodyParam)
    const outcome = this.#outcome(request, options, returnType, encode)
    if (request instanceof ApiPromise) request.follow(outcome)
    else void outcome.then(({ error, data, response }) => announce(() => callback?.(error, data, response)))
    return request
  }

  /** Opens a stream of events: the head of the answer. Rejects with an ApiError for any status but 2xx. */
  async openStream(request: ApiRequest): Promise<Response> {
    this.#setHeaders(request, {}, ['text/event-stream'])
    const response = await send(this, request, undefined)
    if (!response.ok) throw new ApiError(await guarded(request, () => readResponse(response)))
    return response
  }

  #setHeaders(request: ApiRequest, headers: Record<string, unknown>, accepts: readonly string[]): void {
    const accept = this.jsonPreferredMime(accepts)
    const own = { ...this.defaultHeaders, ...(this.dialect ? { 'x-assistants-dialect': this.dialect } : {}) }
    const before = { ...request.header }
    request.set(own).set(headers as Record<string, string>)
    // What an authentication or the caller of a stream has set stays.
    request.set(before)
    if (accept) request.set('Accept', accept)
    // Browsers do not let pages choose it, and some log an error when they try.
    if (!isNode()) delete request.header['User-Agent']
  }

  /** Never rejects: an error is part of the outcome. */
  async #outcome(
    request: ApiRequest,
    options: RequestOptions,
    returnType: DataType | null,
    encode: () => ReturnType<typeof encodeBody>,
  ): Promise<Outcome<unknown>> {
    let response: ApiResponse | undefined
    try {
      const limits = { signal: options.signal, timeout: options.timeout ?? this.timeout }
      response = await limited(request, limits, async () => {
        const { content, contentType } = await encode()
        if (contentType) request.set('Content-Type', contentType)
        const answer = await send(this, request, content)
        return guarded(request, () => readResponse(answer, returnType === 'Blob'))
      })
      if (!response.ok) throw new ApiError(response)
      return { error: null, data: this.deserialize(response, returnType), response }
    } catch (error) {
      return { error: error instanceof Error ? error : new Error(String(error)), data: null, response }
    }
  }

  /** The addresses where a server of this API may be found. */
  hostSettings(): { url: string; description: string }[] {
    return hosts.map((url) => ({ url, description: 'No description provided' }))
  }

  /** One of those addresses. Throws for an index that there is not. */
  getBasePathFromSettings(index: number): string {
    const setting = this.hostSettings()[index]
    if (setting) return setting.url
    throw new Error(
      `Invalid index ${index} when selecting the host settings. Must be less than ${hosts.length}`,
    )
  }

  /** Whether a value becomes JSON in an address: plain objects do. */
  static canBeJsonified(value: unknown): boolean {
    if (typeof value !== 'string' && typeof value !== 'object') return false
    try {
      return /^\[object (Object|Array)\]$/.test(plainText(value))
    } catch {
      // Objects without a prototype have no text.
      return false
    }
  }

  /** A date from its ISO 8601 form or from milliseconds since 1970. */
  static parseDate(text: string): Date {
    return parseDate(text)
  }

  /** A value of the type, null and undefined excepted. */
  static convertToType(data: unknown, type: DataType): unknown {
    return convertToType(data, type)
  }

  /** Copies what `data` holds to `obj`, each value as a value of the type. */
  static constructFromObject(data: object, obj: object, itemType: DataType): void {
    for (const [name, value] of Object.entries(data)) Reflect.set(obj, name, convertToType(value, itemType))
  }
}

function applyApiKey(request: ApiRequest, { name = '', apiKey = '', apiKeyPrefix, ...auth }: Authentication) {
  const value = apiKeyPrefix ? `${apiKeyPrefix} ${apiKey}` : apiKey
  if (auth.in === 'header') request.set(name, value)
  else request.query({ [name]: value })
}

/** Calls back. An error of the callback is nobody's to catch here: it surfaces as an uncaught one. */
function announce(call: () => void): void {
  queueMicrotask(call)
}
