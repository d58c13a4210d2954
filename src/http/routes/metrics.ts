import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { countRuns } from '../../store/run-counts.ts'
import { within } from '../../store/store.ts'
import type { HttpContext } from '../context.ts'
import type { ServicePage } from '../service-page.ts'

/** Milliseconds that a look at the database may take: without it the rest is shown. */
const patienceMs = 2_000

/** Milliseconds for which a look is good: it reads all runs that have not ended, and anyone may ask. */
const freshMs = 1_000

/** What Prometheus reads. */
export function metricsRoute(app: FastifyInstance, context: HttpContext): void {
  const look = looking(context)
  app.get('/metrics', { config: { page } }, async (_request, reply) => {
    await look()
    reply.type('text/plain; version=0.0.4; charset=utf-8')
    return context.store.metrics.registry.text()
  })
}

/** Brings the counts of runs up to date, once for all who ask at the same time. */
function looking(context: HttpContext): () => Promise<void> {
  let last = -Infinity
  let under: Promise<void> | null = null
  const count = async () => {
    const { metrics, pool } = context.store
    try {
      metrics.runCounts = await countRuns(pool)
      last = performance.now()
    } catch {
      metrics.runCounts = null
    } finally {
      under = null
    }
  }
  return async () => {
    if (performance.now() - last < freshMs) return
    under ??= count()
    let late = true
    await within(
      patienceMs,
      under.then(() => (late = false)),
    )
    if (late) context.store.metrics.runCounts = null
  }
}

const page: ServicePage = {
  forOperators: true,
  id: 'getMetrics',
  summary: 'What the server counts of itself, for Prometheus.',
  answers: {
    200: {
      description: 'Metrics in the text format of Prometheus, version 0.0.4.',
      type: 'text/plain',
      schema: Type.String(),
    },
  },
}
