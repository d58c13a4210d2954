// What a project, or a key of it, may do in a time. Without a limit it may do what the server can.

export interface Limits {
  /** By each node of its own. */
  requests_per_minute?: number
  /** Runs that have not ended, those that wait for outputs among them. */
  concurrent_runs?: number
  /** Of all turns that end on a day (UTC). */
  tokens_per_day?: number
  /** Bytes of a request's body, files aside. */
  body_bytes?: number
  /** Messages of a thread, beyond which clients add none. */
  thread_messages?: number
}

/** A limit that is taken back is null. */
export type LimitsChange = { [K in keyof Limits]?: number | null }

/** The most that any limit can be: more is none. */
export const mostOfLimit = 999_999_999_999_999

/** Limits, and what they are of: `key key_...` or `project shop`. */
export interface Scope {
  name: string
  /** The id of the key; null if they are a project's. */
  key: string | null
  limits: Limits
}

/** The smallest limit of a kind, and what it is of; null if there is none. */
export function leastOf(scopes: readonly Scope[], kind: keyof Limits): { name: string; most: number } | null {
  let least: { name: string; most: number } | null = null
  for (const { name, limits } of scopes) {
    const most = limits[kind]
    if (most !== undefined && (!least || most < least.most)) least = { name, most }
  }
  return least
}
