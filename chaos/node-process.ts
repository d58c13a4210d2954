import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { PgGate } from './pg-gate.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface NodeOptions {
  name: string
  port: number
  gate: PgGate
  modelUrl: string
  cache: string
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The exit code of a server that cannot use its database (docs/cli.md). */
const unavailable = 69

/** One server process, which is started again whenever it has been killed. */
export class NodeProcess {
  readonly name: string
  readonly url: string
  readonly gate: PgGate
  readonly #options: NodeOptions
  #child: ChildProcess | null = null
  #stopped = false
  /** When it was killed, started again, and answered again. */
  kills: { at: number; startedAt: number | null; backAt: number | null }[] = []
  /** The last lines that it wrote to stderr. */
  said: string[] = []
  /** Starts that ended since Postgres could not be reached: whatever keeps servers running starts them again. */
  startsInVain = 0
  /** When it said that it could not beat in time, and left its runs to others. */
  readonly gaveUp: number[] = []
  /** Exits that nobody asked for. */
  crashes: string[] = []
  #killed = false
  #serving = false

  constructor(options: NodeOptions) {
    this.#options = options
    this.name = options.name
    this.gate = options.gate
    this.url = `http://127.0.0.1:${options.port}`
  }

  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  start(): void {
    const { port, gate, modelUrl, cache } = this.#options
    this.#killed = false
    const last = this.kills.at(-1)
    if (last) last.startedAt ??= performance.now()
    const child = spawn(process.execPath, [join(root, 'src', 'main.ts')], {
      env: {
        PATH: process.env['PATH'] ?? '',
        PORT: String(port),
        DATABASE_URL: gate.url,
        OPENAI_BASE_URL: modelUrl,
        LOG_LEVEL: 'warn',
        NODE_COMPILE_CACHE: cache,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    this.said = []
    running.add(child)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('could not beat in time')) this.gaveUp.push(performance.now())
      this.said = [...this.said, ...text.trim().split('\n')].slice(-40)
    })
    child.on('close', (code, signal) => {
      running.delete(child)
      if (this.#child !== child) return
      this.#child = null
      const inVain =
        code === unavailable &&
        !this.#serving &&
        /The database of DATABASE_URL cannot be used/.test(this.said.at(-1) ?? '')
      if (inVain) this.startsInVain++
      else if (!this.#killed && !this.#stopped)
        this.crashes.push(`${this.name} ended by itself: ${code ?? signal}: ${this.said.slice(-3).join(' ')}`)
      if (!this.#stopped) this.start()
    })
    this.#serving = false
    void this.#watch(child)
  }

  /** Whether it has answered since it was started last. */
  get serving(): boolean {
    return this.#serving && !this.#killed
  }

  /** Resolves when it can serve; gives up silently when it is being stopped. */
  async ready(): Promise<void> {
    while (!this.#stopped && !this.serving) await sleep(50)
  }

  async #watch(child: ChildProcess): Promise<void> {
    while (this.#child === child && !this.#killed && !this.#stopped) {
      const answer = await fetch(`${this.url}/readyz`).catch(() => null)
      await answer?.text().catch(() => {})
      if (answer?.status === 200 && this.#child === child) {
        this.#serving = true
        const last = this.kills.at(-1)
        if (last) last.backAt ??= performance.now()
        return
      }
      await sleep(100)
    }
  }

  /** SIGKILL. False if it was not running. */
  kill(): boolean {
    if (!this.#child || this.#killed) return false
    this.#killed = true
    this.kills.push({ at: performance.now(), startedAt: null, backAt: null })
    this.gate.arm(null, () => {})
    return this.#child.kill('SIGKILL')
  }

  /** SIGKILL, for good. */
  retire(): void {
    this.#stopped = true
    this.#child?.kill('SIGKILL')
    this.#child = null
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name)
  }

  /** SIGTERM, and waits for the end; answers the exit code. */
  async stop(): Promise<number | null> {
    this.#stopped = true
    const child = this.#child
    if (!child) return 0
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    return new Promise((resolve) => child.on('exit', (code) => resolve(code)))
  }
}
