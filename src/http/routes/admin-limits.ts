import type { FastifyInstance } from 'fastify'
import {
  KeyLimitsObject,
  ModifyLimits,
  ModifyRetention,
  ProjectLimitsObject,
  RetentionObject,
} from '../../contract/admin-objects.ts'
import { notFound } from '../../contract/errors.ts'
import type { Limits } from '../../contract/limits.ts'
import { changeLimits, getLimits } from '../../store/api-keys.ts'
import { getRetention, setRetention } from '../../store/retention.ts'
import { namedKey } from '../admin-records.ts'
import type { HttpContext } from '../context.ts'
import { route } from '../route.ts'

// What the admin API says of limits and retention. OpenAI's rate limits are of single models, and its retention knows no times: these
// are shapes of our own (docs/decisions/0028).

const tag = 'Administration'
const ofProject = '/organization/projects/{project_id}'
const ofKey = `${ofProject}/api_keys/{key_id}`
const details =
  'What is not sent stays as it is, and null takes a limit back. Servers hold to it within a second.'

export function adminLimitRoutes(app: FastifyInstance, context: HttpContext): void {
  projectLimitRoutes(app, context)
  keyLimitRoutes(app, context)
  retentionRoutes(app, context)
}

function projectLimitRoutes(app: FastifyInstance, { store: { pool }, keys }: HttpContext): void {
  const object = 'organization.project.limits' as const

  route(
    app,
    {
      id: 'retrieveProjectLimits',
      method: 'GET',
      path: `${ofProject}/limits`,
      tag,
      admin: true,
      summary: 'Retrieves what all keys of a project may do together.',
      answer: ProjectLimitsObject,
    },
    async ({ params: { project_id } }) => {
      const limits = await getLimits(pool, project_id, null)
      if (limits === null) throw notFound('project', project_id)
      return { object, ...shown(limits) }
    },
  )

  route(
    app,
    {
      id: 'modifyProjectLimits',
      method: 'POST',
      path: `${ofProject}/limits`,
      tag,
      admin: true,
      summary: 'Bounds what all keys of a project may do together.',
      details,
      body: ModifyLimits,
      answer: ProjectLimitsObject,
    },
    async ({ params: { project_id }, body }) => {
      const limits = await changeLimits(pool, 'project', project_id, body)
      if (limits === null) throw notFound('project', project_id)
      await keys.changed()
      return { object, ...shown(limits) }
    },
  )
}

function keyLimitRoutes(app: FastifyInstance, { store: { pool }, keys }: HttpContext): void {
  const object = 'organization.project.api_key.limits' as const

  route(
    app,
    {
      id: 'retrieveProjectApiKeyLimits',
      method: 'GET',
      path: `${ofKey}/limits`,
      tag,
      admin: true,
      summary: 'Retrieves what a key may do.',
      answer: KeyLimitsObject,
    },
    async ({ params: { project_id, key_id } }) => {
      const limits = await getLimits(pool, project_id, key_id)
      if (limits === null) throw notFound('API key', key_id)
      return { object, ...shown(limits) }
    },
  )

  route(
    app,
    {
      id: 'modifyProjectApiKeyLimits',
      method: 'POST',
      path: `${ofKey}/limits`,
      tag,
      admin: true,
      summary: 'Bounds what a key may do, within what its project may.',
      details,
      body: ModifyLimits,
      answer: KeyLimitsObject,
    },
    async ({ params: { project_id, key_id }, body }) => {
      await namedKey(pool, project_id, key_id)
      const limits = await changeLimits(pool, 'key', key_id, body)
      await keys.changed()
      return { object, ...shown(limits ?? {}) }
    },
  )
}

function retentionRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  const object = 'organization.project.thread_retention' as const

  route(
    app,
    {
      id: 'retrieveThreadRetention',
      method: 'GET',
      path: `${ofProject}/thread_retention`,
      tag,
      admin: true,
      summary: 'Retrieves how long a project keeps threads that are not active any more.',
      answer: RetentionObject,
    },
    async ({ params: { project_id } }) => {
      const seconds = await getRetention(pool, project_id)
      if (seconds === undefined) throw notFound('project', project_id)
      return { object, seconds }
    },
  )

  route(
    app,
    {
      id: 'modifyThreadRetention',
      method: 'POST',
      path: `${ofProject}/thread_retention`,
      tag,
      admin: true,
      summary: 'Says how long a project keeps threads that are not active any more.',
      details: 'What is too old is deleted for good within minutes, with all that is in it but files.',
      body: ModifyRetention,
      answer: RetentionObject,
    },
    async ({ params: { project_id }, body: { seconds } }) => {
      if (!(await setRetention(pool, project_id, seconds))) throw notFound('project', project_id)
      return { object, seconds }
    },
  )
}

/** All limits, those that there are not as null. */
function shown(limits: Limits) {
  const { requests_per_minute = null, concurrent_runs = null, tokens_per_day = null } = limits
  const { body_bytes = null, thread_messages = null } = limits
  return { requests_per_minute, concurrent_runs, tokens_per_day, body_bytes, thread_messages }
}
