import type { EventBatch, EventPlace } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'

// Where http and engine meet within one process: nothing here is a promise of durability. What is announced
// was committed first, text deltas aside.

type Listener<T> = (value: T) => void

class Topics<T> {
  readonly #listeners = new Map<string, Set<Listener<T>>>()

  on(topic: string, listener: Listener<T>): () => void {
    const set = this.#listeners.get(topic) ?? new Set()
    this.#listeners.set(topic, set.add(listener))
    return () => {
      set.delete(listener)
      if (set.size === 0 && this.#listeners.get(topic) === set) this.#listeners.delete(topic)
    }
  }

  emit(topic: string, value: T): void {
    for (const listener of this.#listeners.get(topic) ?? []) listener(value)
  }

  emitAll(value: T): void {
    for (const topic of this.#listeners.keys()) this.emit(topic, value)
  }
}

export class Signals {
  readonly #events = new Topics<EventBatch>()
  readonly #logged = new Topics<EventPlace | null>()
  readonly #changes = new Topics<RunRecord | null>()
  readonly #everyChange = new Set<Listener<RunRecord>>()

  /** Calls `on` for each batch of the run's events that is made here from now on; answers how to stop. */
  subscribe(runId: string, on: Listener<EventBatch>): () => void {
    return this.#events.on(runId, on)
  }

  publish(runId: string, batch: EventBatch): void {
    if (batch.events.length > 0) this.#events.emit(runId, batch)
  }

  /**
   * Calls `on` when the run's log holds all up to the place that it is called with, or may hold more than it did, if
   * that is null; answers how to stop.
   */
  watchLog(runId: string, on: Listener<EventPlace | null>): () => void {
    return this.#logged.on(runId, on)
  }

  logged(runId: string, upTo: EventPlace | null): void {
    this.#logged.emit(runId, upTo)
  }

  /**
   * Calls `on` for each committed change of the run from now on, and with null when it may have changed elsewhere;
   * answers how to stop.
   */
  watch(runId: string, on: Listener<RunRecord | null>): () => void {
    return this.#changes.on(runId, on)
  }

  /** The same for every run. */
  watchAll(on: Listener<RunRecord>): () => void {
    this.#everyChange.add(on)
    return () => this.#everyChange.delete(on)
  }

  changed(run: RunRecord): void {
    this.#changes.emit(run.id, run)
    for (const listener of this.#everyChange) listener(run)
  }

  /** The run may have changed on another node. */
  nudge(runId: string): void {
    this.#changes.emit(runId, null)
  }

  /** Any run may have changed on another node without a word. */
  lookAgain(): void {
    this.#changes.emitAll(null)
    this.#logged.emitAll(null)
  }
}
