import { ApiClient, type Callback } from './api-client.ts'
import type { ApiPromise } from './api-promise.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import type { CreateThreadRequestFields } from './models/create-thread-request.ts'
import { DeleteThreadResponse } from './models/delete-thread-response.ts'
import type { ModifyThreadRequestFields } from './models/modify-thread-request.ts'
import { OpenAIThread } from './models/open-ai-thread.ts'
import { call, type Operation, operation, type Rest } from './operation.ts'

const createThread = operation('createThread', 'POST', '/v1/threads', OpenAIThread, 'createThreadRequest')
const deleteThread = operation('deleteThread', 'DELETE', '/v1/threads/{thread_id}', DeleteThreadResponse)
const modifyThreadPost = operation(
  'modifyThread',
  'POST',
  '/v1/threads/{thread_id}',
  OpenAIThread,
  'modifyThreadRequest',
)
const retrieveThread = operation('retrieveThread', 'GET', '/v1/threads/{thread_id}', OpenAIThread)
// The name ends in Get, as that of the original, whose request this is not.
const modifyThread: Operation = { ...modifyThreadPost, name: 'modifyThreadV1ThreadsThreadIdGet' }

/** Threads: conversations. */
export class ThreadsApi {
  readonly apiClient: ApiClient

  /** Without a client it uses `ApiClient.instance`. */
  constructor(apiClient?: ApiClient | null) {
    this.apiClient = apiClient ?? ApiClient.instance
  }

  /**
   * Create a thread.
   * @param createThreadRequest The body of the request.
   */
  createThreadV1ThreadsPost(
    createThreadRequest: CreateThreadRequestFields,
    callback: Callback<OpenAIThread>,
    options?: RequestOptions,
  ): ApiRequest
  createThreadV1ThreadsPost(
    createThreadRequest: CreateThreadRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIThread>
  createThreadV1ThreadsPost(
    createThreadRequest: CreateThreadRequestFields,
    ...rest: Rest<OpenAIThread>
  ): ApiRequest {
    return call(this.apiClient, createThread, [createThreadRequest], rest)
  }

  /**
   * Delete a thread with its messages and runs.
   * @param threadId The id of the thread.
   */
  deleteThreadV1ThreadsThreadIdDelete(
    threadId: string,
    callback: Callback<DeleteThreadResponse>,
    options?: RequestOptions,
  ): ApiRequest
  deleteThreadV1ThreadsThreadIdDelete(
    threadId: string,
    options?: RequestOptions,
  ): ApiPromise<DeleteThreadResponse>
  deleteThreadV1ThreadsThreadIdDelete(threadId: string, ...rest: Rest<DeleteThreadResponse>): ApiRequest {
    return call(this.apiClient, deleteThread, [threadId], rest)
  }

  /**
   * Change the metadata of a thread.
   * Its name ends in Get since the original sent a GET with a body, which neither browsers nor `fetch` can send; this sends a POST.
   * @param threadId The id of the thread.
   * @param modifyThreadRequest The body of the request.
   */
  modifyThreadV1ThreadsThreadIdGet(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    callback: Callback<OpenAIThread>,
    options?: RequestOptions,
  ): ApiRequest
  modifyThreadV1ThreadsThreadIdGet(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIThread>
  modifyThreadV1ThreadsThreadIdGet(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    ...rest: Rest<OpenAIThread>
  ): ApiRequest {
    return call(this.apiClient, modifyThread, [threadId, modifyThreadRequest], rest)
  }

  /**
   * Change the metadata of a thread, by its proper name.
   * The original has no such method.
   * @param threadId The id of the thread.
   * @param modifyThreadRequest The body of the request.
   */
  modifyThreadV1ThreadsThreadIdPost(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    callback: Callback<OpenAIThread>,
    options?: RequestOptions,
  ): ApiRequest
  modifyThreadV1ThreadsThreadIdPost(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIThread>
  modifyThreadV1ThreadsThreadIdPost(
    threadId: string,
    modifyThreadRequest: ModifyThreadRequestFields,
    ...rest: Rest<OpenAIThread>
  ): ApiRequest {
    return call(this.apiClient, modifyThreadPost, [threadId, modifyThreadRequest], rest)
  }

  /**
   * Show a thread.
   * The original has no such method.
   * @param threadId The id of the thread.
   */
  retrieveThreadV1ThreadsThreadIdGet(
    threadId: string,
    callback: Callback<OpenAIThread>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveThreadV1ThreadsThreadIdGet(threadId: string, options?: RequestOptions): ApiPromise<OpenAIThread>
  retrieveThreadV1ThreadsThreadIdGet(threadId: string, ...rest: Rest<OpenAIThread>): ApiRequest {
    return call(this.apiClient, retrieveThread, [threadId], rest)
  }
}
