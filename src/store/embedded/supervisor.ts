// Looks after the postmaster that runs: when it ends by itself it is started again, for as long as it takes.

import { setTimeout as sleep } from 'node:timers/promises'
import { reasonOf, type Log } from '../../log.ts'
import { clearRemains } from './orphan.ts'
import { logOf, shutDown, type Cluster, type Postmaster } from './postmaster.ts'
import { isRunning, signal } from './processes.ts'
import { boundServerLog } from './server-log.ts'

export interface SupervisorOptions {
  cluster: Cluster
  /** The one that runs. */
  postmaster: Postmaster
  log: Log
  /** Starts another; resolves when it takes connections. `launched` hears of each attempt before that. */
  start: (launched: (postmaster: Postmaster) => void) => Promise<void>
}

/** Milliseconds. */
const times = {
  betweenLooks: 200,
  firstPause: 200,
  longestPause: 10_000,
  /** One that ran for so long begins with the shortest pause again. */
  settled: 30_000,
  /** Between two lines about one that cannot be started. */
  betweenLines: 60_000,
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #stopping = new AbortController()
  readonly #timer: NodeJS.Timeout
  #postmaster: Postmaster
  #runsSince = performance.now()
  #pause = times.firstPause
  #saidAt = -Infinity
  #restarting: Promise<void> | null = null

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#postmaster = options.postmaster
    this.#timer = setInterval(() => this.#look(), times.betweenLooks).unref()
  }

  /** Ends the postmaster, or the attempt to start one; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#giveUp()
    await shutDown(this.#postmaster.identity)
    await this.#restarting
  }

  /** Tells the postmaster to quit and does not wait. */
  abort(): void {
    this.#giveUp()
    signal(this.#postmaster.identity, 'SIGQUIT')
  }

  #giveUp(): void {
    clearInterval(this.#timer)
    this.#stopping.abort()
  }

  #look(): void {
    const { cluster, log } = this.#options
    boundServerLog(logOf(cluster))
    if (this.#restarting || isRunning(this.#postmaster.identity)) return
    log.error('PostgreSQL ended unexpectedly and is started again', {
      pid: this.#postmaster.identity.pid,
      log: logOf(cluster),
    })
    if (performance.now() - this.#runsSince > times.settled) this.#pause = times.firstPause
    this.#restarting = this.#restart().finally(() => (this.#restarting = null))
  }

  async #restart(): Promise<void> {
    const { cluster, log, start } = this.#options
    while (!this.#stopping.signal.aborted) {
      try {
        // The children of a killed postmaster may still hold its shared memory, and some do not see that it is dead.
        await clearRemains(cluster)
        if (this.#stopping.signal.aborted) return
        await start((postmaster) => this.#take(postmaster))
        log.warn('PostgreSQL runs again', { pid: this.#postmaster.identity.pid })
        this.#runsSince = performance.now()
        this.#saidAt = -Infinity
        return
      } catch (error) {
        this.#complain(error)
      }
      await sleep(this.#pause, undefined, { signal: this.#stopping.signal }).catch(() => {})
      this.#pause = Math.min(times.longestPause, this.#pause * 2)
    }
  }

  #take(postmaster: Postmaster): void {
    this.#postmaster = postmaster
    if (this.#stopping.signal.aborted) void shutDown(postmaster.identity)
  }

  /** Says why, now and then: what keeps it from starting may last for days. */
  #complain(error: unknown): void {
    if (this.#stopping.signal.aborted || performance.now() - this.#saidAt < times.betweenLines) return
    this.#saidAt = performance.now()
    this.#options.log.error('PostgreSQL cannot be started; it is tried again and again', {
      reason: reasonOf(error),
    })
  }
}
