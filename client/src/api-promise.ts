import { ApiRequest } from './api-request.ts'
import type { ApiResponse } from './api-response.ts'

/** What became of a request. */
export interface Outcome<T> {
  error: Error | null
  data: T | null
  /** Undefined if there was no answer. */
  response: ApiResponse | undefined
}

/**
 * A request under way that can be awaited.
 * One that nobody awaits is carried out all the same, and its outcome is dropped: its error does not count as
 * unhandled.
 * @example
 * import OpenAiAssistantsApi from 'open_ai_assistants_api';
 *
 * let apiInstance = new OpenAiAssistantsApi.AssistantsApi();
 * let assistants = await apiInstance.listAssistantsV1AssistantsGet();
 * let { data, response } = await apiInstance.listAssistantsV1AssistantsGet().withResponse();
 * console.log('API called successfully. Status: ' + response.status + ', ' + (data.length === assistants.length));
 */
export class ApiPromise<T> extends ApiRequest implements Promise<T> {
  readonly [Symbol.toStringTag] = 'ApiPromise'
  #outcome: Promise<Outcome<T>> | undefined

  /** Hands over what the request will become. */
  follow(outcome: Promise<Outcome<T>>): void {
    this.#outcome = outcome
  }

  /** The data together with the whole answer. */
  async withResponse(): Promise<{ data: T; response: ApiResponse }> {
    const outcome = await this.#outcome
    if (!outcome || outcome.error) throw outcome?.error ?? new Error('The request was not sent.')
    return { data: outcome.data as T, response: outcome.response as ApiResponse }
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is awaited as a promise is
  then<Kept = T, Caught = never>(
    kept?: ((data: T) => Kept | PromiseLike<Kept>) | null,
    caught?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<Kept | Caught> {
    return this.withResponse()
      .then(({ data }) => data)
      .then(kept, caught)
  }

  catch<Caught = never>(
    caught?: ((error: unknown) => Caught | PromiseLike<Caught>) | null,
  ): Promise<T | Caught> {
    return this.then(null, caught)
  }

  finally(after?: (() => void) | null): Promise<T> {
    return this.then().finally(after)
  }
}
