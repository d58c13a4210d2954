import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import {
  CreateKey,
  CreateProject,
  EndpointObject,
  ModifyEndpoint,
  ModifyKey,
  NewProjectKeyObject,
  ProjectKeyObject,
  ProjectObject,
  RotateKey,
} from '../../contract/admin-objects.ts'
import { hmacOf, newApiKey, prefixOf } from '../../contract/api-keys.ts'
import { ApiError, notFound } from '../../contract/errors.ts'
import { newId } from '../../contract/ids.ts'
import { keyFault, modelsFault, urlFault } from '../../contract/model-endpoint.ts'
import { Deleted } from '../../contract/objects.ts'
import { ListObject, PageQuery, toList } from '../../contract/paging.ts'
import {
  expireApiKey,
  insertApiKey,
  insertProject,
  listApiKeys,
  listProjects,
  revokeApiKey,
  rotateApiKey,
  type ApiKeyRecord,
  type ProjectRecord,
} from '../../store/api-keys.ts'
import {
  changeEndpoint,
  getEndpoint,
  NoSecretsKey,
  type ProjectEndpoint,
} from '../../store/project-models.ts'
import { namedKey, namedProject } from '../admin-records.ts'
import type { HttpContext } from '../context.ts'
import { pageAmong } from '../file-actions.ts'
import { route } from '../route.ts'
import { adminLimitRoutes } from './admin-limits.ts'

// The admin API, near to OpenAI's own: projects, their keys, model endpoints and limits. It is there if ADMIN_KEY is set, and for
// whoever has that key alone.

const tag = 'Administration'
const ofProject = '/organization/projects/{project_id}'
const ofKey = `${ofProject}/api_keys/{key_id}`
/** Seconds for which a key that was rotated stays valid, unless said. */
const grace = 86_400

export function adminRoutes(app: FastifyInstance, context: HttpContext): void {
  if (context.adminKey === null) return
  projectRoutes(app, context)
  keyRoutes(app, context)
  keyByIdRoutes(app, context)
  endpointRoutes(app, context)
  adminLimitRoutes(app, context)
}

function projectRoutes(app: FastifyInstance, { store: { pool } }: HttpContext): void {
  route(
    app,
    {
      id: 'listProjects',
      method: 'GET',
      path: '/organization/projects',
      tag,
      admin: true,
      summary: 'Lists the projects.',
      query: PageQuery,
      answer: ListObject(ProjectObject),
    },
    async ({ query }) => listOf((await listProjects(pool)).map(toProject), query),
  )

  route(
    app,
    {
      id: 'createProject',
      method: 'POST',
      path: '/organization/projects',
      tag,
      admin: true,
      summary: 'Makes a project: its keys see nothing of what others hold.',
      body: CreateProject,
      answer: ProjectObject,
      errors: ['project_exists'],
    },
    async ({ body: { name, id = `proj-${randomBytes(10).toString('hex')}` } }) => {
      const project = await insertProject(pool, id, name)
      if (project === null) throw new ApiError('project_exists', `There is a project '${id}' already.`, 'id')
      return toProject(project)
    },
  )

  route(
    app,
    {
      id: 'retrieveProject',
      method: 'GET',
      path: ofProject,
      tag,
      admin: true,
      summary: 'Retrieves a project.',
      answer: ProjectObject,
    },
    async ({ params: { project_id } }) => toProject(await namedProject(pool, project_id)),
  )
}

function keyRoutes(app: FastifyInstance, context: HttpContext): void {
  const { pool } = context.store

  route(
    app,
    {
      id: 'listProjectApiKeys',
      method: 'GET',
      path: `${ofProject}/api_keys`,
      tag,
      admin: true,
      summary: 'Lists the keys of a project, those that are not valid any more among them.',
      query: PageQuery,
      answer: ListObject(ProjectKeyObject),
    },
    async ({ params: { project_id }, query }) => {
      await namedProject(pool, project_id)
      return listOf((await listApiKeys(pool, project_id)).map(toKey), query)
    },
  )

  route(
    app,
    {
      id: 'createProjectApiKey',
      method: 'POST',
      path: `${ofProject}/api_keys`,
      tag,
      admin: true,
      summary: 'Makes a key, and shows it this once.',
      body: CreateKey,
      answer: NewProjectKeyObject,
    },
    async ({ params: { project_id }, body: { name = '', expires_in_seconds = null } }) => {
      const { value, stored } = made(context)
      const key = await insertApiKey(pool, project_id, { ...stored, name }, expires_in_seconds)
      if (key === null) throw notFound('project', project_id)
      await context.keys.changed()
      return { ...toKey(key), value }
    },
  )

  route(
    app,
    {
      id: 'rotateProjectApiKey',
      method: 'POST',
      path: `${ofKey}/rotate`,
      tag,
      admin: true,
      summary: 'Makes a key that takes the place of another, which stays valid for a while.',
      body: RotateKey,
      answer: NewProjectKeyObject,
    },
    async ({ params: { project_id, key_id }, body: { grace_seconds = grace } }) => {
      await namedKey(pool, project_id, key_id)
      const { value, stored } = made(context)
      const key = await rotateApiKey(pool, key_id, stored, grace_seconds)
      if (key === null) throw notFound('API key', key_id)
      await context.keys.changed()
      return { ...toKey(key), value }
    },
  )
}

function keyByIdRoutes(app: FastifyInstance, { store: { pool }, keys }: HttpContext): void {
  route(
    app,
    {
      id: 'retrieveProjectApiKey',
      method: 'GET',
      path: ofKey,
      tag,
      admin: true,
      summary: 'Retrieves a key, but not its value.',
      answer: ProjectKeyObject,
    },
    async ({ params: { project_id, key_id } }) => toKey(await namedKey(pool, project_id, key_id)),
  )

  route(
    app,
    {
      id: 'modifyProjectApiKey',
      method: 'POST',
      path: ofKey,
      tag,
      admin: true,
      summary: 'Lets a key expire, sooner than it does anyway.',
      body: ModifyKey,
      answer: ProjectKeyObject,
    },
    async ({ params: { project_id, key_id }, body }) => {
      const key = await namedKey(pool, project_id, key_id)
      const changed = await expireApiKey(pool, key_id, body.expires_in_seconds)
      await keys.changed()
      return toKey(changed ?? key)
    },
  )

  route(
    app,
    {
      id: 'deleteProjectApiKey',
      method: 'DELETE',
      path: ofKey,
      tag,
      admin: true,
      summary: 'Revokes a key for good; what is under way for it breaks off.',
      answer: Deleted('organization.project.api_key.deleted'),
    },
    async ({ params: { project_id, key_id: id } }) => {
      await namedKey(pool, project_id, id)
      await revokeApiKey(pool, id)
      await keys.changed()
      return { id, object: 'organization.project.api_key.deleted' as const, deleted: true as const }
    },
  )
}

function endpointRoutes(app: FastifyInstance, { store: { pool }, secretsKey, keys }: HttpContext): void {
  route(
    app,
    {
      id: 'retrieveModelEndpoint',
      method: 'GET',
      path: `${ofProject}/model_endpoint`,
      tag,
      admin: true,
      summary: 'Retrieves which model endpoint a project uses, but not its key.',
      answer: EndpointObject,
    },
    async ({ params: { project_id } }) => toEndpoint(project_id, await getEndpoint(pool, project_id)),
  )

  route(
    app,
    {
      id: 'modifyModelEndpoint',
      method: 'POST',
      path: `${ofProject}/model_endpoint`,
      tag,
      admin: true,
      summary: 'Sets which model endpoint a project uses, its key, and which models it may use.',
      details: 'What is not sent stays as it is. A new `base_url` without an `api_key` has no key.',
      body: ModifyEndpoint,
      answer: EndpointObject,
      errors: ['secrets_key_missing'],
    },
    async ({ params: { project_id }, body: { base_url: url, api_key: key, models } }) => {
      const refuse = (param: string, fault: string | null) => {
        if (fault !== null) throw new ApiError('invalid_value', `Invalid '${param}': it ${fault}`, param)
      }
      refuse('base_url', url ? urlFault(url) : null)
      refuse('api_key', key ? keyFault(key) : null)
      refuse('models', models ? modelsFault(models) : null)
      const changed = changeEndpoint(pool, project_id, { url, key, models }, secretsKey)
      const endpoint = await changed.catch((error: unknown) => {
        throw error instanceof NoSecretsKey ? new ApiError('secrets_key_missing', error.message) : error
      })
      await keys.changed()
      return toEndpoint(project_id, endpoint)
    },
  )
}

function made({ keysSecret }: HttpContext) {
  const value = newApiKey()
  return { value, stored: { id: newId('key'), prefix: prefixOf(value), hmac: hmacOf(value, keysSecret) } }
}

function toProject({ id, name, created_at }: ProjectRecord): ProjectObject {
  return { id, object: 'organization.project', name, created_at, archived_at: null, status: 'active' }
}

function toKey({ project_id: _, prefix, ...key }: ApiKeyRecord): ProjectKeyObject {
  return { ...key, object: 'organization.project.api_key', redacted_value: `${prefix}...` }
}

function toEndpoint(id: string, endpoint: ProjectEndpoint | null): EndpointObject {
  if (endpoint === null) throw notFound('project', id)
  const { model_url: base_url, has_key: has_api_key, models } = endpoint
  return { object: 'organization.project.model_endpoint', base_url, has_api_key, models }
}

function listOf<T extends { id: string }>(rows: T[], query: PageQuery) {
  const page = pageAmong(rows, query)
  return toList(page.rows, page.hasMore)
}
