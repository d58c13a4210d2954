import { AbortError } from './abort-error.ts'

/** What a call may set besides its documented parameters. */
export interface RequestOptions {
  /** Aborts the request. */
  signal?: AbortSignal | undefined
  /** Milliseconds until the request is given up, instead of the client's `timeout`; 0 waits for ever. */
  timeout?: number | undefined
  /** Headers to send besides the client's. */
  headers?: Record<string, string> | undefined
}

/**
 * A request under way.
 * With a callback a call returns one of these, without a callback an ApiPromise.
 * @example
 * import OpenAiAssistantsApi from 'open_ai_assistants_api';
 *
 * let apiInstance = new OpenAiAssistantsApi.AssistantsApi();
 * let request = apiInstance.listAssistantsV1AssistantsGet((error) => {
 *   console.log(error.code + ': API called successfully, and given up.');
 * });
 * request.abort();
 */
export class ApiRequest {
  /** The HTTP method. */
  readonly method: string
  /** Headers to be sent. */
  readonly header: Record<string, string> = {}
  readonly #controller = new AbortController()
  readonly #query = new URLSearchParams()
  readonly #url: string

  constructor(method: string, url: string) {
    this.method = method
    this.#url = url
  }

  /** The address with its query. */
  get url(): string {
    const query = this.#query.toString().replaceAll('+', '%20')
    if (query === '') return this.#url
    return `${this.#url}${this.#url.includes('?') ? '&' : '?'}${query}`
  }

  /** Fires when the request is given up; its reason is the error that the caller gets. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Sets a header, or several. One that is set again, in whatever case, is replaced. */
  set(header: string | Record<string, string>, value = ''): this {
    const headers = typeof header === 'string' ? { [header]: value } : header
    for (const [name, each] of Object.entries(headers)) {
      for (const old of Object.keys(this.header))
        if (old.toLowerCase() === name.toLowerCase()) delete this.header[old]
      this.header[name] = each
    }
    return this
  }

  /** Adds to the query; each value of an array under the same name. */
  query(values: Record<string, unknown>): this {
    for (const [name, value] of Object.entries(values))
      for (const each of [value].flat()) this.#query.append(name, String(each as string))
    return this
  }

  /** Sets basic authentication. */
  auth(user: string, password: string): this {
    const bytes = new TextEncoder().encode(`${user}:${password}`)
    return this.set('Authorization', `Basic ${btoa(String.fromCharCode(...bytes))}`)
  }

  /** Gives the request up, unless it has ended: the caller gets an AbortError, or `reason` if that is an error. */
  abort(reason?: unknown): void {
    this.#controller.abort(reason instanceof Error ? reason : new AbortError(reason))
  }
}
