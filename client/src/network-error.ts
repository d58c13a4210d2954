/** The server could not be reached, or the connection broke before the answer was whole. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  /** The code of the system, for instance ECONNREFUSED; browsers do not tell it, there it is NETWORK_ERROR. */
  readonly code: string

  constructor(cause: unknown) {
    const fault = causeOf(cause)
    super(fault.message || 'The connection failed.', { cause })
    this.code = fault.code ?? 'NETWORK_ERROR'
  }
}

interface Fault {
  message: string
  code?: string
}

/** The innermost error: fetch wraps it, and one error of several attempts wraps those. */
function causeOf(error: unknown): Fault {
  const { cause, errors } = Object(error) as { cause?: unknown; errors?: unknown[] }
  if (cause) return causeOf(cause)
  if (errors?.length) return causeOf(errors[0])
  return error instanceof Error ? error : { message: String(error) }
}
