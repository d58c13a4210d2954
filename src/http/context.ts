import type { FastifyRequest } from 'fastify'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface ModelEntry {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

/** What the routes work with. */
export interface HttpContext {
  store: Store
  log: Log
  /** Seconds after which a run expires, counted from its creation and again from each submit. */
  runTtl: number
  /** What the model backend offers; rejects when it does not answer. */
  listModels: (signal: AbortSignal) => Promise<ModelEntry[]>
  /** Aborted when the server begins to stop: polls that wait are answered. */
  stopping: AbortSignal
  /** Aborted when no run is executed here any more: streams end. */
  closing: AbortSignal
}

/** The project that a request belongs to. One for now; keys will choose it. */
export function projectOf(_request: FastifyRequest): string {
  return 'default'
}
