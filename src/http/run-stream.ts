import type { FastifyReply } from 'fastify'
import { ApiError, errorEvent } from '../contract/errors.ts'
import { endsStream, type StreamEvent } from '../contract/events.ts'
import type { RunStatus } from '../contract/objects.ts'
import { runEvent } from '../domain/closing.ts'
import type { RunKey } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import type { HttpContext } from './context.ts'
import { EventStream } from './sse.ts'

/** How often a quiet stream looks whether its run has ended without a word, as it may on another node. */
const lookMs = 2_000

/**
 * The events of one run, for one streaming request. It listens from its making on, so that nothing that happens
 * between the commit and the first byte is missed; `open` sends what has gathered and then what comes.
 */
export class RunStream {
  readonly #context: HttpContext
  readonly #key: RunKey
  readonly #unsubscribe: () => void
  #gathered: StreamEvent[] = []
  #stream: EventStream | null = null
  #look: NodeJS.Timeout | null = null
  #heard = true

  constructor(context: HttpContext, key: RunKey) {
    this.#context = context
    this.#key = key
    this.#unsubscribe = context.store.signals.subscribe(key.id, (event) => this.push(event))
  }

  /** Forgets the run: the request ended in an error before its first byte. */
  close(): void {
    this.#unsubscribe()
    if (this.#look) clearInterval(this.#look)
    this.#context.closing.removeEventListener('abort', this.#onClosing)
  }

  /** Turns the reply into an event stream. */
  open(reply: FastifyReply): void {
    const headers = Object.fromEntries(
      Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
    )
    reply.hijack()
    // The client may have left while the commit was under way: nothing would ever close this stream.
    if (reply.raw.destroyed) return this.close()
    const stream = new EventStream(reply.raw, headers)
    this.#stream = stream
    reply.raw.on('close', () => this.close())
    this.#context.closing.addEventListener('abort', this.#onClosing)
    this.#look = setInterval(() => void this.#lookUp(), lookMs)
    const gathered = this.#gathered
    this.#gathered = []
    for (const event of gathered) this.push(event)
  }

  push(event: StreamEvent): void {
    this.#heard = true
    if (this.#stream === null) {
      this.#gathered.push(event)
      return
    }
    this.#stream.send(event)
    const status = runStatusOf(event)
    if (status !== null && endsStream(status)) this.#end()
  }

  #end(): void {
    this.#stream?.end()
    this.close()
  }

  readonly #onClosing = (): void => {
    this.#stream?.send(
      errorEvent(new ApiError('not_ready', 'The server is shutting down; the run goes on later.')),
    )
    this.#end()
  }

  async #lookUp(): Promise<void> {
    if (this.#heard) {
      this.#heard = false
      return
    }
    const { store, log } = this.#context
    const { project_id, thread_id, id } = this.#key
    try {
      const run = await getRun(store.pool, project_id, thread_id, id)
      // A deleted thread takes its run with it: there is nothing left to tell.
      if (run === null) this.#end()
      else if (!this.#heard && endsStream(run.state.status)) this.push(runEvent(run))
    } catch {
      log.warn('a stream could not look up its run', { run: id })
    }
  }
}

function runStatusOf(event: StreamEvent): RunStatus | null {
  if (!('object' in event.data) || event.data.object !== 'thread.run') return null
  return event.data.status
}
