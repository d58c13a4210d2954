/**
 * Joins surrogate pairs that a backend cut between two fragments, and replaces halves that stay alone: half a
 * pair is refused by Postgres and lost in UTF-8.
 */
export class SplitPairs {
  #half = ''

  take(fragment: string): string {
    if (fragment === '') return ''
    const text = this.#half + fragment
    const last = text.charCodeAt(text.length - 1)
    const cut = last >= 0xd800 && last <= 0xdbff
    this.#half = cut ? text.slice(-1) : ''
    return (cut ? text.slice(0, -1) : text).toWellFormed()
  }

  /** What is left at the end of the stream. */
  end(): string {
    const left = this.#half.toWellFormed()
    this.#half = ''
    return left
  }
}
