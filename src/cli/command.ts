// What a command of `threadmill` is. The table of all is commands.ts.

/** The environment, as main.ts hands it over: settings are read from it by config.ts. */
export type Environment = Record<string, string | undefined>

/** Where a command writes: what was asked for, and what is said besides. */
export interface Output {
  out(text: string): void
  err(text: string): void
}

export interface Option {
  type: 'string' | 'boolean'
  /** One letter that stands for it. */
  short?: string
  /** What the help calls its value. */
  value?: string
  help: string
}

/** A command as it was called. */
export interface Call {
  /** What stands behind its name, in the order of `takes`; those that may be left out are undefined then. */
  args: (string | undefined)[]
  options: Record<string, string | boolean | undefined>
  env: Environment
  output: Output
}

export interface Command {
  /** The words behind `threadmill`: `serve`, `keys create`. */
  name: string
  /** One line for the list of commands. */
  summary: string
  /** Names of what it takes behind its name; one in brackets may be left out. */
  takes?: readonly string[]
  options?: Record<string, Option>
  /** More about it, for its own help. */
  details?: string
  /** Answers the exit code. Throws Failure, ConfigError or StoreStartError for what the user can mend. */
  run(call: Call): Promise<number>
}

/** What the exit codes mean; the numbers from 64 on are those of sysexits(3). docs/cli.md lists them. */
export const exitCodes = {
  /** It did what it was asked to do. */
  done: 0,
  /** A fault of Threadmill itself, or a stop that was cut short. */
  fault: 1,
  /** The command was not understood: another try with the same words fails too. */
  usage: 64,
  /** A file that was to be read is damaged, or not what it should be. */
  badData: 65,
  /** A file that was to be read is not there or cannot be opened. */
  noInput: 66,
  /** Something it needs is not to be had now: the database, the port, the data folder. Another try may succeed. */
  unavailable: 69,
  /** A file cannot be written. */
  cannotWrite: 73,
  /** What was asked for is refused as things are: a database that is not empty, a name that is taken. */
  refused: 77,
  /** A setting cannot be used: another try with the same settings fails too. */
  config: 78,
} as const

/** A command cannot do what it was asked to do; the message says why and what to do next. */
export class Failure extends Error {
  readonly exitCode: number

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
  }
}
