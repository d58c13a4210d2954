import type pg from 'pg'
import type { Limits, LimitsChange } from '../contract/limits.ts'
import { inTransaction, query } from './pool.ts'

// Projects, and the keys that let clients into them (sql/0009). Each change of keys changes access_version in the same commit.

export interface ProjectRecord {
  id: string
  name: string
  created_at: number
  /** Seconds; 0 is for ever, null is as RETAIN_THREADS_FOR says. */
  retain_threads_for: number | null
}

export interface ApiKeyRecord {
  id: string
  project_id: string
  name: string
  prefix: string
  created_at: number
  /** Unix seconds, as all times; it is valid before. */
  expires_at: number | null
  revoked_at: number | null
  last_used_at: number | null
}

/** A key as it is written. */
export interface NewApiKey {
  id: string
  name: string
  prefix: string
  hmac: string
}

/** A key as it is checked. */
export interface ValidKey {
  id: string
  project_id: string
  hmac: string
  expires_at: number | null
  limits: Limits
}

const columns = 'id, project_id, name, prefix, created_at, expires_at, revoked_at, last_used_at'

const insertText = `
insert into api_keys (id, project_id, name, prefix, hmac, created_at, expires_at)
select $1, id, $3, $4, $5, floor(threadmill_now())::bigint, floor(threadmill_now())::bigint + $6::bigint
from projects where id = $2
returning ${columns}`

const changedText = 'update access_version set version = version + 1'

const listText = `select ${columns} from api_keys where project_id = $1 order by seq`

const lockText = `select ${columns} from api_keys where id = $1 for update`

const expireText = `
update api_keys set expires_at = case when revoked_at is null
  then least(expires_at, floor(threadmill_now())::bigint + $2::bigint) else expires_at end
where id = $1 returning ${columns}`

const revokeText = `
update api_keys set revoked_at = coalesce(revoked_at, floor(threadmill_now())::bigint)
where id = $1 returning ${columns}`

const inheritText = 'update api_keys set limits = (select limits from api_keys where id = $2) where id = $1'

/** Tells all servers that keys, or what else goes by this number, have changed: part of each such transaction. */
export async function accessChanged(client: pg.ClientBase): Promise<void> {
  await client.query(changedText)
}

/** Writes a key; null if there is no such project. `expiresIn` in seconds, null for never. */
export async function insertApiKey(
  pool: pg.Pool,
  project: string,
  key: NewApiKey,
  expiresIn: number | null,
): Promise<ApiKeyRecord | null> {
  return inTransaction(pool, (client) => insertIn(client, project, key, expiresIn))
}

async function insertIn(
  client: pg.ClientBase,
  project: string,
  { id, name, prefix, hmac }: NewApiKey,
  expiresIn: number | null,
): Promise<ApiKeyRecord | null> {
  const values = [id, project, name, prefix, hmac, expiresIn]
  const { rows } = await client.query<ApiKeyRecord>(insertText, values)
  await accessChanged(client)
  return rows[0] ?? null
}

/** The keys of a project, valid or not, in the order in which they were made. */
export async function listApiKeys(pool: pg.Pool, project: string): Promise<ApiKeyRecord[]> {
  return query<ApiKeyRecord>(pool, 'list_api_keys', listText, [project])
}

/** A key of a project, valid or not; null if there is none of this id. */
export async function getApiKey(pool: pg.Pool, project: string, id: string): Promise<ApiKeyRecord | null> {
  const text = `select ${columns} from api_keys where id = $1 and project_id = $2`
  return (await query<ApiKeyRecord>(pool, 'get_api_key', text, [id, project]))[0] ?? null
}

/**
 * Puts a new key with the same limits in the place of one, which stays valid for `grace` seconds, or less if it expires before.
 * Answers the new one; null if there is no such key, or it was revoked.
 */
export async function rotateApiKey(
  pool: pg.Pool,
  id: string,
  fresh: Omit<NewApiKey, 'name'>,
  grace: number,
): Promise<ApiKeyRecord | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<ApiKeyRecord>(lockText, [id])
    const [old] = rows
    if (!old || old.revoked_at !== null) return null
    await client.query(expireText, [id, grace])
    const made = await insertIn(client, old.project_id, { ...fresh, name: old.name }, null)
    await client.query(inheritText, [fresh.id, id])
    return made
  })
}

/** Lets a key expire in `seconds`, or sooner if it does anyway; one that is revoked stays as it is. Null if there is no such key. */
export async function expireApiKey(pool: pg.Pool, id: string, seconds: number): Promise<ApiKeyRecord | null> {
  return changeKey(pool, expireText, [id, seconds])
}

/** Revokes a key for good; null if there is no such key. */
export async function revokeApiKey(pool: pg.Pool, id: string): Promise<ApiKeyRecord | null> {
  return changeKey(pool, revokeText, [id])
}

async function changeKey(pool: pg.Pool, text: string, values: unknown[]): Promise<ApiKeyRecord | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<ApiKeyRecord>(text, values)
    await accessChanged(client)
    return rows[0] ?? null
  })
}

/** A number that changes with each change of keys. */
export async function accessVersion(pool: pg.Pool): Promise<number> {
  const rows = await query<{ version: number }>(
    pool,
    'access_version',
    'select version from access_version',
    [],
  )
  return rows[0]?.version ?? 0
}

/** Whether there is any key, be it valid or not. */
export async function hasApiKeys(pool: pg.Pool): Promise<boolean> {
  return (await query(pool, 'has_api_keys', 'select from api_keys limit 1', [])).length > 0
}

const validText = `
select id, project_id, hmac, expires_at, limits from api_keys
where revoked_at is null and (expires_at is null or expires_at > threadmill_now())`

/** All keys that are valid now. */
export async function validApiKeys(pool: pg.Pool): Promise<ValidKey[]> {
  return query<ValidKey>(pool, 'valid_api_keys', validText, [])
}

/** The projects that have limits. */
export async function limitedProjects(pool: pg.Pool): Promise<{ id: string; limits: Limits }[]> {
  return query(pool, 'limited_projects', "select id, limits from projects where limits <> '{}'", [])
}

const limitProjectText =
  'update projects set limits = jsonb_strip_nulls(limits || $2) where id = $1 returning limits'
const limitKeyText =
  'update api_keys set limits = jsonb_strip_nulls(limits || $2) where id = $1 returning limits'

const limitsOfProjectText = 'select limits from projects where id = $1'
const limitsOfKeyText = 'select limits from api_keys where id = $1 and project_id = $2'

/** Changes limits of a project, or of a key, and answers all that it has; null if there is no such thing. */
export async function changeLimits(
  pool: pg.Pool,
  of: 'project' | 'key',
  id: string,
  change: LimitsChange,
): Promise<Limits | null> {
  return inTransaction(pool, async (client) => {
    const text = of === 'project' ? limitProjectText : limitKeyText
    const { rows } = await client.query<{ limits: Limits }>(text, [id, JSON.stringify(change)])
    await client.query(changedText)
    return rows[0]?.limits ?? null
  })
}

/** The limits of a project, or of a key of it; null if there is no such thing. */
export async function getLimits(pool: pg.Pool, project: string, key: string | null): Promise<Limits | null> {
  const rows =
    key === null
      ? await query<{ limits: Limits }>(pool, 'limits_of_project', limitsOfProjectText, [project])
      : await query<{ limits: Limits }>(pool, 'limits_of_api_key', limitsOfKeyText, [key, project])
  return rows[0]?.limits ?? null
}

/** Notes that keys were used. */
export async function touchApiKeys(pool: pg.Pool, ids: string[]): Promise<void> {
  const text = 'update api_keys set last_used_at = floor(threadmill_now())::bigint where id = any($1)'
  await query(pool, 'touch_api_keys', text, [ids])
}

/** Makes a project; null if its id is taken. */
export async function insertProject(pool: pg.Pool, id: string, name: string): Promise<ProjectRecord | null> {
  const text = `insert into projects (id, name, created_at) values ($1, $2, floor(threadmill_now())::bigint)
    on conflict do nothing returning id, name, created_at, retain_threads_for`
  return (await query<ProjectRecord>(pool, 'insert_project', text, [id, name]))[0] ?? null
}

/** All projects, in the order in which they were made. */
export async function listProjects(pool: pg.Pool): Promise<ProjectRecord[]> {
  const text = 'select id, name, created_at, retain_threads_for from projects order by created_at, id'
  return query<ProjectRecord>(pool, 'list_projects', text, [])
}
