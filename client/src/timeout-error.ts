/** There was no whole answer in time. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError'
  readonly code = 'ECONNABORTED'
  readonly errno = 'ETIME'
  /** The limit in milliseconds. */
  readonly timeout: number

  constructor(timeout: number) {
    super(`Timeout of ${timeout}ms exceeded`)
    this.timeout = timeout
  }
}
