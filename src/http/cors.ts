import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { isAllowedOrigin } from './access.ts'

// Pages of other origins (wire.md §1 "CORS"): those on this machine may call, and those that the operator lists.

const exposed = [
  'x-request-id',
  'x-assistants-dialect',
  'x-tools-not-run',
  'x-thread-policy',
  'idempotent-replayed',
  'openai-poll-after-ms',
  'openai-processing-ms',
  'retry-after',
  'retry-after-ms',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
]

/** Answers preflights and names the origins that may read. Any header may be sent: SDKs add new ones. */
export function registerCors(app: FastifyInstance, listed: readonly string[]): void {
  app.register(cors, {
    origin: (origin, answer) => answer(null, origin !== undefined && isAllowedOrigin(origin, listed)),
    methods: ['GET', 'POST', 'DELETE'],
    exposedHeaders: exposed,
    maxAge: 600,
    // What is no whole preflight has no effect either; its refusal would not have the form of our errors.
    strictPreflight: false,
  })
}
