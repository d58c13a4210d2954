import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { freePort, startNode, stop, type Spawned } from './processes.ts'

// The mock model of bench/baseline in a process of its own.

export interface MockStats {
  requests: number
  inflight: number
  maxInflight: number
  finished: number
  aborted: number
}

export interface Mock {
  url: string
  /** Milliseconds to the first token and between tokens; tokens per answer. */
  set(settings: { tokens?: number; ttft?: number; itl?: number }): Promise<void>
  /** Counters from the last reset on. */
  stats(): Promise<MockStats>
  reset(): Promise<void>
  stop(): Promise<void>
}

export const plainAnswer = { tokens: 20, ttft: 0, itl: 0 }

export async function startMock(port: number): Promise<Mock> {
  const chosen = port || (await freePort())
  const script = fileURLToPath(new URL('baseline/mock-model.mjs', import.meta.url))
  const spawned = startNode(
    [script, '--port', String(chosen)],
    { PATH: process.env['PATH'] ?? '' },
    process.cwd(),
  )
  const url = `http://127.0.0.1:${chosen}`
  await listening(spawned)
  const post = async (path: string, body: object) =>
    void (await (await request(url + path, { method: 'POST', body: JSON.stringify(body) })).body.text())
  return {
    url,
    set: (settings) => post('/_set', settings),
    stats: async () => (await (await request(`${url}/_stats`)).body.json()) as MockStats,
    reset: () => post('/_reset', {}),
    stop: () => stop(spawned),
  }
}

async function listening({ output, child }: Spawned): Promise<void> {
  for (const until = performance.now() + 20_000; performance.now() < until;) {
    if (output().includes('mock model on')) return
    if (child.exitCode !== null) break
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`the mock model did not start: ${output().slice(-500)}`)
}
