import type { StreamEvent } from '../contract/events.ts'
import { isBehind, lastPlace, type EventBatch, type EventPlace } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import { readEvents } from '../store/event-log.ts'
import type { Store } from '../store/store.ts'

/** Batches of the log read at a time. */
const pageSize = 64

/** How soon the log is read again for events that were published here after others that are not stored yet. */
const gapMs = 100

/** Batches held back for a reader at most. */
const maxHeld = 256

/** Where one reader of a run's events stands. */
export interface FollowFrom {
  /** The last event that it has. */
  after: EventPlace
  /** The version of the run up to which that is everything; null if it is not known. */
  version: number | null
}

export interface Reader {
  deliver: (event: StreamEvent, place: EventPlace) => void
  /** Resolves when the reader can take more, so that a long history does not pile up before a slow one. */
  ready: () => Promise<void>
  failed: (error: unknown) => void
}

/**
 * Brings all events of a run to one reader, each once and in the order of the log. What is published in this process
 * is handed on at once if it follows what the reader has; else the log is read first. It listens from its making on.
 */
export class EventFollower {
  readonly #store: Store
  readonly #stops: (() => void)[]
  #reader: Reader | null = null
  #run: RunRecord | null = null
  #place: EventPlace = { term: 0, no: -1 }
  #version: number | null = null
  /** Published here, and not known to follow what the reader has. */
  #held: EventBatch[] = []
  #reading: Promise<boolean> | null = null
  #readAgain = false
  #timer: NodeJS.Timeout | null = null
  #stopped = false

  constructor(store: Store, runId: string) {
    this.#store = store
    this.#stops = [
      store.signals.subscribe(runId, (batch) => this.#onBatch(batch)),
      store.signals.watchLog(runId, (upTo) => this.#onLogged(upTo)),
    ]
  }

  /** Begins to deliver what has been held back since the making, and what comes. */
  begin(run: RunRecord, from: FollowFrom, reader: Reader): void {
    this.#run = run
    this.#place = from.after
    this.#version = from.version
    this.#reader = reader
    this.#deliverHeld()
    if (from.version === null || this.#held.length > 0) void this.read()
  }

  stop(): void {
    this.#stopped = true
    this.#held = []
    for (const stop of this.#stops) stop()
    if (this.#timer) clearTimeout(this.#timer)
  }

  /** Delivers what the log has more than the reader; false if it could not be read: then there may be more. */
  async read(): Promise<boolean> {
    this.#readAgain = true
    let done = true
    // One that was ending has not heard of the wish.
    while (this.#readAgain && done && !this.#stopped) {
      this.#reading ??= this.#readAll().finally(() => {
        this.#reading = null
        // What came up to now was left to the reading.
        if (this.#held.length > 0 && !this.#stopped) this.#readLater()
      })
      done = await this.#reading
    }
    return done
  }

  async #readAll(): Promise<boolean> {
    const { pool } = this.#store
    if (this.#run === null || this.#reader === null) return false
    try {
      while (this.#readAgain && !this.#stopped) {
        this.#readAgain = false
        const page = await readEvents(pool, this.#run, this.#place, pageSize)
        for (const batch of page) this.#deliver(batch)
        if (page.length === pageSize) this.#readAgain = true
        await this.#reader.ready()
        this.#deliverHeld()
      }
      return true
    } catch (error) {
      this.#reader.failed(error)
      return false
    }
  }

  /** What is published is not stored yet: it will be in a moment. */
  #readLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      void this.read()
    }, gapMs)
  }

  #onBatch(batch: EventBatch): void {
    if (this.#stopped) return
    const inOrder = this.#reader !== null && this.#reading === null && this.#held.length === 0
    if (inOrder && this.#follows(batch)) return this.#take(batch)
    // The log will have them, so a reader that does not keep up need not be waited for with all of them.
    if (this.#held.length >= maxHeld) this.#held.length = 0
    this.#held.push(batch)
    if (this.#reader !== null && this.#reading === null && this.#timer === null) void this.read()
  }

  #onLogged(upTo: EventPlace | null): void {
    if (this.#reader === null || this.#stopped) return
    if (upTo === null || isBehind(upTo, this.#place)) void this.read()
  }

  #deliverHeld(): void {
    for (let first = this.#held[0]; first && this.#follows(first); first = this.#held[0]) {
      this.#held.shift()
      this.#take(first)
    }
  }

  /** Whether nothing can be missing between what the reader has and this batch. */
  #follows(batch: EventBatch): boolean {
    if (!isBehind(lastPlace(batch), this.#place)) return true
    if (batch.term === this.#place.term) return batch.first <= this.#place.no + 1
    return batch.first === 0 && batch.from !== null && batch.from === this.#version
  }

  #take(batch: EventBatch): void {
    this.#deliver(batch)
    if (this.#version === null || batch.version > this.#version) this.#version = batch.version
  }

  #deliver({ term, first, events }: Pick<EventBatch, 'term' | 'first' | 'events'>): void {
    for (const [i, event] of events.entries()) {
      const place = { term, no: first + i }
      if (this.#stopped || !isBehind(place, this.#place)) continue
      this.#place = place
      this.#reader?.deliver(event, place)
    }
  }
}
