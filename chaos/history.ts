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

/** What one reader of a run's events got, over all its connections. */
export interface Reading {
  run: string
  events: SeenEvent[]
  /** It was told the end. */
  whole: boolean
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
  /** Milliseconds from a cancel's sending to the end of its run. */
  readonly cancels: number[] = []
  /** Runs whose cancel was acknowledged. */
  readonly cancelled = new Set<string>()
  /** Jobs that did not come to their end, and why. */
  readonly stuck: string[] = []
  /** When each job ended. */
  readonly ends: number[] = []
}
