import type pg from 'pg'
import { notFound } from '../contract/errors.ts'
import { getApiKey, listProjects, type ApiKeyRecord, type ProjectRecord } from '../store/api-keys.ts'

// What the admin API names, or the error that it is not there.

/** A project. Throws ApiError if there is none of this id. */
export async function namedProject(pool: pg.Pool, id: string): Promise<ProjectRecord> {
  const project = (await listProjects(pool)).find((one) => one.id === id)
  if (!project) throw notFound('project', id)
  return project
}

/** A key of a project. Throws ApiError if the project has none of this id. */
export async function namedKey(pool: pg.Pool, project: string, id: string): Promise<ApiKeyRecord> {
  const key = await getApiKey(pool, project, id)
  if (key === null) throw notFound('API key', id)
  return key
}
