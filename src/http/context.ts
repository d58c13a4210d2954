import type { ModelObject } from '../contract/objects.ts'
import type { ThreadPolicy } from '../contract/thread-policy.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from './key-ring.ts'
import type { RequestTimeouts } from './slow-bodies.ts'
import type { OpenStreams } from './open-streams.ts'
import type { DialectSetting } from './dialect.ts'
import type { UnknownKeys } from './unknown-keys.ts'

/** What the routes work with. */
export interface HttpContext {
  store: Store
  log: Log
  /** Which dialect requests are taken to speak. */
  dialect: DialectSetting
  /** Origins of pages that may call, besides those on this machine. */
  allowedOrigins: readonly string[]
  /** Names that the server answers to, besides those of this machine itself. */
  allowedHosts: readonly string[]
  /** The keys that let clients in. */
  keys: KeyRing
  /** What rates are measured by, in milliseconds; a test sets it. */
  monotonic?: () => number
  /** The key of the admin API; null: there is no such API. */
  adminKey: string | null
  /** KEYS_SECRET, with which keys are hashed. */
  keysSecret: string | null
  /** SECRETS_KEY, with which keys of model endpoints are sealed. */
  secretsKey: string | null
  /** Those without a key may come in although there are keys. */
  openDoor: boolean
  /** What to do with keys of a body that the operation does not know. */
  unknownKeys: UnknownKeys
  /** Seconds after which a run expires, counted from its creation and again from each submit. */
  runTtl: number
  /** Seconds for which the events of a run can be read as they were, counted from its end. */
  eventsKeptFor: number
  /** The policy of threads that have none of their own, for requests that name none. */
  threadPolicy: ThreadPolicy
  /** Bytes of the largest file that may be uploaded. */
  maxFileBytes: number
  timeouts: RequestTimeouts
  /** Milliseconds that a request waits for one with its Idempotency-Key; a test sets it. */
  keyWaitMs?: number
  /** What the model backend offers; rejects when it does not answer. */
  listModels: (project: string, signal: AbortSignal) => Promise<ModelObject[]>
  /** Whether a project may use a model. */
  allowsModel: (project: string, model: string) => boolean
  /** Aborted when the server begins to stop: polls that wait are answered. */
  stopping: AbortSignal
  /** Those that follow runs now. */
  streams: OpenStreams
  /** Aborted when the server goes: streams that are still open break off. */
  closing: AbortSignal
}
