import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isApiKey } from '../contract/api-keys.ts'
import { ApiError } from '../contract/errors.ts'
import type { Scope } from '../contract/limits.ts'
import type { ValidKey } from '../store/api-keys.ts'
import type { KeyRing } from './key-ring.ts'

// Who makes a request: any credential, by whichever header it comes and in whichever dialect, becomes one principal here.

/** Who makes a request. */
export interface Principal {
  project: string
  /** The id of the key; null where none is asked for. */
  key: string | null
  /** What it may do. */
  limits: readonly Scope[]
}

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal
  }
}

/** Whoever comes in without a key works in the project that every database has. */
export const anonymous: Principal = Object.freeze({ project: 'default', key: null, limits: [] })

/** The project that a request belongs to. */
export function projectOf(request: FastifyRequest): string {
  return request.principal.project
}

/**
 * Finds out who makes a request. Throws ApiError for one that may not come in. `openDoor`: those without a key of ours may come in
 * although there are keys.
 */
export function identify(
  keys: KeyRing,
  openDoor: boolean,
  request: FastifyRequest,
  reply: FastifyReply,
): Principal | Promise<Principal> {
  const { page } = request.routeOptions.config
  if (page && !(keys.closed && page.forOperators)) return anonymous
  const unnamed = (): Principal => ({ ...anonymous, limits: keys.limitsOf(anonymous.project, null) })
  if (!keys.closed) return unnamed()
  const credential = credentialOf(request)
  if (openDoor && (credential === null || !isApiKey(credential))) return unnamed()
  if (credential === null) {
    const how = 'Send it as "Authorization: Bearer YOUR_KEY", as SDKs do with their apiKey.'
    throw new ApiError('missing_api_key', `This server asks for an API key, and the request has none. ${how}`)
  }
  const admit = (key: ValidKey | null): Principal => {
    if (key === null) throw new ApiError('invalid_api_key', 'The API key is wrong, revoked or expired.')
    if (page && key.project_id !== anonymous.project)
      throw new ApiError(
        'operators_only',
        `This is for keys of the project ${anonymous.project}: it tells of all.`,
      )
    keys.use(key, reply.raw)
    return { project: key.project_id, key: key.id, limits: keys.limitsOf(key.project_id, key) }
  }
  const found = keys.find(credential)
  return found instanceof Promise ? found.then(admit) : admit(found)
}

/** Lets in whoever has the key of the admin API, and nobody else: a key of a project is none. Throws ApiError. */
export function identifyAdmin(adminKey: string | null, request: FastifyRequest): Principal {
  const credential = credentialOf(request)
  if (credential === null)
    throw new ApiError(
      'missing_api_key',
      'This asks for the admin key of the server, and the request has none.',
    )
  const digest = (text: string) => createHash('sha256').update(text).digest()
  if (adminKey !== null && timingSafeEqual(digest(credential), digest(adminKey))) return anonymous
  throw new ApiError(
    'invalid_api_key',
    'This asks for the admin key of the server, and the one sent is another.',
  )
}

/** What a request shows: `Authorization: Bearer`, or Azure's `api-key`. Throws ApiError if it shows two things. */
function credentialOf({ headers, raw }: FastifyRequest): string | null {
  // Node shows the first of several, and whatever stands in front of us may have looked at the last.
  if (new Set(raw.headersDistinct['authorization']).size > 1)
    throw new ApiError(
      'conflicting_credentials',
      'The request has two different Authorization headers. Send one of them.',
    )
  const bearer = /^bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1] ?? null
  const azure = typeof headers['api-key'] === 'string' ? headers['api-key'] : null
  if (bearer !== null && azure !== null && bearer !== azure) {
    const text =
      'The request has two different keys, one in Authorization and one in api-key. Send one of them.'
    throw new ApiError('conflicting_credentials', text)
  }
  return bearer ?? azure
}
