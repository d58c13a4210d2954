import { ConfigError } from '../config.ts'
import { reasonOf } from '../log.ts'
import { StoreStartError } from '../store/embedded/errors.ts'
import { connectionBroke, NotDone } from '../store/pool.ts'
import { exitCodes, Failure } from './command.ts'

/** One sentence and an exit code for what the user can mend; a stack only for what is our own fault. */
export function explain(error: unknown): { text: string; exitCode: number } {
  if (error instanceof Failure) return said(error.message, error.exitCode)
  if (error instanceof ConfigError) return said(error.message, exitCodes.config)
  if (error instanceof StoreStartError) return said(error.message, exitCodes.unavailable)
  const { code, port } = error as { code?: unknown; port?: unknown }
  if (code === 'EADDRINUSE') {
    return said(
      `port ${String(port)} is taken by another program. Stop it, or set PORT to another one.`,
      exitCodes.unavailable,
    )
  }
  if (['EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN'].includes(String(code))) {
    return said(`cannot listen on HOST and PORT as they are set: ${reasonOf(error)}`, exitCodes.config)
  }
  if (error instanceof NotDone || connectionBroke(error)) {
    return said(
      `the connection to the database broke: ${reasonOf(error)}. Try again when the database is there.`,
      exitCodes.unavailable,
    )
  }
  return {
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
    exitCode: exitCodes.fault,
  }
}

function said(message: string, exitCode: number) {
  return { text: `threadmill: ${message}`, exitCode }
}
