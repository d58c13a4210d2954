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
  /** What is left of the present pass. */
  #projects: Retained[] | null = null
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
    this.#projects ??= await retainedProjects(pool, this.#otherwise)
    if ((await unpurgedThreads(pool, mostUnpurged)) >= mostUnpurged) return
    for (let left = roundSize; left > 0;) {
      const [project] = this.#projects
      if (!project) return this.#end()
      left -= 1 + (await this.#page(project, left))
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
    if (seen < limit) {
      this.#projects?.shift()
      this.#after = firstPlace
    }
    return seen
  }

  #end(): void {
    this.#projects = null
    this.#after = firstPlace
    this.#nextPass = this.#store.clock.now() + rest
  }
}
