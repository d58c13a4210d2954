import type { FastifyReply } from 'fastify'
import { ApiError } from '../contract/errors.ts'
import { countActiveRuns } from '../store/runs.ts'
import { spentText, tokensLeft } from '../store/usage-days.ts'
import type { HttpContext } from './context.ts'

// What a key and a project may have run (docs/decisions/0024). Asked only for those that have limits.

/** Seconds: a limit may be raised before the day is over. */
const longestRetry = 3_600

/** Throws ApiError if no run may be created now; else the answer tells what is left. */
export async function checkRunLimits(context: HttpContext, reply: FastifyReply): Promise<void> {
  await Promise.all([checkRoom(context, reply), checkTokens(context, reply)])
}

/** Throws ApiError if the key or project has as many runs as it may have at a time; two nodes that ask at once may let in one more each. */
async function checkRoom({ store }: HttpContext, { request }: FastifyReply): Promise<void> {
  const { project, limits } = request.principal
  for (const { name, key, limits: bounds } of limits) {
    const most = bounds.concurrent_runs
    if (most === undefined || (await countActiveRuns(store.pool, project, most, key)) < most) continue
    const text = `The ${name} may have ${most} runs at a time. Try again when one of them has ended.`
    throw new ApiError('too_many_runs', text)
  }
}

/** Throws ApiError if the tokens of the day are used up, in the words of OpenAI's own headers. */
async function checkTokens({ store }: HttpContext, reply: FastifyReply): Promise<void> {
  const { project: project_id, key } = reply.request.principal
  const limits = store.tokenLimits.of({ project_id, key })
  if (limits.length === 0) return
  const left = await tokensLeft(store.pool, { project_id, key }, limits)
  if (left === null) return
  reply.headers({
    'x-ratelimit-limit-tokens': left.most,
    'x-ratelimit-remaining-tokens': left.left,
    'x-ratelimit-reset-tokens': `${left.resetsIn}s`,
  })
  if (left.left > 0) return
  reply.header('retry-after', Math.min(left.resetsIn, longestRetry))
  throw new ApiError('tokens_spent', spentText(left))
}
