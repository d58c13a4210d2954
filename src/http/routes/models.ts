import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { ApiError, notFound } from '../../contract/errors.ts'
import { ModelObject } from '../../contract/objects.ts'
import { Literals } from '../../contract/schema.ts'
import { reasonOf } from '../../log.ts'
import type { HttpContext } from '../context.ts'
import { route } from '../route.ts'

const listTimeoutMs = 10_000
const tag = 'Models'

/** GET /v1/models passes the backend's list on, with the built-in demo model. */
export function modelRoutes(app: FastifyInstance, context: HttpContext): void {
  const list = async (project: string): Promise<ModelObject[]> => {
    try {
      return await context.listModels(project, AbortSignal.timeout(listTimeoutMs))
    } catch (error) {
      throw new ApiError(
        'model_unreachable',
        `The model endpoint did not list its models: ${reasonOf(error)}`,
      )
    }
  }

  route(
    app,
    {
      id: 'listModels',
      method: 'GET',
      path: '/models',
      tag,
      summary: 'Lists what the model endpoint offers, and the built-in demo model.',
      answer: Type.Object({ object: Literals('list'), data: Type.Array(ModelObject) }),
      errors: ['model_unreachable'],
    },
    async ({ project }) => ({ object: 'list' as const, data: await list(project) }),
  )

  route(
    app,
    {
      id: 'retrieveModel',
      method: 'GET',
      path: '/models/{model}',
      tag,
      summary: 'Retrieves one model of that list.',
      answer: ModelObject,
      errors: ['model_unreachable'],
    },
    async ({ project, params }) => {
      const model = (await list(project)).find((entry) => entry.id === params.model)
      if (!model) throw notFound('model', params.model)
      return model
    },
  )
}
