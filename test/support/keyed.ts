import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { TestServer } from './server.ts'

// Requests with an Idempotency-Key, by hand: their answers as bytes.

export interface KeyedAnswer {
  status: number
  text: string
  replayed: boolean
  headers: Headers
}

export interface KeyedRequest {
  path: string
  /** JSON, or a form. */
  body?: object | FormData
  headers?: Record<string, string>
}

/** POSTs with a key. */
export async function postKeyed(
  server: Pick<TestServer, 'fetch'>,
  { path, body, headers }: KeyedRequest,
  key: string,
): Promise<KeyedAnswer> {
  const json = body !== undefined && !(body instanceof FormData)
  const response = await server.fetch(path, {
    method: 'POST',
    headers: { ...(json ? { 'content-type': 'application/json' } : {}), 'idempotency-key': key, ...headers },
    body: json ? JSON.stringify(body) : body,
  })
  const replayed = response.headers.get('idempotent-replayed') === 'true'
  return { status: response.status, text: await response.text(), replayed, headers: response.headers }
}

export const newKey = (): string => randomUUID()

/** Fails unless `second` is `first` given again: its status, its bytes and the headers that are its own. */
export function assertReplayed(first: KeyedAnswer, second: KeyedAnswer): void {
  assert.deepEqual([first.replayed, second.replayed], [false, true])
  assert.equal(second.status, first.status)
  assert.equal(second.text, first.text)
  for (const name of ['content-type', 'x-tools-not-run', 'x-thread-policy', 'openai-poll-after-ms'])
    assert.equal(second.headers.get(name), first.headers.get(name), name)
}
