import type { ApiResponse } from './api-response.ts'
import { HTTPValidationError } from './models/http-validation-error.ts'

/**
 * The server refused a request: its answer has a status other than 2xx.
 * @example
 * import OpenAiAssistantsApi from 'open_ai_assistants_api';
 *
 * let apiInstance = new OpenAiAssistantsApi.RunsApi();
 * try {
 *   await apiInstance.retrieveRunV1ThreadsThreadIdRunsRunIdGet('thread_none', 'run_none');
 * } catch (error) {
 *   if (!(error instanceof OpenAiAssistantsApi.ApiError)) throw error;
 *   console.log('API called successfully, and refused: ' + error.status + ' ' + error.message);
 *   console.log(error.body);
 * }
 */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** The status of the answer, for instance 422. */
  readonly status: number
  /** The body of the answer: what its JSON says, or its text. */
  readonly body: unknown
  /** The id under which the server logged the request, if it sent one. */
  readonly requestId: string | undefined
  /** The whole answer. */
  declare readonly response: ApiResponse

  /** The message is the phrase of the status, for instance "Unprocessable Entity". */
  constructor(response: ApiResponse) {
    super(response.statusText)
    this.status = response.status
    this.body = response.body ?? response.text
    this.requestId = response.requestId
    // Not enumerable: a printed error shows status and body, and not the headers once more.
    Object.defineProperty(this, 'response', { value: response })
  }

  /** What of the request did not fit the schema, if that was the fault. */
  get validationError(): HTTPValidationError | undefined {
    const detail: unknown = Object(this.body).detail
    return Array.isArray(detail) ? HTTPValidationError.constructFromObject(this.body) : undefined
  }
}
