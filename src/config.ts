import { resolve } from 'node:path'
import { isLoopback } from './contract/loopback.ts'
import type { LogLevel } from './log.ts'
import { parseAliases, type Aliases } from './models/aliases.ts'
import { parseWindows, type Windows } from './models/windows.ts'

// The only place that reads the environment. Every setting has a default that works on a fresh machine.

export interface Config {
  host: string
  port: number
  /** Folder of the embedded Postgres; unused with databaseUrl. */
  dataDir: string
  databaseUrl: string | null
  /** Chat Completions endpoint, or null: the demo model answers. */
  modelUrl: string | null
  modelKey: string | null
  aliases: Aliases
  windows: Windows
  logLevel: LogLevel
  /** The dialect of all requests, or auto: each shows its own. */
  dialect: 'auto' | 'openai' | 'memgpt'
  /** What to do with keys of a body that the operation does not know. */
  unknownKeys: 'refuse' | 'ignore'
  /** Origins of web pages that may call, besides those on this machine. */
  allowedOrigins: string[]
  /** Names and addresses that requests may name as their host, besides those of this machine; without ports. */
  allowedHosts: string[]
  /** Seconds after which a run expires. */
  runTtl: number
  /** Seconds for which the events of a run are kept, counted from its end. */
  eventsKeptFor: number
  /** Bytes of the largest file that may be uploaded. */
  maxFileBytes: number
  /** What becomes of runs and messages for a thread that a run holds, if neither they nor the thread say it. */
  threadPolicy: 'reject' | 'queue' | 'replace'
  /** Runs executed at a time by this process. */
  capacity: number
}

/** A setting that cannot be used; the message names it. */
export class ConfigError extends Error {}

const openAiUrl = 'https://api.openai.com/v1'
const dialects = ['auto', 'openai', 'memgpt'] as const
const threadPolicies = ['reject', 'queue', 'replace'] as const
const unknownKeys = ['refuse', 'ignore'] as const
const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const

/** Reads the settings from `env`. Throws ConfigError for the first that cannot be used. */
export function readConfig(env: Record<string, string | undefined>): Config {
  // An empty variable counts as one that is not set.
  const get = (name: string) => env[name]?.trim() || null
  const key = get('OPENAI_API_KEY')
  const url = get('OPENAI_BASE_URL') ?? (key ? openAiUrl : null)
  const host = get('HOST') ?? '127.0.0.1'
  refuseOpenDoor(host, get('ALLOW_ANONYMOUS'))
  return {
    host,
    port: integer('PORT', get('PORT'), 8283, 0, 65_535),
    dataDir: resolve(get('DATA_DIR') ?? './data'),
    databaseUrl: databaseUrl(get('DATABASE_URL')),
    modelUrl: url && httpUrl('OPENAI_BASE_URL', url),
    modelKey: key,
    aliases: parsed(() => parseAliases(get('MODEL_ALIASES') ?? '')),
    windows: parsed(() => parseWindows(get('MODEL_WINDOWS') ?? '')),
    logLevel: oneOf('LOG_LEVEL', get('LOG_LEVEL') ?? 'info', logLevels),
    dialect: oneOf('ASSISTANTS_DIALECT', get('ASSISTANTS_DIALECT') ?? 'auto', dialects),
    unknownKeys: oneOf('UNKNOWN_PARAMETERS', get('UNKNOWN_PARAMETERS') ?? 'refuse', unknownKeys),
    allowedHosts: hosts(get('ALLOWED_HOSTS') ?? '', host),
    allowedOrigins: origins(get('ALLOWED_ORIGINS') ?? ''),
    runTtl: integer('RUN_EXPIRES_AFTER', get('RUN_EXPIRES_AFTER'), 600, 1, 31_536_000),
    eventsKeptFor: integer('EVENTS_KEPT_FOR', get('EVENTS_KEPT_FOR'), 3_600, 0, 31_536_000),
    maxFileBytes: integer('MAX_FILE_BYTES', get('MAX_FILE_BYTES'), 512 * 1024 * 1024, 1, 1024 ** 4),
    threadPolicy: oneOf('THREAD_POLICY', get('THREAD_POLICY') ?? 'reject', threadPolicies),
    capacity: integer('MAX_CONCURRENT_RUNS', get('MAX_CONCURRENT_RUNS'), 10_000, 1, 1_000_000),
  }
}

/** There are no keys yet: whoever reaches the port is let in. On this machine that is its user. */
function refuseOpenDoor(host: string, anonymous: string | null): void {
  if (anonymous !== null && anonymous !== '0' && anonymous !== '1') {
    throw new ConfigError(`ALLOW_ANONYMOUS must be 0 or 1, and it is "${anonymous}".`)
  }
  if (anonymous === '1' || isLoopback(host)) return
  throw new ConfigError(
    `HOST is "${host}", where others than you may reach this server, and it would let all of them in. Leave HOST at 127.0.0.1 ` +
      'and put a proxy that asks for a password in front, or set ALLOW_ANONYMOUS=1 if everyone may come in.',
  )
}

function integer(name: string, text: string | null, otherwise: number, least: number, most: number): number {
  if (text === null) return otherwise
  const value = /^\d+$/.test(text) ? Number(text) : NaN
  if (value >= least && value <= most) return value
  throw new ConfigError(`${name} must be a whole number from ${least} to ${most}, and it is "${text}".`)
}

function httpUrl(name: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return text.replace(/\/+$/, '')
  throw new ConfigError(`${name} must be an http or https URL such as http://127.0.0.1:11434/v1.`)
}

// The text is not repeated: it may hold a password.
function databaseUrl(text: string | null): string | null {
  if (text === null || /^postgres(ql)?:\/\//.test(text)) return text
  throw new ConfigError('DATABASE_URL must begin with postgres:// or postgresql://.')
}

function oneOf<T extends string>(name: string, text: string, values: readonly T[]): T {
  const value = values.find((one) => one === text.toLowerCase())
  if (value) return value
  throw new ConfigError(`${name} must be one of ${values.join(', ')}, and it is "${text}".`)
}

/** Origins as browsers send them: scheme, host and port, without a path. */
function origins(text: string): string[] {
  const listed = text.split(',').flatMap((one) => one.trim() || [])
  for (const origin of listed) {
    if (URL.canParse(origin) && new URL(origin).origin === origin) continue
    throw new ConfigError(
      `ALLOWED_ORIGINS must list origins such as https://app.example.com, and has "${origin}".`,
    )
  }
  return listed
}

/** Host names or addresses as requests name them, without ports; the one that is listened on is among them. */
function hosts(text: string, listening: string): string[] {
  const listed = text.split(',').flatMap((one) => one.trim().toLowerCase() || [])
  for (const host of listed) {
    if (/^[a-z0-9.-]+$|^\[[0-9a-f:.]+\]$/.test(host)) continue
    throw new ConfigError(
      `ALLOWED_HOSTS must list host names such as threadmill.example.com, without ports, and has "${host}".`,
    )
  }
  return [...listed, listening.includes(':') ? `[${listening}]` : listening.toLowerCase()]
}

function parsed<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new ConfigError(error instanceof Error ? error.message : String(error))
  }
}
