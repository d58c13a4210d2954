import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { notFound } from '../../contract/errors.ts'
import { RunStepObject } from '../../contract/objects.ts'
import { ListObject, PageQuery, RunStepInclude, toList } from '../../contract/paging.ts'
import { toStep } from '../../domain/to-wire.ts'
import { getRun } from '../../store/runs.ts'
import { getStep, listSteps } from '../../store/steps.ts'
import type { HttpContext } from '../context.ts'
import { route } from '../route.ts'

const tag = 'Run steps'

export function stepRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store

  route(
    app,
    {
      id: 'listRunSteps',
      method: 'GET',
      path: '/threads/{thread_id}/runs/{run_id}/steps',
      tag,
      summary: 'Lists what a run did.',
      query: Type.Object({ ...PageQuery.properties, ...RunStepInclude.properties }),
      answer: ListObject(RunStepObject),
    },
    async ({ project, params: { thread_id, run_id }, query }) => {
      const { rows, hasMore } = await listSteps(pool, project, thread_id, run_id, query)
      if (rows.length === 0 && !(await getRun(pool, project, thread_id, run_id)))
        throw notFound('run', run_id)
      return toList(rows.map(toStep), hasMore)
    },
  )

  route(
    app,
    {
      id: 'getRunStep',
      method: 'GET',
      path: '/threads/{thread_id}/runs/{run_id}/steps/{step_id}',
      tag,
      summary: 'Retrieves a step of a run.',
      query: RunStepInclude,
      answer: RunStepObject,
    },
    async ({ project, params: { thread_id, run_id, step_id } }) => {
      const step = await getStep(pool, project, thread_id, run_id, step_id)
      if (!step) throw notFound('run step', step_id)
      return toStep(step)
    },
  )
}
