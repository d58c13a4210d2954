/** The caller gave up: by `abort()` of the request, or by its AbortSignal, whose reason is the cause. */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORTED'

  constructor(reason?: unknown) {
    super('The request was aborted.', { cause: reason })
  }
}
