/**
 * Lets so much go on at a time; who comes when that is used up waits, first come, first served. What counts is up to its
 * users: calls, bytes.
 */
export class Semaphore {
  readonly #total: number
  #free: number
  readonly #waiting: { amount: number; begin: () => void }[] = []

  constructor(total: number) {
    this.#total = total
    this.#free = total
  }

  /**
   * Resolves when it is the caller's turn, to what gives the amount back; more than there is counts as all of it. Rejects
   * with the signal's reason if that comes first.
   */
  acquire(amount: number, signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted()
    const taken = Math.min(amount, this.#total)
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(turn), 1)
        reject(signal?.reason as Error)
        // Those behind it may need less.
        this.#admit()
      }
      const turn = {
        amount: taken,
        begin: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve(this.#giveBack(taken))
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(turn)
      this.#admit()
    })
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && next.amount <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.amount
      next.begin()
    }
  }

  #giveBack(amount: number): () => void {
    let given = false
    return () => {
      if (given) return
      given = true
      this.#free += amount
      this.#admit()
    }
  }
}
