import { reasonOf, type Log } from '../log.ts'
import { isFirstNode } from '../store/nodes.ts'
import {
  firstPlace,
  retainedProjects,
  retireThreads,
  unpurgedThreads,
  type Retained,
} from '../store/retention.ts'
import type { Store } from '../store/store.ts'
import { forgetUsage } from '../store/usage-days.ts'

/** Threads that a round looks at. */
const roundSize = 200

/** Deleted threads that wait to be purged, from which on no more are added to them. */
const mostUnpurged = 1_000

/** Seconds between a pass over all threads and the next. */
const rest = 60

/** Deletes threads by age, and what days that are over have used: of all nodes one does it, in rounds of a few threads, so that nobody notices. */
export class Retention {
  readonly #store: Store
  readonly #log: Log
  readonly #otherwise: number
  /** Projects that are left of the present pass. */
  #projects: string[] | null = null
  #after = firstPlace
  #nextPass = 0

  /** `otherwise`: seconds for which projects keep their threads that say nothing about it; 0 is for ever. */
  constructor(store: Store, log: Log, otherwise: number) {
    this.#store = store
    this.#log = log
    this.#otherwise = otherwise
  }

  /** One round. What fails is logged, and tried again in the next. */
  async round(): Promise<void> {
    if (this.#store.clock.now() < this.#nextPass) return
    try {
      await this.#some()
    } catch (error) {
      this.#log.warn('threads could not be deleted by age', { reason: reasonOf(error) })
    }
  }

  async #some(): Promise<void> {
    const { pool, node, lease } = this.#store
    if (!(await isFirstNode(pool, node, lease.silence))) return this.#end()
    if (this.#projects === null) await forgetUsage(pool)
    // As it is now: a pass may take hours, and whoever wants to keep threads does not mean those alone that it has not come to.
    const retained = await retainedProjects(pool, this.#otherwise)
    this.#projects ??= retained.map(({ id }) => id)
    if ((await unpurgedThreads(pool, mostUnpurged)) >= mostUnpurged) return
    for (let left = roundSize; left > 0;) {
      const [project] = this.#projects
      if (project === undefined) return this.#end()
      const present = retained.find(({ id }) => id === project)
      left -= 1 + (present ? await this.#page(present, left) : this.#next())
    }
  }

  /** The next threads of a project; answers how many were looked at. */
  async #page({ id, seconds }: Retained, limit: number): Promise<number> {
    const { pool, clock, recent, metrics } = this.#store
    const now = clock.now()
    const page = { after: this.#after, cutoff: now - seconds, limit, now }
    const { seen, last, ids } = await retireThreads(pool, id, page)
    recent.forgetThreads(ids)
    metrics.threadsRetired.add(ids.length)
    if (ids.length > 0) this.#log.info('threads were deleted by age', { project: id, threads: ids.length })
    this.#after = last ?? firstPlace
    return seen < limit ? seen + this.#next() : seen
  }

  /** Leaves a project; nothing more is looked at for that. */
  #next(): number {
    this.#projects?.shift()
    this.#after = firstPlace
    return 0
  }

  #end(): void {
    this.#projects = null
    this.#after = firstPlace
    this.#nextPass = this.#store.clock.now() + rest
  }
}
