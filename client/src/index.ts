// The package open_ai_assistants_api: its classes by name, and all of them as the default export.

export { everything as default } from './everything.ts'
export { ApiClient, type Authentication, type Callback, type CollectionFormat } from './api-client.ts'
export { ApiRequest, type RequestOptions } from './api-request.ts'
export { ApiPromise } from './api-promise.ts'
export { ApiError } from './api-error.ts'
export { NetworkError } from './network-error.ts'
export { TimeoutError } from './timeout-error.ts'
export { AbortError } from './abort-error.ts'
export { AssistantsApi } from './assistants-api.ts'
export { MessagesApi } from './messages-api.ts'
export { RunsApi } from './runs-api.ts'
export { ThreadsApi } from './threads-api.ts'
export type { ApiResponse } from './api-response.ts'
export type { ListOptions } from './operation.ts'
export type { RunEvent, StreamOptions } from './stream-events.ts'
export type { WaitOptions } from './wait-for-run.ts'
export { AssistantFile, type AssistantFileFields } from './models/assistant-file.ts'
export {
  CreateAssistantFileRequest,
  type CreateAssistantFileRequestFields,
} from './models/create-assistant-file-request.ts'
export {
  CreateAssistantRequest,
  type CreateAssistantRequestFields,
} from './models/create-assistant-request.ts'
export { CreateMessageRequest, type CreateMessageRequestFields } from './models/create-message-request.ts'
export { CreateRunRequest, type CreateRunRequestFields } from './models/create-run-request.ts'
export { CreateThreadRequest, type CreateThreadRequestFields } from './models/create-thread-request.ts'
export {
  CreateThreadRunRequest,
  type CreateThreadRunRequestFields,
} from './models/create-thread-run-request.ts'
export {
  DeleteAssistantFileResponse,
  type DeleteAssistantFileResponseFields,
} from './models/delete-assistant-file-response.ts'
export {
  DeleteAssistantResponse,
  type DeleteAssistantResponseFields,
} from './models/delete-assistant-response.ts'
export { DeleteThreadResponse, type DeleteThreadResponseFields } from './models/delete-thread-response.ts'
export { FunctionModel as Function, type FunctionModelFields as FunctionFields } from './models/function.ts'
export { HTTPValidationError, type HTTPValidationErrorFields } from './models/http-validation-error.ts'
export { ImageFile, type ImageFileFields } from './models/image-file.ts'
export { ListMessagesResponse, type ListMessagesResponseFields } from './models/list-messages-response.ts'
export {
  MemgptSchemasOpenaiOpenaiToolCall,
  type MemgptSchemasOpenaiOpenaiToolCallFields,
} from './models/memgpt-schemas-openai-openai-tool-call.ts'
export { MessageFile, type MessageFileFields } from './models/message-file.ts'
export { ModifyMessageRequest, type ModifyMessageRequestFields } from './models/modify-message-request.ts'
export { ModifyRunRequest, type ModifyRunRequestFields } from './models/modify-run-request.ts'
export { ModifyThreadRequest, type ModifyThreadRequestFields } from './models/modify-thread-request.ts'
export { OpenAIAssistant, type OpenAIAssistantFields } from './models/open-ai-assistant.ts'
export { OpenAIError, type OpenAIErrorFields } from './models/open-ai-error.ts'
export { OpenAIMessageContentInner } from './models/open-ai-message-content-inner.ts'
export {
  OpenAIMessageCreationStep,
  type OpenAIMessageCreationStepFields,
} from './models/open-ai-message-creation-step.ts'
export { OpenAIMessage, type OpenAIMessageFields } from './models/open-ai-message.ts'
export { OpenAIRunStep, type OpenAIRunStepFields } from './models/open-ai-run-step.ts'
export { OpenAIRun, type OpenAIRunFields } from './models/open-ai-run.ts'
export { OpenAIThread, type OpenAIThreadFields } from './models/open-ai-thread.ts'
export { OpenAIToolCallsStep, type OpenAIToolCallsStepFields } from './models/open-ai-tool-calls-step.ts'
export { OpenAIUsage, type OpenAIUsageFields } from './models/open-ai-usage.ts'
export { RequiredAction, type RequiredActionFields } from './models/required-action.ts'
export { StepDefaults } from './models/step-defaults.ts'
export {
  SubmitToolOutputsToRunRequest,
  type SubmitToolOutputsToRunRequestFields,
} from './models/submit-tool-outputs-to-run-request.ts'
export { Text, type TextFields } from './models/text.ts'
export { ToolCallOutput, type ToolCallOutputFields } from './models/tool-call-output.ts'
export { ValidationErrorLocInner } from './models/validation-error-loc-inner.ts'
export { ValidationError, type ValidationErrorFields } from './models/validation-error.ts'
