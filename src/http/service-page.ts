import type { TSchema } from 'typebox'

// Routes that are not the API itself: pages for people and health for machines.

/** What /openapi.json tells of such a route. */
export interface ServicePage {
  id: string
  summary: string
  answers: Record<number, ServiceAnswer>
  /** Tells of all projects: where keys are asked for it is for those of the project `default`, the operator's own. */
  forOperators?: boolean
}

export interface ServiceAnswer {
  description: string
  /** Its media type. */
  type: string
  schema: TSchema
}

declare module 'fastify' {
  interface FastifyContextConfig {
    page?: ServicePage
  }
}
