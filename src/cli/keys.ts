import { nameFault, projectId } from '../contract/admin-objects.ts'
import { hmacOf, newApiKey, prefixOf } from '../contract/api-keys.ts'
import { newId } from '../contract/ids.ts'
import { readConfig, type Config } from '../config.ts'
import { createLog } from '../log.ts'
import {
  expireApiKey,
  insertApiKey,
  insertProject,
  listApiKeys,
  listProjects,
  revokeApiKey,
  rotateApiKey,
  type ApiKeyRecord,
} from '../store/api-keys.ts'
import { migrate } from '../store/migrate.ts'
import { setRetention } from '../store/retention.ts'
import { createPool } from '../store/pool.ts'
import { exitCodes, Failure, type Call } from './command.ts'
import { besideOrWithoutServers } from './own-database.ts'

// `threadmill keys ...` and `threadmill projects ...`.

type Pool = ReturnType<typeof createPool>

/** Works on the database of the settings, which is made if there is none yet: keys may come before the first start. */
export async function onDatabase<T>(
  { env }: Call,
  work: (pool: Pool, config: Config) => Promise<T>,
): Promise<T> {
  const config = readConfig(env)
  return besideOrWithoutServers(config, async (connection) => {
    await migrate(connection)
    const bounds = { statement: 8_000, lock: 4_000, dead: 1_000 }
    const pool = createPool(connection, { max: 1, name: 'keys', log: createLog(config.logLevel), bounds })
    try {
      return await work(pool, config)
    } finally {
      await pool.end()
    }
  })
}

/** A new key, and what is stored of it. */
function made(config: Config) {
  const key = newApiKey()
  return { key, stored: { id: newId('key'), prefix: prefixOf(key), hmac: hmacOf(key, config.keysSecret) } }
}

export async function createKey(call: Call): Promise<number> {
  const { project = 'default', name, 'expires-in': expiresIn } = call.options
  if (name !== undefined) refuseName('--name', String(name))
  const seconds = expiresIn === undefined ? null : secondsOf('--expires-in', String(expiresIn))
  const { key, record } = await onDatabase(call, async (pool, config) => {
    const { key, stored } = made(config)
    const record = await insertApiKey(pool, String(project), { ...stored, name: String(name ?? '') }, seconds)
    return { key, record }
  })
  if (record === null) {
    const text = `there is no project "${String(project)}". \`threadmill projects create ${String(project)}\` makes one.`
    throw new Failure(exitCodes.noInput, text)
  }
  return show(call, key, record)
}

function show({ output }: Call, key: string, record: ApiKeyRecord): number {
  output.out(`${key}\n`)
  output.err(
    `That is ${record.id}, a key of the project ${record.project_id}. It is shown this once: only an HMAC of it is stored.\n`,
  )
  return exitCodes.done
}

export async function listKeys(call: Call): Promise<number> {
  const project = String(call.options['project'] ?? 'default')
  const keys = await onDatabase(call, async (pool) => {
    if (!(await listProjects(pool)).some(({ id }) => id === project)) noProject(project)
    return listApiKeys(pool, project)
  })
  const rows = keys.map((key) => [
    key.id,
    `${key.prefix}...`,
    key.name,
    timeOf(key.created_at),
    key.expires_at === null ? 'never' : timeOf(key.expires_at),
    key.last_used_at === null ? 'never' : timeOf(key.last_used_at),
    key.revoked_at === null ? '' : `revoked ${timeOf(key.revoked_at)}`,
  ])
  call.output.out(table([['ID', 'KEY', 'NAME', 'MADE', 'EXPIRES', 'LAST USED', ''], ...rows]))
  return exitCodes.done
}

export async function rotateKey(call: Call): Promise<number> {
  const [id = ''] = call.args
  const grace = secondsOf('--grace', String(call.options['grace'] ?? '24h'))
  const { key, record } = await onDatabase(call, async (pool, config) => {
    const { key, stored } = made(config)
    return { key, record: await rotateApiKey(pool, id, stored, grace) }
  })
  return show(call, key, record ?? missing(id))
}

export async function expireKey(call: Call): Promise<number> {
  const [id = ''] = call.args
  const seconds = secondsOf('--in', String(call.options['in'] ?? '0m'))
  const key = (await onDatabase(call, (pool) => expireApiKey(pool, id, seconds))) ?? missing(id)
  if (key.revoked_at !== null)
    throw new Failure(exitCodes.refused, `${id} is revoked, and so not valid any more.`)
  call.output.err(`${id} expires ${timeOf(key.expires_at ?? 0)}.\n`)
  return exitCodes.done
}

export async function revokeKey(call: Call): Promise<number> {
  const [id = ''] = call.args
  if ((await onDatabase(call, (pool) => revokeApiKey(pool, id))) === null) missing(id)
  call.output.err(`${id} is revoked.\n`)
  return exitCodes.done
}

export async function createProject(call: Call): Promise<number> {
  const [id = '', name = id] = call.args
  if (!projectId.test(id)) {
    const text = `a project's ID is made of small letters, digits and hyphens, 63 at most, and "${id.slice(0, 100)}" is not.`
    throw new Failure(exitCodes.usage, text)
  }
  refuseName('NAME', name)
  const project = await onDatabase(call, (pool) => insertProject(pool, id, name))
  if (project === null) throw new Failure(exitCodes.refused, `there is a project "${id}" already.`)
  call.output.err(
    `The project ${id} is made. \`threadmill keys create --project ${id}\` makes a key for it.\n`,
  )
  return exitCodes.done
}

export async function printProjects(call: Call): Promise<number> {
  const projects = await onDatabase(call, (pool) => listProjects(pool))
  const rows = projects.map(({ id, name, created_at, retain_threads_for }) => {
    const kept = retain_threads_for === null ? 'as set' : keptText(retain_threads_for)
    return [id, name, timeOf(created_at), kept]
  })
  call.output.out(table([['ID', 'NAME', 'MADE', 'THREADS KEPT'], ...rows]))
  return exitCodes.done
}

/** `threadmill projects retain ID TIME`. */
export async function retainThreads(call: Call): Promise<number> {
  const [id = '', time = ''] = call.args
  const seconds = time === 'default' ? null : time === '0' ? 0 : secondsOf('TIME', time)
  if (!(await onDatabase(call, (pool) => setRetention(pool, id, seconds)))) noProject(id)
  const kept = seconds === null ? 'as RETAIN_THREADS_FOR says' : keptText(seconds)
  call.output.err(`Threads of the project ${id} are kept ${kept}.\n`)
  return exitCodes.done
}

function keptText(seconds: number): string {
  if (seconds === 0) return 'for ever'
  return seconds % 86_400 === 0 ? `for ${seconds / 86_400} d` : `for ${seconds} s`
}

function refuseName(what: string, name: string): void {
  const fault = nameFault(name)
  if (fault !== null) throw new Failure(exitCodes.usage, `${what} ${fault}.`)
}

/** Throws Failure: there is no project of this id. */
export function noProject(id: string): never {
  const text = `there is no project "${id.slice(0, 100)}". \`threadmill projects list\` shows those that there are.`
  throw new Failure(exitCodes.noInput, text)
}

function missing(id: string): never {
  const text = `there is no key "${id.slice(0, 100)}" that is still valid. \`threadmill keys list\` shows those that there are.`
  throw new Failure(exitCodes.noInput, text)
}

const units: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }

/** Seconds of a time such as 90d, 12h, 30m or 10s. Throws Failure for anything else. */
function secondsOf(what: string, text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (count !== '') return Number(count) * (units[unit] ?? 0)
  throw new Failure(
    exitCodes.usage,
    `${what} must be a time such as 90d, 12h or 30m, and it is "${text.slice(0, 100)}".`,
  )
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1_000).toISOString().slice(0, 19) + 'Z'
}

/** Rows with cells below each other. Control characters, which would steer a terminal, become U+FFFD. */
export function table(cells: string[][]): string {
  const rows = cells.map((row) => row.map((cell) => cell.replaceAll(/\p{Cc}/gu, '\ufffd')))
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)))
  return rows
    .map(
      (row) =>
        row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd() + '\n',
    )
    .join('')
}
