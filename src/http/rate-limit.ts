import type { FastifyReply } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import type { Scope } from '../contract/limits.ts'

// Requests a minute, of a key and of a project: a bucket of tokens for each, in the memory of this node (docs/decisions/0024).

interface Bucket {
  tokens: number
  /** When it was looked at last, in milliseconds of the monotonic clock. */
  at: number
}

const minute = 60_000

export class RateLimits {
  readonly #buckets = new Map<string, Bucket>()
  readonly #now: () => number

  /** `now`: milliseconds of a clock that never steps back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Counts a request, and says in its answer what is left of the scope that leaves least. Throws ApiError if nothing is. */
  admit(scopes: readonly Scope[], reply: FastifyReply): void {
    let least: { name: string; limit: number; left: number } | null = null
    for (const { name, limits } of scopes) {
      const limit = limits.requests_per_minute
      if (limit === undefined) continue
      const left = this.#fill(name, limit)
      if (!least || left < least.left) least = { name, limit, left }
    }
    if (!least) return
    const { name, limit, left } = least
    if (left >= 1) for (const scope of scopes) this.#take(scope)
    const rest = Math.max(0, left - 1)
    reply.headers({
      'x-ratelimit-limit-requests': limit,
      'x-ratelimit-remaining-requests': Math.floor(rest),
      'x-ratelimit-reset-requests': `${Math.ceil(((limit - rest) * minute) / limit)}ms`,
    })
    if (left >= 1) return
    const ms = Math.ceil(((1 - left) * minute) / limit)
    reply.headers({ 'retry-after': Math.ceil(ms / 1_000), 'retry-after-ms': ms })
    throw new ApiError(
      'rate_limited',
      `The ${name} may make ${limit} requests a minute. Try again in ${ms} ms.`,
    )
  }

  /** What is in a bucket now. */
  #fill(name: string, limit: number): number {
    const now = this.#now()
    const bucket = this.#buckets.get(name) ?? { tokens: limit, at: now }
    bucket.tokens = Math.min(limit, bucket.tokens + ((now - bucket.at) * limit) / minute)
    bucket.at = now
    this.#buckets.set(name, bucket)
    return bucket.tokens
  }

  #take({ name }: Scope): void {
    const bucket = this.#buckets.get(name)
    if (bucket) bucket.tokens -= 1
  }
}
