import { AbortError } from './abort-error.ts'
import { ApiError } from './api-error.ts'
import { NetworkError } from './network-error.ts'
import { TimeoutError } from './timeout-error.ts'

/** Pauses in milliseconds before each try again; a server that restarts is away for less than their sum. */
const pauses = [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]

/** How often something has failed in a row, and how long to wait before the next try. */
export class Retry {
  #failures = 0

  /** Call it when something went well: failures count from here on. */
  reset(): void {
    this.#failures = 0
  }

  /**
   * Waits before another try; `least` in milliseconds. Throws `error` if another try is of no use, or if there were
   * too many.
   */
  async after(error: unknown, signal: AbortSignal | undefined, least?: number): Promise<void> {
    const pause = pauses[this.#failures]
    this.#failures += 1
    if (pause === undefined || !mayPass(error)) throw error
    await sleep(least ?? retryAfter(error) ?? pause, signal)
  }
}

/** Whether an error may be gone at the next try. */
function mayPass(error: unknown): boolean {
  if (error instanceof NetworkError || error instanceof TimeoutError) return true
  return error instanceof ApiError && (error.status === 429 || error.status >= 500)
}

/** What the server asked to wait, in milliseconds; never more than the longest pause. */
function retryAfter(error: unknown): number | undefined {
  const seconds = error instanceof ApiError ? Number(error.response.headers['retry-after']) : NaN
  return seconds >= 0 ? Math.min(seconds * 1000, 5_000) : undefined
}

/** Waits; rejects with an AbortError when the signal fires. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(new AbortError(signal?.reason))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    if (signal?.aborted) stop()
    else signal?.addEventListener('abort', stop, { once: true })
  })
}
