import { ApiClient, type Callback } from './api-client.ts'
import type { ApiPromise } from './api-promise.ts'
import type { ApiRequest, RequestOptions } from './api-request.ts'
import type { CreateRunRequestFields } from './models/create-run-request.ts'
import type { CreateThreadRunRequestFields } from './models/create-thread-run-request.ts'
import type { ModifyRunRequestFields } from './models/modify-run-request.ts'
import { OpenAIRun } from './models/open-ai-run.ts'
import { OpenAIRunStep } from './models/open-ai-run-step.ts'
import type { SubmitToolOutputsToRunRequestFields } from './models/submit-tool-outputs-to-run-request.ts'
import { call, callList, type ListOptions, type ListRest, operation, type Rest } from './operation.ts'
import { streamEvents, type RunEvent, type StreamOptions } from './stream-events.ts'
import { waitForRun, type WaitOptions } from './wait-for-run.ts'

const cancelRun = operation('cancelRun', 'POST', '/v1/threads/{thread_id}/runs/{run_id}/cancel', OpenAIRun)
const createRun = operation(
  'createRun',
  'POST',
  '/v1/threads/{thread_id}/runs',
  OpenAIRun,
  'createRunRequest',
)
const createThreadAndRun = operation(
  'createThreadAndRun',
  'POST',
  '/v1/threads/runs',
  OpenAIRun,
  'createThreadRunRequest',
)
const listRunSteps = operation('listRunSteps', 'GET', '/v1/threads/{thread_id}/runs/{run_id}/steps', [
  OpenAIRunStep,
])
const listRuns = operation('listRuns', 'GET', '/v1/threads/{thread_id}/runs', [OpenAIRun])
const modifyRun = operation(
  'modifyRun',
  'POST',
  '/v1/threads/{thread_id}/runs/{run_id}',
  OpenAIRun,
  'modifyRunRequest',
)
const retrieveRunStep = operation(
  'retrieveRunStep',
  'GET',
  '/v1/threads/{thread_id}/runs/{run_id}/steps/{step_id}',
  OpenAIRunStep,
)
const retrieveRun = operation('retrieveRun', 'GET', '/v1/threads/{thread_id}/runs/{run_id}', OpenAIRun)
const submitToolOutputs = operation(
  'submitToolOutputsToRun',
  'POST',
  '/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs',
  OpenAIRun,
  'submitToolOutputsToRunRequest',
)

/** Runs: what assistants do on threads. */
export class RunsApi {
  readonly apiClient: ApiClient

  /** Without a client it uses `ApiClient.instance`. */
  constructor(apiClient?: ApiClient | null) {
    this.apiClient = apiClient ?? ApiClient.instance
  }

  /**
   * Cancel a run.
   * The run is `cancelling` until the model has been stopped, and then `cancelled`.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   */
  cancelRunV1ThreadsThreadIdRunsRunIdCancelPost(
    threadId: string,
    runId: string,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  cancelRunV1ThreadsThreadIdRunsRunIdCancelPost(
    threadId: string,
    runId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  cancelRunV1ThreadsThreadIdRunsRunIdCancelPost(
    threadId: string,
    runId: string,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, cancelRun, [threadId, runId], rest)
  }

  /**
   * Start a run on a thread.
   * It is `queued` when this returns: `waitForRun` waits for its end.
   * @param threadId The id of the thread.
   * @param createRunRequest The body of the request.
   */
  createRunV1ThreadsThreadIdRunsPost(
    threadId: string,
    createRunRequest: CreateRunRequestFields,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  createRunV1ThreadsThreadIdRunsPost(
    threadId: string,
    createRunRequest: CreateRunRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  createRunV1ThreadsThreadIdRunsPost(
    threadId: string,
    createRunRequest: CreateRunRequestFields,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, createRun, [threadId, createRunRequest], rest)
  }

  /**
   * Start a run on a thread that is named or created with it.
   * @param createThreadRunRequest The body of the request.
   */
  createThreadAndRunV1ThreadsRunsPost(
    createThreadRunRequest: CreateThreadRunRequestFields,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  createThreadAndRunV1ThreadsRunsPost(
    createThreadRunRequest: CreateThreadRunRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  createThreadAndRunV1ThreadsRunsPost(
    createThreadRunRequest: CreateThreadRunRequestFields,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, createThreadAndRun, [createThreadRunRequest], rest)
  }

  /**
   * List the steps of a run.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   */
  listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(
    threadId: string,
    runId: string,
    opts: ListOptions | null | undefined,
    callback: Callback<OpenAIRunStep[]>,
  ): ApiRequest
  listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(
    threadId: string,
    runId: string,
    callback: Callback<OpenAIRunStep[]>,
  ): ApiRequest
  listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(
    threadId: string,
    runId: string,
    opts?: ListOptions | null,
  ): ApiPromise<OpenAIRunStep[]>
  listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet(
    threadId: string,
    runId: string,
    ...rest: ListRest<OpenAIRunStep[]>
  ): ApiRequest {
    return callList(this.apiClient, listRunSteps, [threadId, runId], rest)
  }

  /**
   * List the runs of a thread.
   * @param threadId The id of the thread.
   */
  listRunsV1ThreadsThreadIdRunsGet(
    threadId: string,
    opts: ListOptions | null | undefined,
    callback: Callback<OpenAIRun[]>,
  ): ApiRequest
  listRunsV1ThreadsThreadIdRunsGet(threadId: string, callback: Callback<OpenAIRun[]>): ApiRequest
  listRunsV1ThreadsThreadIdRunsGet(threadId: string, opts?: ListOptions | null): ApiPromise<OpenAIRun[]>
  listRunsV1ThreadsThreadIdRunsGet(threadId: string, ...rest: ListRest<OpenAIRun[]>): ApiRequest {
    return callList(this.apiClient, listRuns, [threadId], rest)
  }

  /**
   * Change the metadata of a run.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   * @param modifyRunRequest The body of the request.
   */
  modifyRunV1ThreadsThreadIdRunsRunIdPost(
    threadId: string,
    runId: string,
    modifyRunRequest: ModifyRunRequestFields,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  modifyRunV1ThreadsThreadIdRunsRunIdPost(
    threadId: string,
    runId: string,
    modifyRunRequest: ModifyRunRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  modifyRunV1ThreadsThreadIdRunsRunIdPost(
    threadId: string,
    runId: string,
    modifyRunRequest: ModifyRunRequestFields,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, modifyRun, [threadId, runId, modifyRunRequest], rest)
  }

  /**
   * Show a step of a run.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   * @param stepId The id of the step.
   */
  retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet(
    threadId: string,
    runId: string,
    stepId: string,
    callback: Callback<OpenAIRunStep>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet(
    threadId: string,
    runId: string,
    stepId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRunStep>
  retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet(
    threadId: string,
    runId: string,
    stepId: string,
    ...rest: Rest<OpenAIRunStep>
  ): ApiRequest {
    return call(this.apiClient, retrieveRunStep, [threadId, runId, stepId], rest)
  }

  /**
   * Show a run.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   */
  retrieveRunV1ThreadsThreadIdRunsRunIdGet(
    threadId: string,
    runId: string,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  retrieveRunV1ThreadsThreadIdRunsRunIdGet(
    threadId: string,
    runId: string,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  retrieveRunV1ThreadsThreadIdRunsRunIdGet(
    threadId: string,
    runId: string,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, retrieveRun, [threadId, runId], rest)
  }

  /**
   * Submit the outputs that a run waits for.
   * All calls of its `required_action` at once; the run goes on then.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   * @param submitToolOutputsToRunRequest The body of the request.
   */
  submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost(
    threadId: string,
    runId: string,
    submitToolOutputsToRunRequest: SubmitToolOutputsToRunRequestFields,
    callback: Callback<OpenAIRun>,
    options?: RequestOptions,
  ): ApiRequest
  submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost(
    threadId: string,
    runId: string,
    submitToolOutputsToRunRequest: SubmitToolOutputsToRunRequestFields,
    options?: RequestOptions,
  ): ApiPromise<OpenAIRun>
  submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost(
    threadId: string,
    runId: string,
    submitToolOutputsToRunRequest: SubmitToolOutputsToRunRequestFields,
    ...rest: Rest<OpenAIRun>
  ): ApiRequest {
    return call(this.apiClient, submitToolOutputs, [threadId, runId, submitToolOutputsToRunRequest], rest)
  }

  /**
   * Wait until a run has ended or needs tool outputs.
   * Resolves with the run. A server that is away for a moment does not end the wait.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   * @param options `timeout` in milliseconds, after which it rejects with a TimeoutError (default: none), and `signal`.
   * @example
   * import OpenAiAssistantsApi from 'open_ai_assistants_api';
   *
   * let apiInstance = new OpenAiAssistantsApi.RunsApi();
   * let threadId = "threadId_example";
   * let createRunRequest = new OpenAiAssistantsApi.CreateRunRequest();
   * let { id } = await apiInstance.createRunV1ThreadsThreadIdRunsPost(threadId, createRunRequest);
   * let run = await apiInstance.waitForRun(threadId, id, { timeout: 60000 });
   * console.log('API called successfully. The run is ' + run.status);
   */
  waitForRun(threadId: string, runId: string, options: WaitOptions = {}): Promise<OpenAIRun> {
    return waitForRun(this, threadId, runId, options)
  }

  /**
   * Follow the events of a run.
   * Yields what has happened and then what happens, until the run has ended; a connection that breaks is taken up
   * where it broke. Of a server that has no stream of events it yields the changes of the status, by polls.
   * @param threadId The id of the thread.
   * @param runId The id of the run.
   * @param options `lastEventId`, behind which to begin, and `signal`.
   * @example
   * import OpenAiAssistantsApi from 'open_ai_assistants_api';
   *
   * let apiInstance = new OpenAiAssistantsApi.RunsApi();
   * let threadId = "threadId_example";
   * let createRunRequest = new OpenAiAssistantsApi.CreateRunRequest();
   * let { id } = await apiInstance.createRunV1ThreadsThreadIdRunsPost(threadId, createRunRequest);
   * for await (let { event } of apiInstance.streamEvents(threadId, id)) {
   *   console.log(event);
   * }
   * console.log('API called successfully. The run has ended.');
   */
  streamEvents(threadId: string, runId: string, options: StreamOptions = {}): AsyncGenerator<RunEvent, void> {
    return streamEvents(this, threadId, runId, options)
  }
}
