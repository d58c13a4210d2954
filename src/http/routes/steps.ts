import type { FastifyInstance } from 'fastify'
import { notFound } from '../../contract/errors.ts'
import { toList } from '../../contract/paging.ts'
import { toStep } from '../../domain/to-wire.ts'
import { getRun } from '../../store/runs.ts'
import { getStep, listSteps } from '../../store/steps.ts'
import { projectOf, type HttpContext } from '../context.ts'
import { pageQuery, pathId, type Query } from '../query.ts'

interface InRun {
  Params: { thread_id: string; run_id: string }
}
interface OneStep {
  Params: { thread_id: string; run_id: string; step_id: string }
}

export function stepRoutes(app: FastifyInstance, { store }: HttpContext): void {
  const { pool } = store
  const threadOf = (params: InRun['Params']) => pathId('thread', 'thread_id', params.thread_id)
  const runOf = (params: InRun['Params']) => pathId('run', 'run_id', params.run_id)

  app.get<InRun & { Querystring: Query }>('/v1/threads/:thread_id/runs/:run_id/steps', async (request) => {
    const [thread, run] = [threadOf(request.params), runOf(request.params)]
    const project = projectOf(request)
    const { rows, hasMore } = await listSteps(pool, project, thread, run, pageQuery(request.query))
    if (rows.length === 0 && !(await getRun(pool, project, thread, run))) throw notFound('run', run)
    return toList(rows.map(toStep), hasMore)
  })

  app.get<OneStep>('/v1/threads/:thread_id/runs/:run_id/steps/:step_id', async (request) => {
    const [thread, run] = [threadOf(request.params), runOf(request.params)]
    const id = pathId('step', 'step_id', request.params.step_id)
    const step = await getStep(pool, projectOf(request), thread, run, id)
    if (!step) throw notFound('run step', id)
    return toStep(step)
  })
}
