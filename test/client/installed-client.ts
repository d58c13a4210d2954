import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { within } from '../support/npm-start.ts'

// The client as its users have it: compiled, in the node_modules of a project of theirs.

export const clientRoot = fileURLToPath(new URL('../../client', import.meta.url))

/** Builds the client into a project of its own, which is removed after the tests of this file. */
export function installClient(): string {
  const project = mkdtempSync(join(tmpdir(), 'threadmill-client-'))
  after(() => rmSync(project, { recursive: true, force: true }))
  const folder = join(project, 'node_modules/open_ai_assistants_api')
  mkdirSync(folder, { recursive: true })
  copyFileSync(join(clientRoot, 'package.json'), join(folder, 'package.json'))
  execFileSync(process.execPath, [join(clientRoot, 'scripts/build.ts'), join(folder, 'dist')], {
    stdio: 'pipe',
  })
  return project
}

let programs = 0

/** Runs a program in that project and returns all it printed. It must end by itself. */
export async function run(
  project: string,
  text: string,
  options: { type?: 'mjs' | 'cjs'; node?: string } = {},
) {
  programs += 1
  const file = join(project, `program-${programs}.${options.type ?? 'mjs'}`)
  writeFileSync(file, text)
  const child = spawn(options.node ?? process.execPath, [file], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const ended = new Promise((resolve) => child.once('close', resolve))
  try {
    const code = await within(ended, 60_000, () => `${text}\n${output}`)
    if (code !== 0) throw new Error(`it ended with code ${String(code)}:\n${text}\n${output}`)
    return output
  } finally {
    child.kill('SIGKILL')
  }
}
