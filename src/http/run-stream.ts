import type { FastifyReply } from 'fastify'
import { ApiError, errorEvent } from '../contract/errors.ts'
import { endsStream, isTerminal, type StreamEvent } from '../contract/events.ts'
import type { RunStatus } from '../contract/objects.ts'
import { runEvent } from '../domain/closing.ts'
import { showPlace, type PlacedEvent } from '../domain/event-log.ts'
import type { RunRecord } from '../domain/records.ts'
import { reasonOf } from '../log.ts'
import { logExtent } from '../store/event-log.ts'
import type { RunKey } from '../store/run-writes.ts'
import { getRun } from '../store/runs.ts'
import type { HttpContext } from './context.ts'
import { EventFollower, type FollowFrom } from './event-follower.ts'
import { answered } from './observed.ts'
import { EventStream } from './sse.ts'

/** How often a quiet stream looks whether something happened without a word, as it may on another node. */
const lookMs = 2_000

/** Where a stream ends: the answer of a request that waits for the run's next stop, or with the run. */
export type Until = 'stop' | 'end'

/**
 * The events of one run, for one request. It listens from its making on, so that nothing that happens between the
 * commit and the first byte is missed; `open` sends what has gathered and then what comes.
 */
export class RunStream {
  readonly #context: HttpContext
  readonly #key: RunKey
  readonly #follower: EventFollower
  readonly #until: Until
  #stream: EventStream | null = null
  #look: NodeJS.Timeout | null = null
  #heard = true

  constructor(context: HttpContext, key: RunKey, until: Until = 'stop') {
    this.#context = context
    this.#key = key
    this.#until = until
    this.#follower = new EventFollower(context.store, key.id)
  }

  /** Forgets the run: the request ended in an error before its first byte. */
  close(): void {
    this.#follower.stop()
    if (this.#look) clearInterval(this.#look)
    this.#context.closing.removeEventListener('abort', this.#onClosing)
    this.#context.streams.delete(this)
  }

  /** Turns the reply into an event stream of what comes behind `from`. */
  open(reply: FastifyReply, run: RunRecord, from: FollowFrom): void {
    const stream = this.#begin(reply)
    if (stream === null) return
    this.#look = setInterval(() => void this.#lookUp(), lookMs)
    this.#follower.begin(run, from, {
      deliver: (event, place) => this.#send(event, showPlace(place)),
      ready: () => stream.ready(),
      failed: (error) => this.#unread(error),
    })
    // Whoever comes after the end has nothing to wait for.
    if (isTerminal(run.state.status)) void this.#finish(run)
  }

  /** Turns the reply into an event stream of exactly these events; `first` comes before all that the run has. */
  tell(reply: FastifyReply, events: readonly PlacedEvent[], first: StreamEvent | null = null): void {
    if (this.#begin(reply) === null) return
    if (first) this.#stream?.send(first)
    for (const { event, place } of events) this.#stream?.send(event, showPlace(place))
    this.#end()
  }

  #begin(reply: FastifyReply): EventStream | null {
    // It is sent past the hook that does this for other answers.
    answered(this.#context, reply.request, reply)
    const headers = Object.fromEntries(
      Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]),
    )
    reply.hijack()
    // The client may have left while the commit was under way: nothing would ever close this stream.
    if (reply.raw.destroyed) {
      this.close()
      return null
    }
    const stream = new EventStream(reply.raw, headers)
    this.#stream = stream
    reply.raw.on('close', () => this.close())
    this.#context.closing.addEventListener('abort', this.#onClosing)
    this.#context.streams.add(this)
    return stream
  }

  /** Sends an event; one that the log does not hold has no id. */
  #send(event: StreamEvent, id?: string): void {
    this.#heard = true
    this.#stream?.send(event, id)
    const status = runStatusOf(event)
    if (status !== null && this.#isLast(status)) this.#end()
  }

  #isLast(status: RunStatus): boolean {
    return this.#until === 'stop' ? endsStream(status) : isTerminal(status)
  }

  #end(): void {
    this.#stream?.end()
    this.close()
  }

  /** The server stops. Without its last frame, so that the client can tell and go on behind the last id. */
  readonly #onClosing = (): void => {
    this.#stream?.breakOff()
    this.close()
  }

  /** There is neither a run nor a log any more, and the end of the run was not told. */
  #endWithout(): void {
    this.#stream?.send(errorEvent(new ApiError('internal', 'The run of this stream is not there any more.')))
    this.#end()
  }

  async #lookUp(): Promise<void> {
    if (this.#heard) {
      this.#heard = false
      return
    }
    const { store } = this.#context
    const { project_id, thread_id, id } = this.#key
    try {
      const run = await getRun(store.pool, project_id, thread_id, id)
      // Before the run is missed: a deleted thread takes its run with it, but its log has the last word.
      if (!(await this.#follower.read())) return
      if (run === null) this.#endWithout()
      else if (isTerminal(run.state.status)) await this.#finish(run)
    } catch (error) {
      this.#unread(error)
    }
  }

  #unread(error: unknown): void {
    const { id: run, thread_id: thread } = this.#key
    this.#context.streams.unread.say({ run, thread, reason: reasonOf(error) })
  }

  /** Ends the stream of a run that has ended, with what the log tells, or should have told. */
  async #finish(run: RunRecord): Promise<void> {
    try {
      // Whoever was told less than the log has must not be told that this was all.
      if (!(await this.#follower.read()) || !this.#stream?.open) return
      const { ends } = await logExtent(this.#context.store.pool, this.#key)
      if (!ends) this.#send(runEvent(run))
      this.#end()
    } catch {
      // It is tried again with the next look.
    }
  }
}

/** The status that an event of a run tells; null for events of anything else. */
export function runStatusOf(event: StreamEvent): RunStatus | null {
  if (!('object' in event.data) || event.data.object !== 'thread.run') return null
  return event.data.status
}
