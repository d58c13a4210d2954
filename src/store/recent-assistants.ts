import type { AssistantRecord } from '../domain/records.ts'
import { sizeOf } from './write-size.ts'

/** Assistants kept; those that have been kept the longest go first. */
const mostAssistants = 1_000

/** Characters of one that is kept: those that are larger are read each time, and do not fill the memory. */
const largestAssistant = 65_536

/**
 * Assistants as they were read, for a node that has the database to itself (docs/decisions/0019): each run begins with
 * its assistant's settings. What is being changed is not kept, nor what was read while something changed.
 */
export class RecentAssistants {
  /** null: never kept, since nobody knows whether a change of it was committed, or will be. */
  readonly #assistants = new Map<string, AssistantRecord | null>()
  #changes = 0

  /** The assistant as it is kept, or as `find` reads it. */
  async read(
    project: string,
    id: string,
    find: () => Promise<AssistantRecord | null>,
  ): Promise<AssistantRecord | null> {
    const known = this.#assistants.get(id)
    if (known && known.project_id === project) return known
    const changes = this.#changes
    const found = await find()
    if (found === null || known === null || changes !== this.#changes) return found
    if (sizeOf(found) <= largestAssistant) this.#set(id, found)
    return found
  }

  /** Makes a change: what is kept is dropped before and behind it. */
  async change<T>(id: string, change: () => Promise<T>): Promise<T> {
    this.#drop(id)
    try {
      return await change()
    } catch (error) {
      this.#set(id, null)
      throw error
    } finally {
      this.#drop(id)
    }
  }

  #drop(id: string): void {
    this.#changes += 1
    if (this.#assistants.get(id)) this.#assistants.delete(id)
  }

  #set(id: string, assistant: AssistantRecord | null): void {
    this.#assistants.set(id, assistant)
    if (this.#assistants.size <= mostAssistants) return
    const [oldest] = this.#assistants.keys()
    if (oldest !== undefined) this.#assistants.delete(oldest)
  }
}
