import type { Dispatcher } from 'undici'
import { TransportError, type TransportFault, type TransportResponse } from './transport.ts'

type Controller = Dispatcher.DispatchController

/** Bytes of an answer that are held before the backend has to wait. */
const heldBytes = 65_536

/** How long, and how much, is still read of an answer that nobody wants any more, so that its connection can serve again. */
const drainMs = 250
const drainBytes = 16_384

/**
 * One request and its answer, as undici calls it. Ended by the caller's signal or by the clock, whichever comes first. undici's own
 * `request` makes a stream for the answer and a second signal, which together cost more than all that is done here.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #head = Promise.withResolvers<TransportResponse>()
  readonly #signal: AbortSignal
  readonly #betweenBytesMs: number
  #controller: Controller | null = null
  #timer: NodeJS.Timeout
  /** The first is the one that counts. */
  #fault: TransportError | null = null
  #begun = false
  #ended = false
  /** Nobody reads the body any more. */
  #left = false
  #chunks: Uint8Array[] = []
  /** Bytes in them or, when nobody reads, passed over. */
  #size = 0
  #wake: () => void = () => {}

  /** `firstByteMs`: to the first byte of the body. */
  constructor(signal: AbortSignal, firstByteMs: number, betweenBytesMs: number) {
    this.#signal = signal
    this.#betweenBytesMs = betweenBytesMs
    this.#timer = setTimeout(() => this.#end('first_byte_timeout'), firstByteMs)
    if (signal.aborted) this.#end('aborted')
    else signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** It was ended before it was sent. */
  get over(): boolean {
    return this.#fault !== null
  }

  /** The answer as soon as its headers are there. Rejects with TransportError. */
  get answer(): Promise<TransportResponse> {
    return this.#head.promise
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#fault) controller.abort(this.#fault)
  }

  onResponseStart(
    _controller: Controller,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return
    // Never asked for, and a few kilobytes of it can unpack to gigabytes.
    if ((headers['content-encoding'] ?? 'identity') !== 'identity') return this.#end('compressed')
    this.#head.resolve({ status, headers: single(headers), body: this.#body() })
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    this.#size += chunk.length
    if (this.#left) {
      if (this.#size > drainBytes) this.#end('cut')
      return
    }
    if (this.#begun) this.#timer.refresh()
    else {
      this.#begun = true
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#end('idle_timeout'), this.#betweenBytesMs)
    }
    this.#chunks.push(chunk)
    if (this.#size > heldBytes) controller.pause()
    this.#wake()
  }

  onResponseEnd(): void {
    this.#ended = true
    this.#stop()
    this.#wake()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fault ??= transportError(error)
    this.#stop()
    this.#head.reject(this.#fault)
    this.#wake()
  }

  async *#body(): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) {
        const chunks = this.#chunks.splice(0)
        this.#size = 0
        for (const chunk of chunks) yield chunk
        if (this.#chunks.length > 0) continue
        if (this.#fault) throw this.#fault
        if (this.#ended) return
        this.#controller?.resume()
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
    } finally {
      this.#leave()
    }
  }

  /** Whoever leaves early may be missing only the last bytes, for which the connection is worth keeping. */
  #leave(): void {
    this.#stop()
    if (this.#ended || this.#fault) return
    this.#left = true
    this.#size = 0
    this.#timer = setTimeout(() => this.#end('cut'), drainMs)
    this.#controller?.resume()
  }

  readonly #onAbort = (): void => this.#end('aborted')

  /** Closes the request. */
  #end(fault: TransportFault): void {
    this.#fault ??= new TransportError(fault)
    this.#stop()
    this.#controller?.abort(this.#fault)
    this.#head.reject(this.#fault)
    this.#wake()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#signal.removeEventListener('abort', this.#onAbort)
  }
}

function single(headers: Record<string, string | string[] | undefined>): TransportResponse['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
}

const faultsByCode: Readonly<Record<string, TransportFault>> = {
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'refused',
  ENETUNREACH: 'refused',
  ENOTFOUND: 'unknown_host',
  EAI_AGAIN: 'unknown_host',
  ETIMEDOUT: 'connect_timeout',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
}

function transportError(error: unknown): TransportError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const untrusted = /CERT|SELF_SIGNED|ERR_TLS|ERR_SSL|UNABLE_TO_VERIFY/.test(code)
  return new TransportError(faultsByCode[code] ?? (untrusted ? 'untrusted' : 'cut'), { cause: error })
}
