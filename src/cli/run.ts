import { parseArgs } from 'node:util'
import { version } from '../observe/version.ts'
import { exitCodes, Failure, type Command, type Environment, type Output } from './command.ts'
import { explain } from './explain.ts'
import { commandHelp, overview } from './help.ts'

/** Does what the words behind `threadmill` say, and answers the exit code. Never rejects. */
export async function runCommand(
  commands: readonly Command[],
  words: string[],
  env: Environment,
  output: Output,
): Promise<number> {
  try {
    return await run(commands, words, env, output)
  } catch (error) {
    const { text, exitCode } = explain(error)
    output.err(`${text}\n`)
    return exitCode
  }
}

async function run(
  commands: readonly Command[],
  words: string[],
  env: Environment,
  output: Output,
): Promise<number> {
  const [first = ''] = words
  if (['--version', '-v'].includes(first)) return print(output, `${version}\n`)
  if (first === 'help') return help(commands, words.slice(1), output)
  if (['--help', '-h'].includes(first)) return help(commands, [], output)
  const command = find(commands, words)
  if (!command) return unknown(commands, words, output)
  const rest = words.slice(first === '' || first.startsWith('-') ? 0 : command.name.split(' ').length)
  const { args, options } = parse(command, rest)
  if (options['help'] === true) return print(output, commandHelp(command))
  return command.run({ args: checked(command, args), options, env, output })
}

/** The command that the words begin with; the first of all if they name none but only options. */
function find(commands: readonly Command[], words: string[]): Command | undefined {
  if (words[0] === undefined || words[0].startsWith('-')) return commands[0]
  return commands.find(({ name }) => name.split(' ').every((word, i) => word === words[i]))
}

function help(commands: readonly Command[], words: string[], output: Output): number {
  if (words.length === 0) return print(output, overview(commands))
  const command = find(commands, words)
  return command ? print(output, commandHelp(command)) : unknown(commands, words, output)
}

/** No such command: either a group is asked for its commands, or it is a mistake. */
function unknown(commands: readonly Command[], words: string[], output: Output): number {
  const [group = '', next] = words
  const isGroup = commands.some(({ name }) => name.startsWith(`${group} `))
  if (isGroup && (next === undefined || next === '--help' || next === '-h')) {
    const text = overview(commands, group)
    if (next !== undefined) return print(output, text)
    output.err(text)
    return exitCodes.usage
  }
  const asked = isGroup ? `${group} ${next}` : group
  throw new Failure(
    exitCodes.usage,
    `there is no command "${asked.slice(0, 100)}". \`threadmill${isGroup ? ` ${group}` : ''} --help\` lists those that there are.`,
  )
}

function parse(command: Command, words: string[]) {
  const known = Object.entries(command.options ?? {}).map(([name, { type, short }]) => [
    name,
    short === undefined ? { type } : { type, short },
  ])
  try {
    const { values, positionals } = parseArgs({
      args: words,
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
    return { args: positionals, options: values as Record<string, string | boolean | undefined> }
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split(/\. To specify|\n/)
    throw misused(command, `${reason?.replace(/\.$/, '')}.`, error)
  }
}

/** What a command takes, if there is neither too little nor too much. */
function checked(command: Command, args: string[]): (string | undefined)[] {
  const { takes = [] } = command
  const missing = takes.filter((name) => !name.startsWith('['))[args.length]
  if (missing !== undefined) throw misused(command, `${missing} is missing.`)
  const more = args[takes.length]
  if (more !== undefined) throw misused(command, `"${more.slice(0, 100)}" is more than it takes.`)
  return takes.map((_, i) => args[i])
}

function misused({ name }: Command, message: string, cause?: unknown): Failure {
  return new Failure(exitCodes.usage, `${message} \`threadmill ${name} --help\` says what it takes.`, {
    cause,
  })
}

function print(output: Output, text: string): number {
  output.out(text)
  return exitCodes.done
}
