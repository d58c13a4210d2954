import { ApiClient, type Callback } from './api-client.ts'
import type { ApiPromise } from './api-promise.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import { AssistantFile } from './models/assistant-file.ts'
import type { CreateAssistantFileRequestFields } from './models/create-assistant-file-request.ts'
import type { CreateAssistantRequestFields } from './models/create-assistant-request.ts'
import { DeleteAssistantFileResponse } from './models/delete-assistant-file-response.ts'
import { DeleteAssistantResponse } from './models/delete-assistant-response.ts'
import { OpenAIAssistant } from './models/open-ai-assistant.ts'
import { call, callList, type ListOptions, type ListRest, operation, type Rest } from './operation.ts'

const createAssistantFile = operation(
  'createAssistantFile',
  'POST',
  '/v1/assistants/{assistant_id}/files',
  AssistantFile,
  'createAssistantFileRequest',
)
const createAssistant = operation(
  'createAssistant',
  'POST',
  '/v1/assistants',
  OpenAIAssistant,
  'createAssistantRequest',
)
const deleteAssistantFile = operation(
  'deleteAssistantFile',
  'DELETE',
  '/v1/assistants/{assistant_id}/files/{file_id}',
  DeleteAssistantFileResponse,
)
const deleteAssistant = operation(
  'deleteAssistant',
  'DELETE',
  '/v1/assistants/{assistant_id}',
  DeleteAssistantResponse,
)
const listAssistantFiles = operation('listAssistantFiles', 'GET', '/v1/assistants/{assistant_id}/files', [
  AssistantFile,
])
const listAssistants = operation('listAssistants', 'GET', '/v1/assistants', [OpenAIAssistant])
const modifyAssistant = operation(
  'modifyAssistant',
  'POST',
  '/v1/assistants/{assistant_id}',
  OpenAIAssistant,
  'createAssistantRequest',
)
const retrieveAssistantFile = operation(
  'retrieveAssistantFile',
  'GET',
  '/v1/assistants/{assistant_id}/files/{file_id}',
  AssistantFile,
)
const retrieveAssistant = operation(
  'retrieveAssistant',
  'GET',
  '/v1/assistants/{assistant_id}',
  OpenAIAssistant,
)

/** Assistants, and the files that belong to them. */
export class AssistantsApi {
  readonly apiClient: ApiClient

  /** Without a client it uses `ApiClient.instance`. */
  constructor(apiClient?: ApiClient | null) {
    this.apiClient = apiClient ?? ApiClient.instance
  }

  /**
   * Attach a file to an assistant.
   * @param assistantId The id of the assistant.
   * @param createAssistantFileRequest The body of the request.
   */
  createAssistantFileV1AssistantsAssistantIdFilesPost(
    assistantId: string,
    createAssistantFileRequest: CreateAssistantFileRequestFields,
    callback: Callback<AssistantFile>,
    options?: RequestOptions,
  ): ApiRequest
  createAssistantFileV1AssistantsAssistantIdFilesPost(
    assistantId: string,
    createAssistantFileRequest: CreateAssistantFileRequestFields,
    options?: RequestOptions,
  ): ApiPromise<AssistantFile>
  createAssistantFileV1AssistantsAssistantIdFilesPost(
    assistantId: string,
    createAssistantFileRequest: CreateAssistantFileRequestFields,
    ...rest: Rest<AssistantFile>
  ): ApiRequest {
    return call(this.apiClient, createAssistantFile, [assistantId, createAssistantFileRequest], rest)
  }

  /**
   * Create an assistant.
   * @param createAssistantRequest The body of the request.
   */
  createAssistantV1AssistantsPost(
    createAssistantRequest: CreateAssistantRequestFields,
    callback: Callback<OpenAIAssistant>,
    options?: RequestOptions,
  ): ApiRequest
  createAssistantV1AssistantsPost(
    createAssistantRequest: CreateAssistantRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIAssistant>
  createAssistantV1AssistantsPost(
    createAssistantRequest: CreateAssistantRequestFields,
    ...rest: Rest<OpenAIAssistant>
  ): ApiRequest {
    return call(this.apiClient, createAssistant, [createAssistantRequest], rest)
  }

  /**
   * Take a file from an assistant.
   * The file itself stays.
   * @param assistantId The id of the assistant.
   * @param fileId The id of the file.
   */
  deleteAssistantFileV1AssistantsAssistantIdFilesFileIdDelete(
    assistantId: string,
    fileId: string,
    callback: Callback<DeleteAssistantFileResponse>,
    options?: RequestOptions,
  ): ApiRequest
  deleteAssistantFileV1AssistantsAssistantIdFilesFileIdDelete(
    assistantId: string,
    fileId: string,
    options?: RequestOptions,
  ): ApiPromise<DeleteAssistantFileResponse>
  deleteAssistantFileV1AssistantsAssistantIdFilesFileIdDelete(
    assistantId: string,
    fileId: string,
    ...rest: Rest<DeleteAssistantFileResponse>
  ): ApiRequest {
    return call(this.apiClient, deleteAssistantFile, [assistantId, fileId], rest)
  }

  /**
   * Delete an assistant.
   * @param assistantId The id of the assistant.
   */
  deleteAssistantV1AssistantsAssistantIdDelete(
    assistantId: string,
    callback: Callback<DeleteAssistantResponse>,
    options?: RequestOptions,
  ): ApiRequest
  deleteAssistantV1AssistantsAssistantIdDelete(
    assistantId: string,
    options?: RequestOptions,
  ): ApiPromise<DeleteAssistantResponse>
  deleteAssistantV1AssistantsAssistantIdDelete(
    assistantId: string,
    ...rest: Rest<DeleteAssistantResponse>
  ): ApiRequest {
    return call(this.apiClient, deleteAssistant, [assistantId], rest)
  }

  /**
   * List the files of an assistant.
   * @param assistantId The id of the assistant.
   */
  listAssistantFilesV1AssistantsAssistantIdFilesGet(
    assistantId: string,
    opts: ListOptions | null | undefined,
    callback: Callback<AssistantFile[]>,
  ): ApiRequest
  listAssistantFilesV1AssistantsAssistantIdFilesGet(
    assistantId: string,
    callback: Callback<AssistantFile[]>,
  ): ApiRequest
  listAssistantFilesV1AssistantsAssistantIdFilesGet(
    assistantId: string,
    opts?: ListOptions | null,
  ): ApiPromise<AssistantFile[]>
  listAssistantFilesV1AssistantsAssistantIdFilesGet(
    assistantId: string,
    ...rest: ListRest<AssistantFile[]>
  ): ApiRequest {
    return callList(this.apiClient, listAssistantFiles, [assistantId], rest)
  }

  /**
   * List assistants.
   */
  listAssistantsV1AssistantsGet(
    opts: ListOptions | null | undefined,
    callback: Callback<OpenAIAssistant[]>,
  ): ApiRequest
  listAssistantsV1AssistantsGet(callback: Callback<OpenAIAssistant[]>): ApiRequest
  listAssistantsV1AssistantsGet(opts?: ListOptions | null): ApiPromise<OpenAIAssistant[]>
  listAssistantsV1AssistantsGet(...rest: ListRest<OpenAIAssistant[]>): ApiRequest {
    return callList(this.apiClient, listAssistants, [], rest)
  }

  /**
   * Change an assistant.
   * @param assistantId The id of the assistant.
   * @param createAssistantRequest The body of the request.
   */
  modifyAssistantV1AssistantsAssistantIdPost(
    assistantId: string,
    createAssistantRequest: CreateAssistantRequestFields,
    callback: Callback<OpenAIAssistant>,
    options?: RequestOptions,
  ): ApiRequest
  modifyAssistantV1AssistantsAssistantIdPost(
    assistantId: string,
    createAssistantRequest: CreateAssistantRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIAssistant>
  modifyAssistantV1AssistantsAssistantIdPost(
    assistantId: string,
    createAssistantRequest: CreateAssistantRequestFields,
    ...rest: Rest<OpenAIAssistant>
  ): ApiRequest {
    return call(this.apiClient, modifyAssistant, [assistantId, createAssistantRequest], rest)
  }

  /**
   * Show a file of an assistant.
   * @param assistantId The id of the assistant.
   * @param fileId The id of the file.
   */
  retrieveAssistantFileV1AssistantsAssistantIdFilesFileIdGet(
    assistantId: string,
    fileId: string,
    callback: Callback<AssistantFile>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveAssistantFileV1AssistantsAssistantIdFilesFileIdGet(
    assistantId: string,
    fileId: string,
    options?: RequestOptions,
  ): ApiPromise<AssistantFile>
  retrieveAssistantFileV1AssistantsAssistantIdFilesFileIdGet(
    assistantId: string,
    fileId: string,
    ...rest: Rest<AssistantFile>
  ): ApiRequest {
    return call(this.apiClient, retrieveAssistantFile, [assistantId, fileId], rest)
  }

  /**
   * Show an assistant.
   * @param assistantId The id of the assistant.
   */
  retrieveAssistantV1AssistantsAssistantIdGet(
    assistantId: string,
    callback: Callback<OpenAIAssistant>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveAssistantV1AssistantsAssistantIdGet(
    assistantId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIAssistant>
  retrieveAssistantV1AssistantsAssistantIdGet(
    assistantId: string,
    ...rest: Rest<OpenAIAssistant>
  ): ApiRequest {
    return call(this.apiClient, retrieveAssistant, [assistantId], rest)
  }
}
