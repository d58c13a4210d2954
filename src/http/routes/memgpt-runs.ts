import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { notFound } from '../../contract/errors.ts'
import { OpenAIRun, OpenAIRunStep } from '../../contract/memgpt-objects.ts'
import {
  MemgptCreateRun,
  MemgptCreateThreadRun,
  MemgptModify,
  MemgptPage,
  MemgptSubmit,
} from '../../contract/memgpt-requests.ts'
import type { ThreadPolicy } from '../../contract/thread-policy.ts'
import type { RunRecord } from '../../domain/records.ts'
import { toMemgptRun, toMemgptStep } from '../../domain/to-memgpt.ts'
import type { ChangedRun } from '../../store/run-writes.ts'
import { getRun, listRuns } from '../../store/runs.ts'
import { callStepsOfRuns, getStep, listSteps } from '../../store/steps.ts'
import { getThread } from '../../store/threads.ts'
import type { HttpContext } from '../context.ts'
import type { Keep } from '../idempotency.ts'
import { outputsOf, pageOf, refuseV2Keys, runFields } from '../memgpt-input.ts'
import type { Principal } from '../principal.ts'
import { checkId, route } from '../route.ts'
import {
  cancelRun,
  changeRunMetadata,
  commitRun,
  newRunOnThread,
  newThreadWithRun,
  submitOutputs,
  type PendingRun,
} from '../run-actions.ts'
import { waitForRun } from '../wait-for-run.ts'
import { runKey } from './runs.ts'

// The nine operations of the seed (memgpt-dialect.md §2).

const tag = 'Runs'
const dialect = 'memgpt'
const inThread = '/threads/{thread_id}/runs'
const onRun = '/threads/{thread_id}/runs/{run_id}'

export function memgptRunRoutes(app: FastifyInstance, context: HttpContext): void {
  createRoutes(app, context)
  readRoutes(app, context)
  changeRoutes(app, context)
  stepRoutes(app, context)
}

/** A run with the calls that it has made. */
const showChanged = ({ run, steps }: ChangedRun): OpenAIRun => toMemgptRun(run, steps)

function createRoutes(app: FastifyInstance, context: HttpContext): void {
  const show = (run: RunRecord) => toMemgptRun(run, [])
  const begin = async (reply: FastifyReply, pending: PendingRun, keep: Keep) =>
    show(
      await commitRun(
        context,
        reply,
        pending,
        keep.answer(show, () => pending.headers),
      ),
    )

  route(
    app,
    {
      id: 'createRunV1ThreadsThreadIdRunsPost',
      method: 'POST',
      path: inThread,
      tag,
      summary: 'Runs an assistant on a thread.',
      dialect,
      body: MemgptCreateRun,
      answer: OpenAIRun,
      policy: 'applies',
      headers: ['x-tools-not-run'],
      errors: [
        'active_run_blocks_run',
        'too_many_runs',
        'tokens_spent',
        'unknown_parameter',
        'tool_not_available',
      ],
    },
    async ({ request, reply, policy, params: { thread_id }, body, keep }) => {
      refuseV2Keys('run', body, MemgptCreateRun)
      checkId('assistant', 'assistant_id', body.assistant_id, dialect)
      const additional_instructions = body.additional_instructions ?? null
      const fields = { ...runFields(body), additional_instructions }
      const pending = await newRunOnThread(context, request.principal, thread_id, fields, policy)
      return begin(reply, pending, keep)
    },
  )

  route(
    app,
    {
      id: 'createThreadAndRunV1ThreadsRunsPost',
      method: 'POST',
      path: '/threads/runs',
      tag,
      summary: 'Runs an assistant on the thread with this id, or on a new one if there is none.',
      dialect,
      body: MemgptCreateThreadRun,
      answer: OpenAIRun,
      policy: 'sets',
      headers: ['x-tools-not-run', 'x-thread-policy'],
      errors: [
        'too_many_runs',
        'tokens_spent',
        'not_found',
        'active_run_blocks_run',
        'thread_too_long',
        'thread_queue_full',
        'unknown_parameter',
        'tool_not_available',
      ],
    },
    async ({ request, reply, policy, body, keep }) => {
      refuseV2Keys('run', body, MemgptCreateThreadRun)
      refuseV2Keys('thread', body.thread, MemgptCreateThreadRun.properties.thread, 'thread.')
      checkId('assistant', 'assistant_id', body.assistant_id, dialect)
      const pending = await onThreadOrNew(context, request.principal, body, policy)
      return begin(reply, pending, keep)
    },
  )
}

async function onThreadOrNew(
  context: HttpContext,
  principal: Principal,
  body: MemgptCreateThreadRun,
  policy: ThreadPolicy | null,
): Promise<PendingRun> {
  const { id, messages, metadata } = body.thread
  const known = id ? await getThread(context.store.pool, principal.project, id) : null
  if (known) {
    const additional_messages = messages ?? []
    return newRunOnThread(context, principal, known.id, { ...runFields(body), additional_messages }, policy)
  }
  const thread = { messages: messages ?? [], metadata: metadata ?? {} }
  return newThreadWithRun(context, principal, { ...runFields(body), thread }, policy)
}

function readRoutes(app: FastifyInstance, context: HttpContext): void {
  const { pool } = context.store

  route(
    app,
    {
      id: 'listRunsV1ThreadsThreadIdRunsGet',
      method: 'GET',
      path: inThread,
      tag,
      summary: 'Lists the runs of a thread.',
      dialect,
      query: MemgptPage,
      answer: Type.Array(OpenAIRun),
    },
    async ({ project, params: { thread_id }, query }) => {
      const page = pageOf(query)
      const rows = page ? (await listRuns(pool, project, thread_id, page)).rows : []
      if (rows.length === 0 && !(await getThread(pool, project, thread_id)))
        throw notFound('thread', thread_id)
      const ids = rows.map(({ id }) => id)
      const steps = Map.groupBy(await callStepsOfRuns(pool, project, thread_id, ids), ({ run_id }) => run_id)
      return rows.map((run) => toMemgptRun(run, steps.get(run.id) ?? []))
    },
  )

  route(
    app,
    {
      id: 'retrieveRunV1ThreadsThreadIdRunsRunIdGet',
      method: 'GET',
      path: onRun,
      tag,
      summary: 'Retrieves a run.',
      dialect,
      answer: OpenAIRun,
    },
    async ({ request, reply, project, params }) => {
      const run = await waitForRun(context, runKey(project, params), request, reply)
      if (!run) throw notFound('run', params.run_id)
      return toMemgptRun(run, await callStepsOfRuns(context.store.pool, project, params.thread_id, [run.id]))
    },
  )
}

function changeRoutes(app: FastifyInstance, context: HttpContext): void {
  route(
    app,
    {
      id: 'modifyRunV1ThreadsThreadIdRunsRunIdPost',
      method: 'POST',
      path: onRun,
      tag,
      summary: "Changes a run's metadata.",
      dialect,
      body: MemgptModify,
      answer: OpenAIRun,
    },
    async ({ project, params, body: { metadata }, keep }) => {
      const { thread_id, run_id } = params
      const steps = await callStepsOfRuns(context.store.pool, project, thread_id, [run_id])
      const show = (run: RunRecord) => toMemgptRun(run, steps)
      const run = await changeRunMetadata(context, runKey(project, params), metadata, keep.answer(show))
      if (!run) throw notFound('run', run_id)
      return show(run)
    },
  )

  route(
    app,
    {
      id: 'cancelRunV1ThreadsThreadIdRunsRunIdCancelPost',
      method: 'POST',
      path: `${onRun}/cancel`,
      tag,
      summary: 'Cancels a run that has not ended.',
      dialect,
      answer: OpenAIRun,
      errors: ['run_not_cancellable'],
    },
    async ({ project, params, keep }) =>
      showChanged(await cancelRun(context, runKey(project, params), keep.answer(showChanged))),
  )

  route(
    app,
    {
      id: 'submitToolOutputsToRunV1ThreadsThreadIdRunsRunIdSubmitToolOutputsPost',
      method: 'POST',
      path: `${onRun}/submit_tool_outputs`,
      tag,
      summary: 'Answers the calls that a run waits for.',
      dialect,
      body: MemgptSubmit,
      answer: OpenAIRun,
      errors: ['run_takes_no_outputs', 'outputs_do_not_match', 'unknown_parameter', 'missing_parameter'],
    },
    async ({ project, params, body, keep }) => {
      refuseV2Keys('outputs', body, MemgptSubmit)
      const key = runKey(project, params)
      return showChanged(await submitOutputs(context, key, outputsOf(body), keep.answer(showChanged)))
    },
  )
}

function stepRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'listRunStepsV1ThreadsThreadIdRunsRunIdStepsGet',
      method: 'GET',
      path: `${onRun}/steps`,
      tag,
      summary: 'Lists what a run did.',
      dialect,
      query: MemgptPage,
      answer: Type.Array(OpenAIRunStep),
    },
    async ({ project, params: { thread_id, run_id }, query }) => {
      const page = pageOf(query)
      const rows = page ? (await listSteps(pool, project, thread_id, run_id, page)).rows : []
      if (rows.length === 0 && !(await getRun(pool, project, thread_id, run_id)))
        throw notFound('run', run_id)
      return rows.map(toMemgptStep)
    },
  )

  route(
    app,
    {
      id: 'retrieveRunStepV1ThreadsThreadIdRunsRunIdStepsStepIdGet',
      method: 'GET',
      path: `${onRun}/steps/{step_id}`,
      tag,
      summary: 'Retrieves a step of a run.',
      dialect,
      answer: OpenAIRunStep,
    },
    async ({ project, params: { thread_id, run_id, step_id } }) => {
      const step = await getStep(pool, project, thread_id, run_id, step_id)
      if (!step) throw notFound('run step', step_id)
      return toMemgptStep(step)
    },
  )
}
