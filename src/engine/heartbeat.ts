import { reasonOf, type Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { Cadence } from './cadence.ts'

interface HeartbeatOptions {
  store: Store
  log: Log
  beatMs: number
  /** Called when this node could not beat in time, before others may take its runs. */
  onLost: () => void
  /** Called when other nodes have fallen silent: their runs can be taken over. */
  onSilence: () => void
}

/** Keeps this node's lease: waits for nothing but the beat itself, and says so when it is lost. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #cadence: Cadence
  #fence: NodeJS.Timeout | undefined
  #lost = false
  /** Nodes that were silent before the last beat. */
  #silent: ReadonlySet<string> = new Set()

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#cadence = new Cadence(() => this.#beat(), options.beatMs)
  }

  start(): void {
    this.#watch()
    this.#cadence.start()
  }

  /** One beat, begun after this call. */
  once(): Promise<void> {
    return this.#cadence.once()
  }

  async stop(): Promise<void> {
    await this.#cadence.stop()
    clearTimeout(this.#fence)
  }

  async #beat(): Promise<void> {
    const { store, log } = this.#options
    let silent: string[]
    try {
      silent = await store.beat()
    } catch (error) {
      log.warn('a heartbeat failed', { reason: reasonOf(error) })
      return
    }
    // Its answer may have come too late to count.
    if (!store.lease.held) return
    if (this.#lost) log.info('this node beats again and takes runs')
    this.#lost = false
    this.#watch()
    this.#listenFor(silent)
  }

  #listenFor(silent: string[]): void {
    const before = this.#silent
    this.#silent = new Set(silent)
    if (silent.some((node) => !before.has(node))) this.#options.onSilence()
  }

  /** Looks again when the lease as it is now is over. */
  #watch(): void {
    clearTimeout(this.#fence)
    this.#fence = setTimeout(() => this.#check(), Math.ceil(this.#options.store.lease.leftMs))
  }

  #check(): void {
    const { store, log, onLost } = this.#options
    if (store.lease.held) return this.#watch()
    if (this.#lost) return
    this.#lost = true
    store.metrics.leaseLosses.add()
    log.warn('this node could not beat in time and leaves its runs to others', {
      silence: store.lease.silence,
    })
    onLost()
  }
}
