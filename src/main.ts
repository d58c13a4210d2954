import { startApp, type App } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLog, reasonOf } from './log.ts'
import { StoreStartError } from './store/embedded/errors.ts'

// The process: settings in, banner out, signals. Nothing imports this file.

/** A terminal may deliver one Ctrl-C twice, to npm and to us; only later signals mean "now". Milliseconds. */
const impatientAfterMs = 1_000

try {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  process.on('unhandledRejection', (error) =>
    log.error('a promise was rejected unheard', { reason: reasonOf(error) }),
  )
  const app = await startApp(config, log)
  process.stdout.write(banner(app))
  stopOnSignals(app)
} catch (error) {
  process.stderr.write(`${explain(error)}\n`)
  process.exit(1)
}

function banner(app: App): string {
  const lines = [
    '',
    `  Threadmill serves the OpenAI Assistants API at ${app.url}/v1`,
    '',
    `  store  ${app.storeDescription}`,
    `  model  ${app.model}`,
    ...(app.notice ? [`  note   ${app.notice}`] : []),
    '',
    '  Try it:',
    `    A=$(curl -s ${app.url}/v1/assistants -H 'content-type: application/json' \\`,
    `      -d '{"model":"demo"}' | grep -o 'asst_[A-Za-z0-9]*')`,
    `    curl -sN ${app.url}/v1/threads/runs -H 'OpenAI-Beta: assistants=v2' -H 'content-type: application/json' \\`,
    `      -d '{"assistant_id":"'$A'","stream":true,"thread":{"messages":[{"role":"user","content":"Hello!"}]}}'`,
    '',
    '  An app moves here by changing its base URL:',
    `    new OpenAI({ baseURL: '${app.url}/v1', apiKey: 'unused' })`,
    '',
  ]
  return lines.join('\n') + '\n'
}

/** Milliseconds after which a stop that hangs is cut short. */
const stopWithinMs = 14_800

function stopOnSignals(app: App): void {
  let stoppingSince: number | null = null
  const onSignal = (signal: NodeJS.Signals) => {
    if (stoppingSince !== null) {
      if (performance.now() - stoppingSince <= impatientAfterMs) return
      app.abort()
      process.exit(1)
    }
    stoppingSince = performance.now()
    process.stdout.write(
      `\n  ${signal}: stopping. Runs get a few seconds to end, the rest is carried on by the next start. A second signal stops at once.\n`,
    )
    // Whatever hangs, for instance a database that no longer answers, does not keep the process.
    setTimeout(() => {
      process.stderr.write('threadmill: stopping took too long; what was acknowledged is in the database.\n')
      app.abort()
      process.exit(1)
    }, stopWithinMs).unref()
    app.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`${explain(error)}\n`)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** One sentence for what the user can mend; a stack only for what is our own fault. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof StoreStartError) return `threadmill: ${error.message}`
  const { code, port } = error as { code?: unknown; port?: unknown }
  if (code === 'EADDRINUSE') {
    return `threadmill: port ${String(port)} is taken by another program. Stop it, or set PORT to another one.`
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    return `threadmill: cannot listen on HOST and PORT as they are set: ${reasonOf(error)}`
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
