import type { FastifyRequest } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { isLoopback } from '../contract/loopback.ts'

// Which names this server answers to, and which pages may call. A page of anybody's can make a browser send requests here:
// to a name of its own that it lets point to this machine (DNS rebinding: the Host tells), or across origins, with a
// body that needs no leave (the Origin tells). Both are settled before a body is read.

export interface Access {
  /** Names besides those of this machine itself, without ports. */
  allowedHosts: readonly string[]
  /** Origins of pages besides those on this machine. */
  allowedOrigins: readonly string[]
}

/** Probes name the address that they found, and learn nothing but that the server lives. */
const forProbes: ReadonlySet<string> = new Set(['/healthz', '/readyz'])

/** Whether a page of this origin may call, and read our answers. */
export function isAllowedOrigin(origin: string, listed: readonly string[]): boolean {
  if (listed.includes(origin)) return true
  if (!URL.canParse(origin)) return false
  const { hostname, protocol } = new URL(origin)
  return (protocol === 'http:' || protocol === 'https:') && isLoopback(hostname)
}

/** Throws for a request to a name that is not ours, and for one that a foreign page makes. */
export function checkAccess(request: FastifyRequest, access: Access): void {
  const { headers, raw } = request
  const { origin } = headers
  // RFC 9112 §3.2
  if (headers.host === undefined && raw.httpVersion !== '1.0') {
    throw new ApiError('malformed_request', 'The request has no Host header.')
  }
  if (hasTwoHosts(raw.rawHeaders))
    throw new ApiError('malformed_request', 'The request has more than one Host header.')
  const host = hostOf(request)
  if (
    host !== undefined &&
    !isOurs(host, access.allowedHosts) &&
    !forProbes.has(request.routeOptions.url ?? '')
  ) {
    throw new ApiError(
      'host_not_allowed',
      `This server does not answer to the host '${host.slice(0, 200)}'. Its operator can list it in ALLOWED_HOSTS.`,
    )
  }
  // An image, a script or a beacon of a foreign page, which names no origin. Links that lead here may be followed.
  if (
    origin === undefined &&
    headers['sec-fetch-site'] === 'cross-site' &&
    headers['sec-fetch-mode'] !== 'navigate'
  )
    throw new ApiError('origin_not_allowed', 'Pages of other sites may not call this server.')
  if (origin === undefined || isAllowedOrigin(origin, access.allowedOrigins)) return
  // A page of this server itself.
  if (URL.canParse(origin) && new URL(origin).host === host) return
  throw new ApiError(
    'origin_not_allowed',
    `Pages of the origin '${origin.slice(0, 200)}' may not call this server. Its operator can list it in ALLOWED_ORIGINS.`,
  )
}

/** Names and values in turn; of two Node takes the first, and a proxy in front may have gone by the other. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') count += 1
  }
  return count > 1
}

/** The name that the request is for: a whole URL in its first line counts, not the header (RFC 9112 §3.2.2). */
function hostOf({ originalUrl, headers }: FastifyRequest): string | undefined {
  if (/^[/*]/.test(originalUrl)) return headers.host
  return URL.canParse(originalUrl) ? new URL(originalUrl).host : ''
}

function isOurs(host: string, listed: readonly string[]): boolean {
  const name = host.replace(/:\d*$/, '').toLowerCase()
  return isLoopback(name) || listed.includes(name)
}
