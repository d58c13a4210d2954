// What clients did and saw, as it is judged afterwards. Times are milliseconds of this process's monotonic clock.

export type Deed = 'thread' | 'message' | 'run' | 'submit' | 'cancel' | 'delete'

/** A request that was to change something. */
export interface Request {
  deed: Deed
  /** Says in the store which request it was: the text of a message, the metadata of a thread or run. */
  marker: string
  thread: string | null
  key: string | null
  sentAt: number
  answeredAt: number | null
  /** `unknown`: the connection broke, or the server said that it does not know, and it was not sent again. */
  outcome: 'done' | 'refused' | 'unknown'
  /** Of what was made. */
  id: string | null
}

/** A run as an answer showed it. */
export interface Sighting {
  run: string
  status: string
  sentAt: number
  at: number
}

export interface SeenEvent {
  id: string
  event: string
  data: string
}

/** What one reader of a run's events got, over all its connections, from the first event on. */
export interface Reading {
  run: string
  events: SeenEvent[]
  /** It was told the end. */
  whole: boolean
}

/** Something that was done to a server, to its way to Postgres, or to Postgres itself. */
export interface Strike {
  kind: string
  at: number
  /** When it was over: the same as `at` for what takes no time. */
  until: number
  /** Null: Postgres, and so all of them. */
  node: string | null
}

/** A cancel, from its sending until a poll saw its run ended. */
export interface Cancel {
  sentAt: number
  endedAt: number
}

/** An answer that no client should ever get. */
export interface BadAnswer {
  path: string
  status: number
  body: string
}

export class History {
  readonly requests: Request[] = []
  readonly sightings: Sighting[] = []
  readonly readings: Reading[] = []
  readonly badAnswers: BadAnswer[] = []
  readonly cancels: Cancel[] = []
  /** Runs whose cancel was acknowledged. */
  readonly cancelled = new Set<string>()
  /** Jobs that did not come to their end, and why. */
  readonly stuck: string[] = []
  /** When each job ended. */
  readonly ends: number[] = []
}
