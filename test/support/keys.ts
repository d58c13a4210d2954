import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { commands } from '../../src/cli/commands.ts'
import type { Environment } from '../../src/cli/command.ts'
import { runCommand } from '../../src/cli/run.ts'
import type { TestServer } from './server.ts'

// What an operator does beside a server, and clients with keys.

export interface Said {
  code: number
  out: string
  err: string
}

/** Does a command on the database at `url`. */
export function threadmill(url: string, ...words: string[]): Promise<Said> {
  return threadmillIn({ DATABASE_URL: url }, ...words)
}

/** As `threadmill`, in this environment. */
export async function threadmillIn(env: Environment, ...words: string[]): Promise<Said> {
  const said = { out: '', err: '' }
  const code = await runCommand(commands, words, env, {
    out: (line) => void (said.out += line),
    err: (line) => void (said.err += line),
  })
  return { code, ...said }
}

/** A new key, and its id. */
export async function keyOf(server: TestServer, ...words: string[]): Promise<{ key: string; id: string }> {
  const { code, out, err } = await threadmill(server.db.url, 'keys', 'create', ...words)
  assert.equal(code, 0, err)
  return { key: out.trim(), id: /key_\w+/.exec(err)?.[0] ?? '' }
}

export function clientOf(server: TestServer, apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${server.app.url}/v1`, apiKey, maxRetries: 0 })
}

/**
 * Resolves when the request is answered with this status; keys take effect within a second. What is under way for a key at the
 * moment when it ends is broken off, as a stream is, and asked again.
 */
export async function until(status: number, request: () => Promise<Response>): Promise<void> {
  for (;;) {
    const answer = await request().catch((error: unknown) => {
      if (!isBrokenOff(error)) throw error
    })
    await answer?.body?.cancel()
    if (answer?.status === status) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function isBrokenOff(error: unknown): boolean {
  const { cause } = error as { cause?: { code?: string } }
  return cause?.code === 'UND_ERR_SOCKET' || cause?.code === 'ECONNRESET'
}
