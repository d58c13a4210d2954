import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { hmacOf } from '../contract/api-keys.ts'
import { reasonOf, type Log } from '../log.ts'
import type { Limits, Scope } from '../contract/limits.ts'
import {
  accessVersion,
  hasApiKeys,
  limitedProjects,
  touchApiKeys,
  validApiKeys,
  type ValidKey,
} from '../store/api-keys.ts'

// The keys that are valid now, in memory: no request waits for the database to be let in, and no flood of wrong keys reaches it.
// Changes, of whichever node or command, are seen within a second.

/** Milliseconds. */
const times = {
  /** Between two looks for changes. */
  look: 1_000,
  /** A key that is not known may have been made a moment ago: then it is looked for, but not more often than this. */
  again: 200,
  /** How often the use of keys is noted. */
  note: 60_000,
}

export interface KeyRingOptions {
  pool: pg.Pool
  /** KEYS_SECRET. */
  secret: string | null
  /** Nobody comes in without a key, although there may be none. */
  required: boolean
  /** Unix seconds, by the database. */
  now: () => number
  log: Log
  /** Reads what else goes by the same number as the keys. */
  alsoRead?: () => Promise<void>
  /** Milliseconds between two looks; a test sets it. */
  lookMs?: number
}

export class KeyRing {
  readonly #options: KeyRingOptions
  #keys = new Map<string, ValidKey>()
  #projectLimits = new Map<string, Limits>()
  #version = -1
  #closed: boolean
  /** Answers under way, by the key that they are for. */
  readonly #underWay = new Map<string, Set<ServerResponse>>()
  #used = new Set<string>()
  #lookedAt = -Infinity
  #looking: Promise<void> | null = null
  #soon: Promise<void> | null = null
  #timer: NodeJS.Timeout | null = null
  #notedAt = performance.now()

  constructor(options: KeyRingOptions) {
    this.#options = options
    this.#closed = options.required
  }

  /** Reads the keys, and goes on looking for changes. Throws pg's error if the database does not answer. */
  async open(): Promise<void> {
    await this.#read()
    const { lookMs = times.look } = this.#options
    this.#timer = setInterval(() => void this.#tick(), lookMs)
    this.#timer.unref()
  }

  close(): void {
    if (this.#timer) clearInterval(this.#timer)
  }

  /** Whether nobody comes in without a key. */
  get closed(): boolean {
    return this.#closed
  }

  /** The limits that hold for a key of a project, or for whoever comes in without one. */
  limitsOf(project: string, key: ValidKey | null): Scope[] {
    const scopes: Scope[] = []
    if (key && Object.keys(key.limits).length > 0)
      scopes.push({ name: `key ${key.id}`, key: key.id, limits: key.limits })
    const limits = this.#projectLimits.get(project)
    if (limits) scopes.push({ name: `project ${project}`, key: null, limits })
    return scopes
  }

  /** The key that a credential is, or null if it is none that is valid now. */
  find(credential: string): ValidKey | null | Promise<ValidKey | null> {
    const hmac = hmacOf(credential, this.#options.secret)
    return this.#valid(hmac) ?? this.#lookSoon().then(() => this.#valid(hmac))
  }

  /** Something was changed here: it is looked for at once, so that whoever changed it finds it done. */
  async changed(): Promise<void> {
    await this.#looking
    await this.#look()
  }

  /** Notes an answer that is under way for a key: it is broken off if the key is revoked or expires. */
  use({ id }: ValidKey, response: ServerResponse): void {
    this.#used.add(id)
    const responses = this.#underWay.get(id) ?? new Set()
    this.#underWay.set(id, responses.add(response))
    response.once('close', () => {
      responses.delete(response)
      if (responses.size === 0 && this.#underWay.get(id) === responses) this.#underWay.delete(id)
    })
  }

  #valid(hmac: string): ValidKey | null {
    // The HMAC was made with what no client knows, so how long it takes to find tells nothing of any key.
    const key = this.#keys.get(hmac)
    return key && (key.expires_at === null || key.expires_at > this.#options.now()) ? key : null
  }

  async #tick(): Promise<void> {
    await this.#look()
    this.#breakOff()
    const { pool, log } = this.#options
    if (this.#used.size === 0 || performance.now() - this.#notedAt < times.note) return
    const used = [...this.#used]
    this.#used.clear()
    this.#notedAt = performance.now()
    await touchApiKeys(pool, used).catch((error: unknown) =>
      log.debug('the use of keys was not noted', { reason: reasonOf(error) }),
    )
  }

  /** A look that begins after this call, and soon; all that wait share it. */
  #lookSoon(): Promise<void> {
    this.#soon ??= sleep(Math.max(0, this.#lookedAt + times.again - performance.now())).then(async () => {
      this.#soon = null
      await this.#looking
      await this.#look()
    })
    return this.#soon
  }

  #look(): Promise<void> {
    this.#looking ??= this.#read()
      .catch((error: unknown) => this.#options.log.debug('keys cannot be read', { reason: reasonOf(error) }))
      .finally(() => (this.#looking = null))
    return this.#looking
  }

  async #read(): Promise<void> {
    const { pool, required } = this.#options
    this.#lookedAt = performance.now()
    // Asked first: what changes while the keys are read is seen next time.
    const version = await accessVersion(pool)
    if (version === this.#version) return
    const [keys, keyed, limited] = await Promise.all([
      validApiKeys(pool),
      hasApiKeys(pool),
      limitedProjects(pool),
      this.#options.alsoRead?.(),
    ])
    this.#projectLimits = new Map(limited.map(({ id, limits }) => [id, limits]))
    this.#keys = new Map(keys.map((key) => [key.hmac, key]))
    this.#closed = required || keyed
    this.#version = version
    this.#breakOff()
  }

  /** What is under way for a key that is not valid any more ends now. */
  #breakOff(): void {
    if (this.#underWay.size === 0) return
    const now = this.#options.now()
    const valid = new Set(
      [...this.#keys.values()]
        .filter(({ expires_at }) => expires_at === null || expires_at > now)
        .map(({ id }) => id),
    )
    for (const [id, responses] of this.#underWay)
      if (!valid.has(id)) for (const response of responses) response.destroy()
  }
}
