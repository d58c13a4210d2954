// What a project, or a key of it, may do in a time. Without a limit it may do what the server can.

export interface Limits {
  /** By each node of its own. */
  requests_per_minute?: number
  /** Runs that have not ended, those that wait for outputs among them; of projects only. */
  concurrent_runs?: number
  /** Of all turns that end on a day (UTC). */
  tokens_per_day?: number
}

/** A limit that is taken back is null. */
export type LimitsChange = { [K in keyof Limits]?: number | null }

/** Limits, and what they are of: `key key_...` or `project shop`. */
export interface Scope {
  name: string
  limits: Limits
}
