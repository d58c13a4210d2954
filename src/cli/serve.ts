import { startApp, type App } from '../app.ts'
import { readConfig } from '../config.ts'
import { createLog, reasonOf } from '../log.ts'
import { banner } from './banner.ts'
import { exitCodes, type Environment, type Output } from './command.ts'
import { explain } from './explain.ts'

// The server as a process: settings in, banner out, signals.

/** A terminal may deliver one Ctrl-C twice, to npm and to us; only later signals mean "now". Milliseconds. */
const impatientAfterMs = 1_000

/** Milliseconds after which a stop that hangs is cut short. */
const stopWithinMs = 14_800

/** Serves until a signal ends the process. Throws what keeps it from starting. */
export async function serve(env: Environment, output: Output): Promise<number> {
  const config = readConfig(env)
  const log = createLog(config.logLevel, undefined, config.logContent)
  process.on('unhandledRejection', (error) =>
    log.error('a promise was rejected unheard', { reason: reasonOf(error) }),
  )
  const broken = new AbortController()
  const starting = startApp(config, log, {}, broken.signal)
  // Before it serves: a start may take minutes, and leaves no Postgres behind when it is broken off.
  const server: Server = {
    async stop() {
      broken.abort()
      if (config.databaseUrl === null) await starting.then((app) => app.stop()).catch(() => {})
    },
    abort: () => broken.abort(),
  }
  const stopped = stopOnSignals(server, output)
  try {
    const app = await starting
    if (broken.signal.aborted) return await stopped
    server.stop = () => app.stop()
    server.abort = () => app.abort()
    output.out(banner(app))
  } catch (error) {
    if (!broken.signal.aborted) throw error
  }
  return stopped
}

/** How what is started, or about to be, ends. */
type Server = Pick<App, 'stop' | 'abort'>

function stopOnSignals(server: Server, output: Output): Promise<never> {
  let stoppingSince: number | null = null
  const onSignal = (signal: NodeJS.Signals) => {
    if (stoppingSince !== null) {
      if (performance.now() - stoppingSince <= impatientAfterMs) return
      server.abort()
      process.exit(exitCodes.fault)
    }
    stoppingSince = performance.now()
    output.out(
      `\n  ${signal}: stopping. Runs get a few seconds to end, the rest is carried on by the next start. A second signal stops at once.\n`,
    )
    // Whatever hangs, for instance a database that no longer answers, does not keep the process.
    setTimeout(() => {
      output.err('threadmill: stopping took too long; what was acknowledged is in the database.\n')
      server.abort()
      process.exit(exitCodes.fault)
    }, stopWithinMs).unref()
    server.stop().then(
      () => process.exit(exitCodes.done),
      (error: unknown) => {
        output.err(`${explain(error).text}\n`)
        process.exit(exitCodes.fault)
      },
    )
  }
  // A terminal that is closed reaches us by the last, and the embedded Postgres not at all.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  return new Promise(() => {})
}
