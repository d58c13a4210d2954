// What the default export holds.

import { ApiClient } from './api-client.ts'
import { ApiRequest } from './api-request.ts'
import { ApiPromise } from './api-promise.ts'
import { ApiError } from './api-error.ts'
import { NetworkError } from './network-error.ts'
import { TimeoutError } from './timeout-error.ts'
import { AbortError } from './abort-error.ts'
import { AssistantsApi } from './assistants-api.ts'
import { MessagesApi } from './messages-api.ts'
import { RunsApi } from './runs-api.ts'
import { ThreadsApi } from './threads-api.ts'
import { AssistantFile } from './models/assistant-file.ts'
import { CreateAssistantFileRequest } from './models/create-assistant-file-request.ts'
import { CreateAssistantRequest } from './models/create-assistant-request.ts'
import { CreateMessageRequest } from './models/create-message-request.ts'
import { CreateRunRequest } from './models/create-run-request.ts'
import { CreateThreadRequest } from './models/create-thread-request.ts'
import { CreateThreadRunRequest } from './models/create-thread-run-request.ts'
import { DeleteAssistantFileResponse } from './models/delete-assistant-file-response.ts'
import { DeleteAssistantResponse } from './models/delete-assistant-response.ts'
import { DeleteThreadResponse } from './models/delete-thread-response.ts'
import { FunctionModel } from './models/function.ts'
import { HTTPValidationError } from './models/http-validation-error.ts'
import { ImageFile } from './models/image-file.ts'
import { ListMessagesResponse } from './models/list-messages-response.ts'
import { MemgptSchemasOpenaiOpenaiToolCall } from './models/memgpt-schemas-openai-openai-tool-call.ts'
import { MessageFile } from './models/message-file.ts'
import { ModifyMessageRequest } from './models/modify-message-request.ts'
import { ModifyRunRequest } from './models/modify-run-request.ts'
import { ModifyThreadRequest } from './models/modify-thread-request.ts'
import { OpenAIAssistant } from './models/open-ai-assistant.ts'
import { OpenAIError } from './models/open-ai-error.ts'
import { OpenAIMessageContentInner } from './models/open-ai-message-content-inner.ts'
import { OpenAIMessageCreationStep } from './models/open-ai-message-creation-step.ts'
import { OpenAIMessage } from './models/open-ai-message.ts'
import { OpenAIRunStep } from './models/open-ai-run-step.ts'
import { OpenAIRun } from './models/open-ai-run.ts'
import { OpenAIThread } from './models/open-ai-thread.ts'
import { OpenAIToolCallsStep } from './models/open-ai-tool-calls-step.ts'
import { OpenAIUsage } from './models/open-ai-usage.ts'
import { RequiredAction } from './models/required-action.ts'
import { StepDefaults } from './models/step-defaults.ts'
import { SubmitToolOutputsToRunRequest } from './models/submit-tool-outputs-to-run-request.ts'
import { Text } from './models/text.ts'
import { ToolCallOutput } from './models/tool-call-output.ts'
import { ValidationErrorLocInner } from './models/validation-error-loc-inner.ts'
import { ValidationError } from './models/validation-error.ts'

/** Every export of the package, as properties of one object. */
export const everything = {
  ApiClient,
  ApiRequest,
  ApiPromise,
  ApiError,
  NetworkError,
  TimeoutError,
  AbortError,
  AssistantsApi,
  MessagesApi,
  RunsApi,
  ThreadsApi,
  AssistantFile,
  CreateAssistantFileRequest,
  CreateAssistantRequest,
  CreateMessageRequest,
  CreateRunRequest,
  CreateThreadRequest,
  CreateThreadRunRequest,
  DeleteAssistantFileResponse,
  DeleteAssistantResponse,
  DeleteThreadResponse,
  Function: FunctionModel,
  HTTPValidationError,
  ImageFile,
  ListMessagesResponse,
  MemgptSchemasOpenaiOpenaiToolCall,
  MessageFile,
  ModifyMessageRequest,
  ModifyRunRequest,
  ModifyThreadRequest,
  OpenAIAssistant,
  OpenAIError,
  OpenAIMessageContentInner,
  OpenAIMessageCreationStep,
  OpenAIMessage,
  OpenAIRunStep,
  OpenAIRun,
  OpenAIThread,
  OpenAIToolCallsStep,
  OpenAIUsage,
  RequiredAction,
  StepDefaults,
  SubmitToolOutputsToRunRequest,
  Text,
  ToolCallOutput,
  ValidationErrorLocInner,
  ValidationError,
}
