// One line of JSON per entry on stderr: machines read it, and stdout stays free for the banner.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Log {
  /** Whether entries of the level debug are written: who asks need not make them in vain. */
  readonly verbose: boolean
  /** Whether entries of the level debug may hold what people and models wrote. */
  readonly content: boolean
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

const rank: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 }

/**
 * Writes entries at or above `level`. Callers pass ids and counts, never headers or credentials, and what people and models
 * wrote only if `content` says so.
 */
export function createLog(
  level: LogLevel,
  write = (line: string) => process.stderr.write(line),
  content = false,
): Log {
  const at = (entryLevel: Exclude<LogLevel, 'silent'>) => (message: string, fields?: LogFields) => {
    if (rank[entryLevel] < rank[level]) return
    write(JSON.stringify({ time: new Date().toISOString(), level: entryLevel, message, ...fields }) + '\n')
  }
  const verbose = rank[level] === rank.debug
  return {
    verbose,
    content: content && verbose,
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  }
}

/** Milliseconds from one line of a warning that repeats itself to its next. */
const betweenRepeats = 10_000

/** A warning that an outage makes come again and again: its first is written at once, and later ones stand for all since. */
export class RepeatedWarning {
  readonly #log: Log
  readonly #message: string
  readonly #now: () => number
  #saidAt = -Infinity
  #unsaid = 0

  /** `now`: milliseconds of a clock that never steps back. */
  constructor(log: Log, message: string, now: () => number = () => performance.now()) {
    this.#log = log
    this.#message = message
    this.#now = now
  }

  /** Counts one; `times` in the line is how many it stands for. */
  say(fields: LogFields): void {
    this.#unsaid += 1
    if (this.#now() - this.#saidAt < betweenRepeats) return
    this.#log.warn(this.#message, { ...fields, times: this.#unsaid })
    this.#saidAt = this.#now()
    this.#unsaid = 0
  }
}

/** What an unknown thrown value says of itself, without its stack. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // Node's, of a name with several addresses that all refuse, says nothing itself.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  // Of data that it cannot take (class 22) Postgres quotes the value, which is what somebody wrote.
  const quotes = 'code' in error && typeof error.code === 'string' && /^22[0-9A-Z]{3}$/.test(error.code)
  return quotes ? error.message.replace(/"[\s\S]*"/, '"..."') : error.message
}
