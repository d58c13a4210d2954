import type { Command, Option } from './command.ts'

const project: Option = { type: 'string', value: 'ID', help: 'Of which project; default, unless said' }

const bound = (help: string): Option => ({
  type: 'string',
  value: 'N',
  help: `${help}; none takes the limit back`,
})

const limits: Record<string, Option> = {
  'requests-per-minute': bound('On each server'),
  'concurrent-runs': bound('Runs that have not ended, on all servers together'),
  'tokens-per-day': bound('Of models, on all servers together, from 00:00 UTC'),
  'body-bytes': bound('Of a request, files aside, if less than the server takes'),
  'thread-messages': bound('Of a thread, beyond which nobody adds one'),
}

const database =
  'The database is named by DATA_DIR or DATABASE_URL, as for serve. Servers see the change within a second.'

export const keysCommands: readonly Command[] = [
  {
    name: 'keys create',
    summary: 'Makes an API key, and shows it this once.',
    options: {
      project,
      name: { type: 'string', value: 'TEXT', help: 'What it is for' },
      'expires-in': {
        type: 'string',
        value: 'TIME',
        help: 'Such as 90d, 12h or 30m; without it, it does not expire',
      },
    },
    details: `The key goes to stdout, what else is to be said to stderr. With the first key nobody comes in without one any more.
${database}`,
    run: async (call) => (await import('./keys.ts')).createKey(call),
  },
  {
    name: 'keys list',
    summary: 'Lists the API keys of a project, those that are not valid any more among them.',
    options: { project },
    run: async (call) => (await import('./keys.ts')).listKeys(call),
  },
  {
    name: 'keys rotate',
    summary: 'Makes a key that takes the place of another, which stays valid for a while.',
    takes: ['KEY_ID'],
    options: {
      grace: { type: 'string', value: 'TIME', help: 'How long the old one stays valid; 24h, unless said' },
    },
    details: database,
    run: async (call) => (await import('./keys.ts')).rotateKey(call),
  },
  {
    name: 'keys expire',
    summary: 'Lets a key expire.',
    takes: ['KEY_ID'],
    options: { in: { type: 'string', value: 'TIME', help: 'When, such as 7d; at once, unless said' } },
    details: database,
    run: async (call) => (await import('./keys.ts')).expireKey(call),
  },
  {
    name: 'keys revoke',
    summary: 'Revokes a key for good; what is under way for it breaks off.',
    takes: ['KEY_ID'],
    details: `As long as there is any key, a revoked one too, nobody comes in without one.
${database}`,
    run: async (call) => (await import('./keys.ts')).revokeKey(call),
  },
  {
    name: 'keys limit',
    summary: 'Bounds what a key may do, and shows all its limits.',
    takes: ['KEY_ID'],
    options: limits,
    details: database,
    run: async (call) => (await import('./limits.ts')).limitKey(call),
  },
  {
    name: 'projects create',
    summary: 'Makes a project: its keys see nothing of what others hold.',
    takes: ['ID', '[NAME]'],
    details: 'ID is made of small letters, digits and hyphens. Without a NAME it is the name, too.',
    run: async (call) => (await import('./keys.ts')).createProject(call),
  },
  {
    name: 'projects limit',
    summary: 'Bounds what all keys of a project may do together, and shows all its limits.',
    takes: ['ID'],
    options: limits,
    details: database,
    run: async (call) => (await import('./limits.ts')).limitProject(call),
  },
  {
    name: 'projects model',
    summary: "Shows or sets a project's own model endpoint, its key, and which models it may use.",
    takes: ['ID'],
    options: {
      url: { type: 'string', value: 'URL', help: 'Chat Completions endpoint, mostly ending in /v1' },
      'key-from': {
        type: 'string',
        value: 'VARIABLE',
        help: 'The environment variable that holds the key for it; a key alone is for https://api.openai.com/v1',
      },
      models: {
        type: 'string',
        value: 'NAMES',
        help: 'Models that it may use, comma-separated; * alone for any',
      },
      clear: { type: 'boolean', help: "Back to the server's endpoint, and to any model" },
    },
    details: `Without options it shows what is set, but never the key. A new URL without a key has none. Keys are stored sealed with
SECRETS_KEY, which has to be set. ${database}`,
    run: async (call) => (await import('./project-model.ts')).setProjectModel(call),
  },
  {
    name: 'projects list',
    summary: 'Lists the projects.',
    run: async (call) => (await import('./keys.ts')).printProjects(call),
  },
  {
    name: 'projects retain',
    summary: 'Says how long a project keeps threads that are not active any more.',
    takes: ['ID', 'TIME'],
    details: `TIME is such as 90d or 12h; 0 keeps them for ever, default leaves it to RETAIN_THREADS_FOR. A thread is active when it is made, given a
message, or has a run. What is too old is deleted for good within minutes, with all that is in it but files.`,
    run: async (call) => (await import('./keys.ts')).retainThreads(call),
  },
]
