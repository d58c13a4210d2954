import type pg from 'pg'
import { openAiUrl, type EndpointChange } from '../contract/model-endpoint.ts'
import { seal, sealingKey, unseal } from '../contract/sealed.ts'
import { accessChanged } from './api-keys.ts'
import { inTransaction, query } from './pool.ts'

// The model endpoints of projects (sql/0012). A change is seen by servers as a change of keys is.

/** What is told of it: the key never is. */
export interface ProjectEndpoint {
  id: string
  model_url: string | null
  has_key: boolean
  models: string[] | null
}

interface Row {
  id: string
  model_url: string | null
  /** Sealed. */
  model_key: string | null
  models: string[] | null
}

/** An endpoint as it is used. */
export interface ModelSettings extends Omit<Row, 'model_key'> {
  /** Undefined: it has one, which cannot be read with this SECRETS_KEY. */
  key: string | null | undefined
}

const allText = `
select id, model_url, model_key, models from projects where model_url is not null or models is not null order by id`

const selectText = 'select id, model_url, model_key, models from projects where id = $1'

const lockText = `${selectText} for update`

const updateText = 'update projects set model_url = $2, model_key = $3, models = $4 where id = $1'

/** What a key is sealed for: no other project can use it, and no other host gets it. */
const useOf = (project: string, url: string | null) => `model key of ${project} for ${url ?? ''}`

/** Of all projects that do not simply use the server's endpoint. */
export async function modelSettings(pool: pg.Pool, secretsKey: string | null): Promise<ModelSettings[]> {
  const key = secretsKey === null ? null : sealingKey(secretsKey)
  const rows = await query<Row>(pool, 'models_of_projects', allText, [])
  return rows.map(({ model_key: sealed, ...row }) => {
    if (sealed === null) return { ...row, key: null }
    return { ...row, key: (key && unseal(key, sealed, useOf(row.id, row.model_url))) ?? undefined }
  })
}

/** The endpoint of a project; null if there is no such project. */
export async function getEndpoint(pool: pg.Pool, project: string): Promise<ProjectEndpoint | null> {
  const [row] = await query<Row>(pool, 'models_of_project', selectText, [project])
  return row ? shown(row) : null
}

function shown({ model_key, ...row }: Row): ProjectEndpoint {
  return { ...row, has_key: model_key !== null }
}

/**
 * Changes the endpoint of a project; null if there is no such project. A key goes to the URL that it was given with and to no
 * other: a new URL without a key has none. Throws NoSecretsKey for a key that cannot be sealed.
 */
export async function changeEndpoint(
  pool: pg.Pool,
  project: string,
  change: EndpointChange,
  secretsKey: string | null,
): Promise<ProjectEndpoint | null> {
  if (change.key && secretsKey === null) throw new NoSecretsKey()
  const key = secretsKey === null ? null : sealingKey(secretsKey)
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<Row>(lockText, [project])
    const [now] = rows
    if (!now) return null
    const next = changed(now, change, key)
    const models = next.models && JSON.stringify(next.models)
    await client.query(updateText, [project, next.model_url, next.model_key, models])
    await accessChanged(client)
    return shown(next)
  })
}

function changed(
  now: Row,
  { url, key: secret, models = now.models }: EndpointChange,
  key: Buffer | null,
): Row {
  const { id } = now
  const kept = url === undefined ? now.model_url : url
  const model_url = secret ? (kept ?? openAiUrl) : kept
  if (secret && key) return { id, model_url, model_key: seal(key, secret, useOf(id, model_url)), models }
  const isKept = secret === undefined && model_url === now.model_url
  return { id, model_url, model_key: isKept ? now.model_key : null, models }
}

/** There is a key to be stored, and no SECRETS_KEY to seal it with. */
export class NoSecretsKey extends Error {
  constructor() {
    super(
      'A key is stored sealed, and SECRETS_KEY is not set. Set it to 32 random characters or more, the same for all servers and commands.',
    )
  }
}
