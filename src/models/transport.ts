import type { ChatBody } from './chat-body.ts'
import type { Headers } from './model.ts'

// How bytes reach a model backend and come back. The Chat Completions adapter knows only this: over HTTP it is
// http-transport.ts, in process it is the demo model, which so passes through the same adapter.

export interface TransportResponse {
  status: number
  /** Lower-case names. */
  headers: Readonly<Record<string, string | undefined>>
  /** To be iterated once, to the end or left early: either frees the connection. Throws TransportError. */
  body: AsyncIterable<Uint8Array | string>
}

/** How whoever can mend it knows the settings of an endpoint. */
export interface SettingNames {
  url: string
  key: string
}

/** Those of the server's endpoint. */
export const serverSettings: SettingNames = { url: 'OPENAI_BASE_URL', key: 'OPENAI_API_KEY' }

/** Those of an endpoint that a project has of its own: its URL is nothing for all who have a key of the project. */
export const projectSettings: SettingNames = {
  url: "the URL of the project's own model endpoint",
  key: "the key of the project's own model endpoint",
}

export interface Transport {
  /** Where requests go; holds no credential. */
  readonly description: string
  readonly settings: SettingNames
  /** Rejects with TransportError, also when the signal fires; the request is closed at once then. */
  post(path: string, body: ChatBody, signal: AbortSignal, headers?: Headers): Promise<TransportResponse>
  get(path: string, signal: AbortSignal): Promise<TransportResponse>
  /** Takes this transport's own credentials out of a text that others wrote. */
  scrub: (text: string) => string
}

export type TransportFault =
  | 'refused'
  | 'unknown_host'
  | 'untrusted'
  | 'connect_timeout'
  | 'first_byte_timeout'
  | 'idle_timeout'
  | 'cut'
  | 'compressed'
  | 'aborted'

/** A request that got no whole answer. */
export class TransportError extends Error {
  readonly fault: TransportFault
  constructor(fault: TransportFault, options?: ErrorOptions) {
    super(`model transport: ${fault}`, options)
    this.name = 'TransportError'
    this.fault = fault
  }
}
