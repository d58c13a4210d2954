import type { FastifyInstance } from 'fastify'
import { ApiError, notFound } from '../../contract/errors.ts'
import { reasonOf } from '../../log.ts'
import type { HttpContext, ModelEntry } from '../context.ts'

const listTimeoutMs = 10_000

/** GET /v1/models passes the backend's list on, with the built-in demo model. */
export function modelRoutes(app: FastifyInstance, context: HttpContext): void {
  const list = async (): Promise<ModelEntry[]> => {
    try {
      return await context.listModels(AbortSignal.timeout(listTimeoutMs))
    } catch (error) {
      throw new ApiError(
        'model_unreachable',
        `The model endpoint did not list its models: ${reasonOf(error)}`,
      )
    }
  }

  app.get('/v1/models', async () => ({ object: 'list', data: await list() }))

  app.get<{ Params: { model: string } }>('/v1/models/:model', async ({ params }) => {
    const model = (await list()).find((entry) => entry.id === params.model)
    if (!model) throw notFound('model', params.model)
    return model
  })
}
