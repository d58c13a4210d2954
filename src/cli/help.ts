import type { Command, exitCodes } from './command.ts'

// The texts of `--help`. docs/cli.md shows the same ones.

/** The list of commands: all, or those of a group such as `keys`. */
export function overview(commands: readonly Command[], group?: string): string {
  const listed = commands.filter(({ name }) => group === undefined || name.startsWith(`${group} `))
  const rows = listed.map((command) => [callOf(command), command.summary] as const)
  return [
    group === undefined
      ? 'Threadmill serves the OpenAI Assistants API on your own machine and Postgres.'
      : `Commands of threadmill ${group}:`,
    '',
    ...(group === undefined ? ['Usage: threadmill [COMMAND]', ''] : []),
    ...columns(rows),
    '',
    'threadmill COMMAND --help says more about one.',
    ...(group === undefined ? ['threadmill --version names the version.'] : []),
    '',
  ].join('\n')
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  const options = Object.entries(command.options ?? {}).map(([name, { short, type, value, help }]) => {
    const long = type === 'string' ? `--${name} ${value ?? 'VALUE'}` : `--${name}`
    return [short === undefined ? long : `-${short}, ${long}`, help] as const
  })
  return [
    `Usage: threadmill ${callOf(command)}${options.length > 0 ? ' [OPTIONS]' : ''}`,
    '',
    command.summary,
    ...(command.details === undefined ? [] : [command.details]),
    ...(options.length === 0 ? [] : ['', ...columns(options)]),
    '',
  ].join('\n')
}

/** A command with what it takes: `backup FILE`. */
function callOf({ name, takes = [] }: Command): string {
  return [name, ...takes].join(' ')
}

function columns(rows: (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

/** The exit codes by number, with what each means. */
export const exitCodeMeanings: Record<(typeof exitCodes)[keyof typeof exitCodes], string> = {
  0: 'done; for `serve`: stopped in order',
  1: 'a fault of Threadmill itself, or a stop that was cut short',
  64: 'the command was not understood',
  65: 'a file that was read is damaged, or not what it should be',
  66: 'a file that was to be read is not there, or cannot be opened',
  69: 'something that it needs is not to be had now: the database, the port, the data folder; another try may succeed',
  73: 'a file cannot be written',
  77: 'refused as things are, for instance because a database is not empty',
  78: 'a setting cannot be used; another try with the same settings fails too',
}
