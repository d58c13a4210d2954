import { keyFault, modelsFault, urlFault, type EndpointChange } from '../contract/model-endpoint.ts'
import { changeEndpoint, getEndpoint, NoSecretsKey, type ProjectEndpoint } from '../store/project-models.ts'
import { exitCodes, Failure, type Call } from './command.ts'
import { noProject, onDatabase, table } from './keys.ts'

// `threadmill projects model`.

export async function setProjectModel(call: Call): Promise<number> {
  const [id = ''] = call.args
  const change = changeOf(call)
  const endpoint = await onDatabase(call, async (pool, { secretsKey }) => {
    if (Object.keys(change).length === 0) return getEndpoint(pool, id)
    return changeEndpoint(pool, id, change, secretsKey).catch((error: unknown) => {
      throw error instanceof NoSecretsKey ? new Failure(exitCodes.config, error.message) : error
    })
  })
  call.output.out(table(rowsOf(endpoint ?? noProject(id))))
  return exitCodes.done
}

function rowsOf({ model_url, has_key, models }: ProjectEndpoint): string[][] {
  return [
    ['endpoint', model_url ?? "the server's"],
    ['key', has_key ? 'its own' : model_url === null ? "the server's" : 'none'],
    ['models', models?.join(', ') ?? 'any'],
  ]
}

function changeOf({ options, env }: Call): EndpointChange {
  const { url, 'key-from': variable, models, clear } = options
  const change: EndpointChange = clear ? { url: null, key: null, models: null } : {}
  if (url !== undefined) change.url = checked('url', String(url), urlFault(String(url)))
  if (variable !== undefined) change.key = keyIn(String(variable), env)
  if (models !== undefined) change.models = modelsOf(String(models))
  return change
}

function modelsOf(text: string): string[] | null {
  if (text.trim() === '*') return null
  const names = [...new Set(text.split(',').map((name) => name.trim()))]
  return checked('models', names, modelsFault(names))
}

function checked<T>(option: string, value: T, fault: string | null): T {
  if (fault === null) return value
  throw new Failure(exitCodes.usage, `--${option} ${fault}`)
}

/** The key that a variable holds: what stands among the words of a command can be read by others on the machine. */
function keyIn(variable: string, env: Call['env']): string {
  const key = env[variable]?.trim()
  const fault = key ? keyFault(key) : 'is not set.'
  if (key && fault === null) return key
  throw new Failure(
    exitCodes.usage,
    `--key-from names an environment variable, and "${variable.slice(0, 100)}" ${fault}`,
  )
}
