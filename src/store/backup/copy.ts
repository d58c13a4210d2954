import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type pg from 'pg'

// COPY for a client of `pg`, which has its messages and no more. Both directions go at the pace of the slower side.

/** The part of pg's connection that its types leave out. */
interface CopyConnection extends pg.Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
  sendCopyFail(reason: string): void
  readonly stream: Duplex
}

/** A COPY under way, as pg's client tells it of messages. */
abstract class Copy implements pg.Submittable {
  readonly #text: string
  readonly #done = Promise.withResolvers<number>()
  #rows = 0

  constructor(text: string) {
    this.#text = text
    this.#done.promise.catch(() => {})
  }

  /** The number of rows, when it is over. */
  get done(): Promise<number> {
    return this.#done.promise
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text)
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#rows = Number(/^COPY (\d+)$/.exec(text)?.[1] ?? NaN)
  }

  handleReadyForQuery(): void {
    this.#done.resolve(this.#rows)
  }

  handleError(error: Error): void {
    this.#done.reject(error)
  }
}

class CopyOut extends Copy {
  readonly #take: (chunk: Buffer) => Promise<void> | undefined

  constructor(text: string, take: (chunk: Buffer) => Promise<void> | undefined) {
    super(text)
    this.#take = take
  }

  handleCopyData({ chunk }: { chunk: Buffer }, { stream }: CopyConnection): void {
    const taken = this.#take(chunk)
    if (!taken || stream.isPaused()) return
    stream.pause()
    const resume = () => void stream.resume()
    // Nothing more is to be read then: what is told is the reason, not what follows from it.
    taken.then(resume, (error: unknown) => {
      this.handleError(error instanceof Error ? error : new Error(String(error)))
      resume()
    })
  }
}

/**
 * Runs `copy ... to stdout` and gives each row to `take`, which may answer a promise to be waited for: a few more rows may come
 * until then. Answers how many rows there were.
 */
export function copyOut(
  client: pg.ClientBase,
  text: string,
  take: (row: Buffer) => Promise<void> | undefined,
): Promise<number> {
  return client.query(new CopyOut(text, take)).done
}

class CopyIn extends Copy {
  readonly #source: AsyncIterable<Buffer>
  #failed = false

  constructor(text: string, source: AsyncIterable<Buffer>) {
    super(text)
    this.#source = source
  }

  handleCopyInResponse(connection: CopyConnection): void {
    this.#send(connection).then(
      () => {
        if (!this.#failed) connection.endCopyFrom()
      },
      (error: unknown) => {
        // Postgres then refuses the COPY; what is told is the reason, not that.
        super.handleError(error instanceof Error ? error : new Error(String(error)))
        connection.sendCopyFail('its source broke')
      },
    )
  }

  async #send(connection: CopyConnection): Promise<void> {
    for await (const chunk of this.#source) {
      // Postgres has refused what came before.
      if (this.#failed) return
      connection.sendCopyFromChunk(chunk)
      if (connection.stream.writableNeedDrain) {
        const broken = new AbortController()
        const closed = once(connection.stream, 'close', { signal: broken.signal }).catch(() => {})
        await Promise.race([once(connection.stream, 'drain', { signal: broken.signal }), closed])
        broken.abort()
      }
    }
  }

  override handleError(error: Error): void {
    this.#failed = true
    super.handleError(error)
  }
}

/** Runs `copy ... from stdin` with these bytes; answers how many rows they were. */
export function copyIn(client: pg.ClientBase, text: string, source: AsyncIterable<Buffer>): Promise<number> {
  return client.query(new CopyIn(text, source)).done
}
