import { backupCommand, restoreCommand } from './backup-command.ts'
import type { Command } from './command.ts'
import { keysCommands } from './keys-commands.ts'
import { serveCommand } from './serve-command.ts'

/** All commands, in the order in which the help lists them. The first is what `threadmill` alone means. */
export const commands: readonly Command[] = [serveCommand, backupCommand, restoreCommand, ...keysCommands]
