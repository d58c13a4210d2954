import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { mostWaiting, policyHeader, threadPolicies, type ThreadPolicy } from '../contract/thread-policy.ts'
import type { ThreadRecord } from '../domain/records.ts'

// What a request says of runs and messages that come while a run holds their thread.

/** The policy that a request names, or null. Throws ApiError for one that there is not. */
export function policyOf(headers: IncomingHttpHeaders): ThreadPolicy | null {
  const given = headers[policyHeader]
  if (given === undefined) return null
  const text = String(given)
  const policy = threadPolicies.find((one) => one === text)
  if (policy) return policy
  const supported = threadPolicies.map((one) => `'${one}'`).join(', ')
  const message = `Invalid value of the header ${policyHeader}: '${text.slice(0, 100)}'. Supported values are: ${supported}.`
  throw new ApiError('unknown_thread_policy', message, policyHeader)
}

/** What the answer says of the policy that a thread has of its own. */
export function policyHeaders({ policy }: ThreadRecord): Record<string, string> {
  return policy === null ? {} : { [policyHeader]: policy }
}

/** Says with the answer which policy a thread has of its own. */
export function tellPolicy(reply: FastifyReply, thread: ThreadRecord): void {
  reply.headers(policyHeaders(thread))
}

/** The error when as much waits for a thread as may. */
export function queueFull(thread: string): ApiError {
  const text = `${mostWaiting} runs and messages already wait for thread ${thread}. Try again when some of them are done.`
  return new ApiError('thread_queue_full', text)
}
