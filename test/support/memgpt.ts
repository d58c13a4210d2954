import assert from 'node:assert/strict'
import type {
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
} from '../../src/contract/memgpt-objects.ts'
import type { AssistantFile, MessageFile } from '../../src/contract/file-object.ts'
import { assertMemgptAnswer } from './memgpt-shapes.ts'
import type { TestServer } from './server.ts'

// Requests in the memgpt dialect by hand; every answer is judged.

export type {
  AssistantFile,
  MessageFile,
  OpenAIAssistant,
  OpenAIMessage,
  OpenAIRun,
  OpenAIRunStep,
  OpenAIThread,
}

/** One place of a 422. */
export interface Fault {
  type: string
  loc: (string | number)[]
  msg: string
  input?: unknown
}

export interface Memgpt {
  /** What a request that goes well answers. */
  ask: <T>(method: string, path: string, body?: object, headers?: Record<string, string>) => Promise<T>
  /** The status and the `detail` of a request that is refused with other than 422. */
  refused: (method: string, path: string, body?: object) => Promise<[number, string]>
  /** The first place of a request that is refused with 422. */
  fault: (method: string, path: string, body?: object) => Promise<Fault | undefined>
  /** The run when it has reached this status. */
  reached: (run: Pick<OpenAIRun, 'id' | 'thread_id'>, status: string) => Promise<OpenAIRun>
}

export const asMemgpt = { 'x-assistants-dialect': 'memgpt' }

/** Where the runs of a thread are. */
export const runsOf = (thread: string) => `/v1/threads/${thread}/runs`
/** Where a run is. */
export const pathOf = ({ id, thread_id }: Pick<OpenAIRun, 'id' | 'thread_id'>) => `${runsOf(thread_id)}/${id}`

/** Milliseconds after which a run that has not got there never will. */
const reachMs = 30_000
const ended: ReadonlySet<string> = new Set(['completed', 'incomplete', 'failed', 'cancelled', 'expired'])

/** The dialect as a client of `server` speaks it: by the override, where `headers` do not say otherwise. */
export function speakMemgpt(server: TestServer): Memgpt {
  const send = async (
    method: string,
    path: string,
    body?: object,
    headers: Record<string, string> = asMemgpt,
  ) => {
    const url = server.app.url + path
    const response = await fetch(url, {
      method,
      headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const answer: unknown = await response.json()
    assert.equal(response.headers.get('x-assistants-dialect'), 'memgpt')
    assertMemgptAnswer(method, url, response.status, answer)
    return { status: response.status, answer }
  }
  const failed = async (method: string, path: string, body?: object) => {
    const { status, answer } = await send(method, path, body)
    return { status, detail: (answer as { detail: unknown }).detail }
  }
  const ask = async <T>(...request: Parameters<typeof send>): Promise<T> => {
    const { status, answer } = await send(...request)
    assert.equal(status, 200, JSON.stringify(answer))
    return answer as T
  }
  return {
    ask,
    async refused(...request) {
      const { status, detail } = await failed(...request)
      assert.notEqual(status, 422, JSON.stringify(detail))
      return [status, String(detail)]
    },
    async fault(...request) {
      const { status, detail } = await failed(...request)
      assert.equal(status, 422, JSON.stringify(detail))
      return (detail as Fault[])[0]
    },
    async reached(run, status) {
      const until = performance.now() + reachMs
      for (;;) {
        const now = await ask<OpenAIRun>('GET', pathOf(run))
        if (now.status === status) return now
        const isOver = ended.has(now.status) || performance.now() > until
        assert.ok(!isOver, `the run is ${now.status}, not ${status}`)
        await new Promise(setImmediate)
      }
    },
  }
}
