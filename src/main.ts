import { commands } from './cli/commands.ts'
import { runCommand } from './cli/run.ts'

// The process: its words and its environment in, its exit code out. Nothing imports this file.

// Whoever read what we say may have gone (`threadmill | head`): that is no reason to end without order.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const exitCode = await runCommand(commands, process.argv.slice(2), process.env, {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
})
// What a start that failed has left open keeps no process.
process.exit(exitCode)
