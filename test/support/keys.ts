import assert from 'node:assert/strict'
import { commands } from '../../src/cli/commands.ts'
import { runCommand } from '../../src/cli/run.ts'
import type { TestServer } from './server.ts'

// Keys as operators make them: by the commands.

interface Said {
  code: number
  out: string
  err: string
}

/** Runs a command on the database of `url`. */
export async function threadmill(url: string, ...words: string[]): Promise<Said> {
  const said = { out: '', err: '' }
  const code = await runCommand(
    commands,
    words,
    { DATABASE_URL: url },
    { out: (line) => void (said.out += line), err: (line) => void (said.err += line) },
  )
  return { code, ...said }
}

/** A new key, and its id. */
export async function keyOf(server: TestServer, ...words: string[]): Promise<{ key: string; id: string }> {
  const { code, out, err } = await threadmill(server.db.url, 'keys', 'create', ...words)
  assert.equal(code, 0, err)
  return { key: out.trim(), id: /key_\w+/.exec(err)?.[0] ?? '' }
}
