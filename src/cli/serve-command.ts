import type { Command } from './command.ts'

export const serveCommand: Command = {
  name: 'serve',
  summary: 'Serves the API; what `threadmill` alone does.',
  details: `Its settings are environment variables, listed in docs/config.md; every one has a default that works.
Stops on SIGTERM, SIGINT or SIGHUP within 15 s; a second signal, a second later or more, stops at once.`,
  // Loaded when it is needed: other commands start sooner without the server.
  run: async ({ env, output }) => (await import('./serve.ts')).serve(env, output),
}
