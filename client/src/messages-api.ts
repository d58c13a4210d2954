import { ApiClient, type Callback } from './api-client.ts'
import type { ApiPromise } from './api-promise.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import type { CreateMessageRequestFields } from './models/create-message-request.ts'
import { ListMessagesResponse } from './models/list-messages-response.ts'
import { MessageFile } from './models/message-file.ts'
import type { ModifyMessageRequestFields } from './models/modify-message-request.ts'
import { OpenAIMessage } from './models/open-ai-message.ts'
import { call, callList, type ListOptions, type ListRest, operation, type Rest } from './operation.ts'

const createMessage = operation(
  'createMessage',
  'POST',
  '/v1/threads/{thread_id}/messages',
  OpenAIMessage,
  'createMessageRequest',
)
const listMessages = operation(
  'listMessages',
  'GET',
  '/v1/threads/{thread_id}/messages',
  ListMessagesResponse,
)
const modifyMessage = operation(
  'modifyMessage',
  'POST',
  '/v1/threads/{thread_id}/messages/{message_id}',
  OpenAIMessage,
  'modifyMessageRequest',
)
const retrieveMessage = operation(
  'retrieveMessage',
  'GET',
  '/v1/threads/{thread_id}/messages/{message_id}',
  OpenAIMessage,
)
const retrieveMessageFile = operation(
  'retrieveMessageFile',
  'GET',
  '/v1/threads/{thread_id}/messages/{message_id}/files/{file_id}',
  MessageFile,
)

/** Messages of threads. */
export class MessagesApi {
  readonly apiClient: ApiClient

  /** Without a client it uses `ApiClient.instance`. */
  constructor(apiClient?: ApiClient | null) {
    this.apiClient = apiClient ?? ApiClient.instance
  }

  /**
   * Add a message to a thread.
   * @param threadId The id of the thread.
   * @param createMessageRequest The body of the request.
   */
  createMessageV1ThreadsThreadIdMessagesPost(
    threadId: string,
    createMessageRequest: CreateMessageRequestFields,
    callback: Callback<OpenAIMessage>,
    options?: RequestOptions,
  ): ApiRequest
  createMessageV1ThreadsThreadIdMessagesPost(
    threadId: string,
    createMessageRequest: CreateMessageRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIMessage>
  createMessageV1ThreadsThreadIdMessagesPost(
    threadId: string,
    createMessageRequest: CreateMessageRequestFields,
    ...rest: Rest<OpenAIMessage>
  ): ApiRequest {
    return call(this.apiClient, createMessage, [threadId, createMessageRequest], rest)
  }

  /**
   * List the messages of a thread.
   * @param threadId The id of the thread.
   */
  listMessagesV1ThreadsThreadIdMessagesGet(
    threadId: string,
    opts: ListOptions | null | undefined,
    callback: Callback<ListMessagesResponse>,
  ): ApiRequest
  listMessagesV1ThreadsThreadIdMessagesGet(
    threadId: string,
    callback: Callback<ListMessagesResponse>,
  ): ApiRequest
  listMessagesV1ThreadsThreadIdMessagesGet(
    threadId: string,
    opts?: ListOptions | null,
  ): ApiPromise<ListMessagesResponse>
  listMessagesV1ThreadsThreadIdMessagesGet(
    threadId: string,
    ...rest: ListRest<ListMessagesResponse>
  ): ApiRequest {
    return callList(this.apiClient, listMessages, [threadId], rest)
  }

  /**
   * Change the metadata of a message.
   * @param threadId The id of the thread.
   * @param messageId The id of the message.
   * @param modifyMessageRequest The body of the request.
   */
  modifyMessageV1ThreadsThreadIdMessagesMessageIdPost(
    threadId: string,
    messageId: string,
    modifyMessageRequest: ModifyMessageRequestFields,
    callback: Callback<OpenAIMessage>,
    options?: RequestOptions,
  ): ApiRequest
  modifyMessageV1ThreadsThreadIdMessagesMessageIdPost(
    threadId: string,
    messageId: string,
    modifyMessageRequest: ModifyMessageRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIMessage>
  modifyMessageV1ThreadsThreadIdMessagesMessageIdPost(
    threadId: string,
    messageId: string,
    modifyMessageRequest: ModifyMessageRequestFields,
    ...rest: Rest<OpenAIMessage>
  ): ApiRequest {
    return call(this.apiClient, modifyMessage, [threadId, messageId, modifyMessageRequest], rest)
  }

  /**
   * Show a message.
   * The original has no such method.
   * @param threadId The id of the thread.
   * @param messageId The id of the message.
   */
  retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet(
    threadId: string,
    messageId: string,
    callback: Callback<OpenAIMessage>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet(
    threadId: string,
    messageId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIMessage>
  retrieveMessageV1ThreadsThreadIdMessagesMessageIdGet(
    threadId: string,
    messageId: string,
    ...rest: Rest<OpenAIMessage>
  ): ApiRequest {
    return call(this.apiClient, retrieveMessage, [threadId, messageId], rest)
  }

  /**
   * Show a file of a message.
   * @param threadId The id of the thread.
   * @param messageId The id of the message.
   * @param fileId The id of the file.
   */
  retrieveMessageFileV1ThreadsThreadIdMessagesMessageIdFilesFileIdGet(
    threadId: string,
    messageId: string,
    fileId: string,
    callback: Callback<MessageFile>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveMessageFileV1ThreadsThreadIdMessagesMessageIdFilesFileIdGet(
    threadId: string,
    messageId: string,
    fileId: string,
    options?: RequestOptions,
  ): ApiPromise<MessageFile>
  retrieveMessageFileV1ThreadsThreadIdMessagesMessageIdFilesFileIdGet(
    threadId: string,
    messageId: string,
    fileId: string,
    ...rest: Rest<MessageFile>
  ): ApiRequest {
    return call(this.apiClient, retrieveMessageFile, [threadId, messageId, fileId], rest)
  }
}
