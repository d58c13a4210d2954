import { spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeTemplate, startPostgres } from '../test/support/postgres-server.ts'

// Runs the test files below the given folders against one Postgres: the embedded one in a temporary folder, or
// the server of TEST_DATABASE_URL. `node scripts/run-tests.ts test src`, or single files; `--test-...` goes to node.

const flags = process.argv.slice(2).filter((arg) => arg.startsWith('--'))
const paths = process.argv.slice(2).filter((arg) => !arg.startsWith('--'))
const files: string[] = paths.filter((path) => path.endsWith('.ts'))
for (const folder of paths.filter((path) => !path.endsWith('.ts'))) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (entry.isFile() && entry.name.endsWith('.test.ts')) files.push(join(entry.parentPath, entry.name))
  }
}
if (files.length === 0) {
  console.error(`no test files below ${paths.join(', ')}`)
  process.exit(1)
}

const given = process.env['TEST_DATABASE_URL']
const server = given ? { url: given, stop: async () => {} } : await startPostgres()
try {
  await makeTemplate(server.url)
  const code = await run(files.toSorted(), { ...process.env, TEST_DATABASE_URL: server.url })
  process.exitCode = code
} finally {
  await server.stop()
}

/** The exit code of node's test runner, whose closing lines count the tests. */
function run(testFiles: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const usual = ['--test', '--test-concurrency=2', '--test-timeout=300000', '--test-reporter=spec']
  const args = [...usual, ...flags, ...testFiles]
  const child = spawn(process.execPath, args, { stdio: 'inherit', env })
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
}
