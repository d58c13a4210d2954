import type { IncomingHttpHeaders } from 'node:http'
import { ApiError } from '../contract/errors.ts'

// Which dialect a request speaks (DESIGN.md §7). A dialect is only a view: both work on the same records.

export type Dialect = 'openai' | 'memgpt'

/** What the server is set to: to look at each request, or one dialect for all. */
export type DialectSetting = 'auto' | Dialect

/** A prefix under which the whole API is served a second time, and the dialect that it stands for. */
interface Mount {
  prefix: RegExp
  dialect: Dialect
}

const mounts: Mount[] = [
  // AzureOpenAI calls /openai/threads; newer Azure endpoints have /openai/v1.
  { prefix: /^\/openai(?:\/v1)?(?=[/?]|$)/, dialect: 'openai' },
  // A base path with which any client names the dialect (docs/decisions/0008).
  { prefix: /^\/memgpt(?:\/v1)?(?=[/?]|$)/, dialect: 'memgpt' },
]

/** The URL without its mount: `/openai/threads?x` is served as `/v1/threads?x`. */
export function withoutMount(url: string): string {
  const mount = mountOf(url)
  return mount ? url.replace(mount.prefix, '/v1') : url
}

function mountOf(url: string): Mount | undefined {
  return mounts.find(({ prefix }) => prefix.test(url))
}

/** The nine operations of the seed. */
const runPath = /^\/v1\/threads\/(?:[^/]+\/)?runs(?:\/|$)/
/** The other pages of the seed's client that have a dialect of their own. */
const siblingPath = /^\/v1\/(?:assistants|threads)(?:\/|$)/

const overrideHeader = 'x-assistants-dialect'

/** The dialect of a request for `url` as the client wrote it. An override that is neither counts as none. */
export function dialectOf(url: string, headers: IncomingHttpHeaders, setting: DialectSetting): Dialect {
  const override = overrideOf(headers)
  if (override !== undefined && isDialect(override)) return override
  if (setting !== 'auto') return setting
  const mount = mountOf(url)
  if (mount) return mount.dialect
  if (speaksOpenAi(url, headers)) return 'openai'
  const [path = ''] = url.split('?')
  if (runPath.test(path)) return 'memgpt'
  return siblingPath.test(path) && isSeedClient(headers) ? 'memgpt' : 'openai'
}

/** Throws for an override that names no dialect. */
export function checkOverride(headers: IncomingHttpHeaders): void {
  const override = overrideOf(headers)
  if (override === undefined || isDialect(override)) return
  const text = `Invalid value: '${override.slice(0, 100)}'. Supported values are: 'openai', 'memgpt'.`
  throw new ApiError('unknown_dialect', text, overrideHeader)
}

function overrideOf(headers: IncomingHttpHeaders): string | undefined {
  const value = headers[overrideHeader]
  return Array.isArray(value) ? value[0] : value
}

function isDialect(value: string): value is Dialect {
  return value === 'openai' || value === 'memgpt'
}

function speaksOpenAi(url: string, headers: IncomingHttpHeaders): boolean {
  if (headers['openai-beta']?.toString().includes('assistants=')) return true
  if (headers['api-key'] !== undefined) return true
  if (/[?&]api-version=/.test(url)) return true
  return Object.keys(headers).some((name) => name.startsWith('x-stainless-'))
}

function isSeedClient(headers: IncomingHttpHeaders): boolean {
  if (headers['user-agent']?.startsWith('OpenAPI-Generator/')) return true
  return /^memgpt\.localhost(?::\d+)?$/i.test(headers.host ?? '')
}
