import type { FastifyInstance, FastifyReply } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { isTerminal } from '../../contract/events.ts'
import { RunObject } from '../../contract/objects.ts'
import { ListObject, PageQuery, RunStepInclude, toList } from '../../contract/paging.ts'
import { CreateRun, CreateThreadAndRun, ModifyMetadata, SubmitToolOutputs } from '../../contract/requests.ts'
import type { RunRecord } from '../../domain/records.ts'
import { toRun } from '../../domain/to-wire.ts'
import type { ChangedRun, RunKey } from '../../store/run-writes.ts'
import { listRuns } from '../../store/runs.ts'
import { getThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import type { Keep } from '../idempotency.ts'
import { route } from '../route.ts'
import {
  cancelRun,
  changeRunMetadata,
  commitRun,
  newRunOnThread,
  newThreadWithRun,
  streamOutputs,
  streamRun,
  submitOutputs,
  type PendingRun,
} from '../run-actions.ts'
import { waitForRun } from '../wait-for-run.ts'

/** Milliseconds after which a client may poll again; most polls are held anyway. */
const pollAfterMs = '100'

const tag = 'Runs'
const onRun = '/threads/{thread_id}/runs/{run_id}'

export function runRoutes(app: FastifyInstance, context: HttpContext): void {
  createRoutes(app, context)
  readRoutes(app, context)
  changeRoutes(app, context)
}

/** The key by which the store knows a run. */
export function runKey(project_id: string, params: { thread_id: string; run_id: string }): RunKey {
  return { project_id, thread_id: params.thread_id, id: params.run_id }
}

/** Shows a run, and how soon to ask again while it has not ended (wire.md §1 "openai-poll-after-ms"). */
export function answerRun(reply: FastifyReply, run: RunRecord): RunObject {
  reply.headers(pollHeaders(run))
  return toRun(run)
}

function pollHeaders(run: RunRecord): Record<string, string> {
  return isTerminal(run.state.status) ? {} : { 'openai-poll-after-ms': pollAfterMs }
}

/** Keeps the answer to what changes a run. */
const keepChanged = (keep: Keep) =>
  keep.answer(
    ({ run }: ChangedRun) => toRun(run),
    ({ run }) => pollHeaders(run),
  )

function createRoutes(app: FastifyInstance, context: HttpContext): void {
  const begin = async (reply: FastifyReply, pending: PendingRun, stream: boolean, keep: Keep) => {
    if (!stream) {
      const keeping = keep.answer(toRun, (run) => ({ ...pollHeaders(run), ...pending.headers }))
      return answerRun(reply, await commitRun(context, reply, pending, keeping))
    }
    await streamRun(context, reply, pending, keep)
    return undefined
  }

  route(
    app,
    {
      id: 'createThreadAndRun',
      method: 'POST',
      path: '/threads/runs',
      tag,
      summary: 'Creates a thread and runs an assistant on it.',
      body: CreateThreadAndRun,
      answer: RunObject,
      streams: true,
      policy: 'sets',
      headers: ['openai-poll-after-ms', 'x-tools-not-run', 'x-thread-policy'],
      errors: [
        'not_found',
        'malformed_id',
        'too_many_runs',
        'tokens_spent',
        'model_not_found',
        'tool_choice_unknown',
        'tool_not_available',
      ],
    },
    async ({ request, reply, policy, body, keep }) => {
      const pending = await newThreadWithRun(context, request.principal, body, policy)
      return begin(reply, pending, body.stream === true, keep)
    },
  )

  route(
    app,
    {
      id: 'createRun',
      method: 'POST',
      path: '/threads/{thread_id}/runs',
      tag,
      summary: 'Runs an assistant on a thread.',
      query: RunStepInclude,
      body: CreateRun,
      answer: RunObject,
      streams: true,
      policy: 'applies',
      headers: ['openai-poll-after-ms', 'x-tools-not-run'],
      errors: [
        'active_run_blocks_run',
        'thread_too_long',
        'too_many_runs',
        'tokens_spent',
        'model_not_found',
        'tool_choice_unknown',
        'tool_not_available',
      ],
    },
    async ({ request, reply, policy, params: { thread_id }, body, keep }) => {
      const pending = await newRunOnThread(context, request.principal, thread_id, body, policy)
      return begin(reply, pending, body.stream === true, keep)
    },
  )
}

function readRoutes(app: FastifyInstance, context: HttpContext): void {
  const { pool } = context.store

  route(
    app,
    {
      id: 'listRuns',
      method: 'GET',
      path: '/threads/{thread_id}/runs',
      tag,
      summary: 'Lists the runs of a thread.',
      query: PageQuery,
      answer: ListObject(RunObject),
    },
    async ({ project, params: { thread_id }, query }) => {
      const { rows, hasMore } = await listRuns(pool, project, thread_id, query)
      if (rows.length === 0 && !(await getThread(pool, project, thread_id)))
        throw notFound('thread', thread_id)
      return toList(rows.map(toRun), hasMore)
    },
  )

  route(
    app,
    {
      id: 'getRun',
      method: 'GET',
      path: onRun,
      tag,
      summary: 'Retrieves a run.',
      answer: RunObject,
      headers: ['openai-poll-after-ms'],
    },
    async ({ request, reply, project, params }) => {
      const run = await waitForRun(context, runKey(project, params), request, reply)
      if (!run) throw notFound('run', params.run_id)
      return answerRun(reply, run)
    },
  )
}

function changeRoutes(app: FastifyInstance, context: HttpContext): void {
  route(
    app,
    {
      id: 'modifyRun',
      method: 'POST',
      path: onRun,
      tag,
      summary: "Changes a run's metadata.",
      body: ModifyMetadata,
      answer: RunObject,
      headers: ['openai-poll-after-ms'],
    },
    async ({ reply, project, params, body: { metadata }, keep }) => {
      const keeping = keep.answer(toRun, pollHeaders)
      const run = await changeRunMetadata(context, runKey(project, params), metadata, keeping)
      if (!run) throw notFound('run', params.run_id)
      return answerRun(reply, run)
    },
  )

  route(
    app,
    {
      id: 'cancelRun',
      method: 'POST',
      path: `${onRun}/cancel`,
      tag,
      summary: 'Cancels a run that has not ended.',
      answer: RunObject,
      details: 'A run that is being worked on becomes `cancelling` first, and `cancelled` shortly after.',
      headers: ['openai-poll-after-ms'],
      errors: ['run_not_cancellable'],
    },
    async ({ reply, project, params, keep }) => {
      const { run } = await cancelRun(context, runKey(project, params), keepChanged(keep))
      return answerRun(reply, run)
    },
  )

  route(
    app,
    {
      // The published schema writes this operationId with a typing error; it is ours to write rightly.
      id: 'submitToolOutputsToRun',
      method: 'POST',
      path: `${onRun}/submit_tool_outputs`,
      tag,
      summary: 'Answers the tool calls that a run waits for.',
      body: SubmitToolOutputs,
      answer: RunObject,
      streams: true,
      details: 'All outputs have to come in one request.',
      headers: ['openai-poll-after-ms'],
      errors: ['run_takes_no_outputs', 'outputs_do_not_match'],
    },
    async ({ reply, project, params, body: { stream, tool_outputs }, keep }) => {
      const key = runKey(project, params)
      if (stream !== true) {
        const { run } = await submitOutputs(context, key, tool_outputs, keepChanged(keep))
        return answerRun(reply, run)
      }
      await streamOutputs(context, reply, key, tool_outputs, keep)
      return undefined
    },
  )
}
