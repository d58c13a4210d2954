import { resolve } from 'node:path'
import { isLoopback } from './contract/loopback.ts'
import { isSendable, keyFault, openAiUrl } from './contract/model-endpoint.ts'
import { secretsKeyLength } from './contract/sealed.ts'
import { parseAliases } from './models/aliases.ts'
import { parseWindows } from './models/windows.ts'
import { timeSettings } from './time-settings.ts'
import { traceSettings } from './trace-settings.ts'
import { ConfigError, flag, list, oneOf, pairs, text, whole, type Setting } from './setting.ts'

// The only place that reads the environment. Every setting has a default that works on a fresh machine. docs/config.md is written
// from this list (`npm run docs`).

const year = 31_536_000

/** All settings, in the order of docs/config.md, and by the names that they have in the code. */
export const settings = {
  host: text({
    name: 'HOST',
    kind: 'address',
    otherwise: '127.0.0.1',
    means:
      'Address to listen on; one that others reach needs an API key (`threadmill keys create`) or `ALLOW_ANONYMOUS=1`',
    read: (given) => given ?? '127.0.0.1',
  }),
  port: whole({ name: 'PORT', otherwise: 8283, least: 0, most: 65_535, means: 'Port; 0 takes a free one' }),
  dataDir: text({
    name: 'DATA_DIR',
    kind: 'folder',
    otherwise: './data',
    means: 'Folder of the embedded Postgres; unused with `DATABASE_URL`',
    read: (given) => resolve(given ?? './data'),
  }),
  databaseUrl: text({
    name: 'DATABASE_URL',
    kind: '`postgres://...`',
    otherwise: 'none',
    means: 'Use this PostgreSQL (15 to 18) instead of the embedded one',
    read: databaseUrl,
  }),
  modelUrl: text({
    name: 'OPENAI_BASE_URL',
    kind: 'URL',
    otherwise: 'none',
    means:
      'Chat Completions endpoint, mostly ending in `/v1`; with a key alone `https://api.openai.com/v1`. With neither the demo model answers',
    read: modelUrl,
  }),
  modelKey: text({
    name: 'OPENAI_API_KEY',
    kind: 'text, secret',
    otherwise: 'none',
    means: 'Key for that endpoint',
    read: modelKey,
  }),
  aliases: pairs({
    name: 'MODEL_ALIASES',
    kind: '`asked=served`',
    otherwise: 'none',
    means: 'Models that are served for those that apps ask for; `*` for any',
    parse: parseAliases,
  }),
  windows: pairs({
    name: 'MODEL_WINDOWS',
    kind: '`name=tokens`',
    otherwise: 'a table',
    means: 'Tokens that a model takes as prompt and answer together; `*` for any',
    parse: parseWindows,
  }),
  runTtl: whole({
    name: 'RUN_EXPIRES_AFTER',
    otherwise: 600,
    least: 1,
    most: year,
    unit: 'seconds',
    means: 'Time until a run expires; starts again when outputs are submitted',
  }),
  capacity: whole({
    name: 'MAX_CONCURRENT_RUNS',
    otherwise: 10_000,
    least: 1,
    most: 1_000_000,
    means: 'Runs that this server executes at a time; more stay `queued`',
  }),
  threadPolicy: oneOf({
    name: 'THREAD_POLICY',
    values: ['reject', 'queue', 'replace'],
    otherwise: 'reject',
    means:
      'What becomes of runs and messages for a thread that a run holds, if neither they nor the thread say it',
  }),
  eventsKeptFor: whole({
    name: 'EVENTS_KEPT_FOR',
    otherwise: 3_600,
    least: 0,
    most: year,
    unit: 'seconds',
    means: "Time after a run's end for which its events can be read as they were",
  }),
  retainThreadsFor: whole({
    name: 'RETAIN_THREADS_FOR',
    otherwise: 0,
    least: 0,
    most: 100 * year,
    unit: 'seconds',
    means:
      'Threads are deleted so long after they were last active (made, given a message, or with a run), with all that is in them; files stay. 0 keeps them. A project may say otherwise',
  }),
  maxFileBytes: whole({
    name: 'MAX_FILE_BYTES',
    otherwise: 512 * 1024 * 1024,
    least: 1,
    most: 1024 ** 4,
    unit: 'bytes',
    means: 'Largest file that `POST /v1/files` takes',
  }),
  unknownKeys: oneOf({
    name: 'UNKNOWN_PARAMETERS',
    values: ['refuse', 'ignore'],
    otherwise: 'refuse',
    means: '`ignore` overlooks keys of a body that an operation does not know',
  }),
  dialect: oneOf({
    name: 'ASSISTANTS_DIALECT',
    values: ['auto', 'openai', 'memgpt'],
    otherwise: 'auto',
    means: '`openai` or `memgpt` answers every request in that dialect; `auto` looks at each',
  }),
  anonymous: flag({
    name: 'ALLOW_ANONYMOUS',
    means: '`1` lets everyone in who reaches `HOST`, with a key or without',
  }),
  keysRequired: flag({
    name: 'REQUIRE_KEYS',
    means:
      '`1` lets nobody in without an API key, also as long as there is none; with the first key that is so anyway',
  }),
  keysSecret: text({
    name: 'KEYS_SECRET',
    kind: 'text, secret',
    otherwise: 'none',
    means:
      'What API keys are hashed with besides; the same for all servers and commands. Another one makes all keys invalid',
    read: (given) => given,
  }),
  adminKey: text({
    name: 'ADMIN_KEY',
    kind: 'text of 32 characters or more, secret',
    otherwise: 'none',
    means: 'The key of the admin API (`/v1/organization/projects`), which is not there without it',
    read: (given) => {
      if (given?.includes(' '))
        throw new ConfigError('ADMIN_KEY is sent in a header, and must not have spaces.')
      return longSecret('ADMIN_KEY', given)
    },
  }),
  secretsKey: text({
    name: 'SECRETS_KEY',
    kind: 'text of 32 characters or more, secret',
    otherwise: 'none',
    means:
      "What keys of projects' own model endpoints are sealed with; the same for all servers and commands. Under another one they cannot be read",
    read: (given) => longSecret('SECRETS_KEY', given),
  }),
  allowedHosts: list({
    name: 'ALLOWED_HOSTS',
    kind: 'names',
    means: 'Names that requests may come to, without ports, besides those of this machine and `HOST`',
    must: 'host names such as threadmill.example.com, without ports',
    check: (host) => /^[a-z0-9.-]+$|^\[[0-9a-f:.]+\]$/.test(host),
    change: (host) => host.toLowerCase(),
  }),
  allowedOrigins: list({
    name: 'ALLOWED_ORIGINS',
    kind: 'origins',
    means: 'Origins of web pages that may call; those on this machine always may',
    must: 'origins such as https://app.example.com',
    check: (origin) => URL.canParse(origin) && new URL(origin).origin === origin,
  }),
  logLevel: oneOf({
    name: 'LOG_LEVEL',
    values: ['debug', 'info', 'warn', 'error', 'silent'],
    otherwise: 'info',
    means: 'What is logged, as JSON lines on stderr',
  }),
  logContent: flag({
    name: 'LOG_CONTENT',
    means: '`1` logs what models are sent and answer, at the level `debug` only',
  }),
  ...timeSettings,
  ...traceSettings,
}

type Values = { [K in keyof typeof settings]: ReturnType<(typeof settings)[K]['read']> }

export type Config = Values

export { ConfigError }

/** Reads the settings from `env`. Throws ConfigError for the first that cannot be used. */
export function readConfig(env: Record<string, string | undefined>): Config {
  // An empty variable counts as one that is not set.
  const read = ([key, { name, read }]: [string, Setting<unknown>]) => [key, read(env[name]?.trim() || null)]
  const entries = Object.entries<Setting<unknown>>(settings)
  const config = Object.fromEntries(entries.map(read)) as Values
  checkDoor(config)
  const { host } = config
  return {
    ...config,
    modelUrl: config.modelUrl ?? (config.modelKey === null ? null : openAiUrl),
    // The one that is listened on is among them.
    allowedHosts: [...config.allowedHosts, host.includes(':') ? `[${host}]` : host.toLowerCase()],
  }
}

/** Of two settings that mean the opposite neither is what was meant. */
function checkDoor({ anonymous, keysRequired }: Pick<Config, 'anonymous' | 'keysRequired'>): void {
  if (!anonymous || !keysRequired) return
  throw new ConfigError(
    'ALLOW_ANONYMOUS=1 lets everyone in, and REQUIRE_KEYS=1 nobody without a key: set only one of them.',
  )
}

/** Without a key whoever reaches the port is let in. On this machine that is its user; elsewhere it must be meant. Throws ConfigError. */
export function refuseOpenDoor(
  { host, anonymous }: Pick<Config, 'host' | 'anonymous'>,
  keyed: boolean,
): void {
  if (anonymous || keyed || isLoopback(host)) return
  throw new ConfigError(
    `HOST is "${host}", where others than you may reach this server, and it would let all of them in, since there is no API key. ` +
      'Make one with `threadmill keys create`, leave HOST at 127.0.0.1, or set ALLOW_ANONYMOUS=1 if everyone may come in.',
  )
}

function modelUrl(given: string | null): string | null {
  if (given === null) return null
  const url = URL.canParse(given) ? new URL(given) : null
  if (url && !isSendable(decoded(url.username) + decoded(url.password)))
    throw new ConfigError(
      'OPENAI_BASE_URL has a user or a password with characters that no header can carry.',
    )
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return given.replace(/\/+$/, '')
  throw new ConfigError('OPENAI_BASE_URL must be an http or https URL such as http://127.0.0.1:11434/v1.')
}

function modelKey(given: string | null): string | null {
  const fault = given === null ? null : keyFault(given)
  if (fault === null) return given
  throw new ConfigError(`OPENAI_API_KEY ${fault}`)
}

/** A part of a URL as it was meant; what it cannot mean is not sendable. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return '\0'
  }
}

function longSecret(name: string, given: string | null): string | null {
  if (given === null || (given.length >= secretsKeyLength && /^[ -~]+$/.test(given))) return given
  throw new ConfigError(
    `${name} must have ${secretsKeyLength} characters or more, at random: \`openssl rand -base64 32\` makes some.`,
  )
}

// The text is not repeated: it may hold a password.
function databaseUrl(given: string | null): string | null {
  if (given === null) return null
  if (!/^postgres(ql)?:\/\//.test(given))
    throw new ConfigError('DATABASE_URL must begin with postgres:// or postgresql://.')
  // As `pg` reads it: behind a user the host may be missing.
  if (URL.canParse(given) || URL.canParse(given.replace('@/', '@host/'))) return given
  throw new ConfigError(
    'DATABASE_URL cannot be read as a URL. In a user or password, characters such as # / ? @ % must be percent-encoded.',
  )
}
