import { execFileSync, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { evilPatches, type EvilPatch } from './patches.ts'

// `npm run evil`: tests the tests. Each evil patch is applied to a copy of the project, whose tests have to fail.
// `--only NAME` takes one; `--all` runs the whole suite instead of the files that are to notice it.

const root = fileURLToPath(new URL('..', import.meta.url))

interface Outcome {
  caught: boolean
  by: string[]
}

/** A copy of the project as it is in git and changed since, with the packages of this one. */
function copyProject(): string {
  const folder = mkdtempSync(join(tmpdir(), 'threadmill-evil-'))
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  for (const file of files.toString().split('\n').filter(Boolean)) {
    if (file === 'node_modules') continue
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    cpSync(join(root, file), join(folder, file), { dereference: true })
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Throws if the place that it changes is not there, or not once. */
function apply(folder: string, { name, edits }: EvilPatch): void {
  for (const { file, find, replace } of edits) {
    const path = join(folder, file)
    const parts = readFileSync(path, 'utf8').split(find)
    if (parts.length !== 2) {
      throw new Error(
        `"${name}" does not apply: ${parts.length - 1} places in ${file} read ${JSON.stringify(find)}`,
      )
    }
    writeFileSync(path, parts.join(replace))
  }
}

function failedTests(folder: string, paths: string[], titles?: string): Promise<string[]> {
  const only = titles ? [`--test-name-pattern=${titles}`] : []
  // Some of them would wait for ever.
  const args = ['scripts/run-tests.ts', '--test-timeout=60000', '--test-force-exit', ...only, ...paths]
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return new Promise((resolve) => {
    child.on('exit', (code) => {
      const failed = [...output.matchAll(/^\s*✖ (.*) \([\d.]+ms\)$/gm)].map(([, title]) => title ?? '')
      resolve(code === 0 ? [] : failed.length > 0 ? failed : ['(it does not even start)'])
    })
  })
}

async function tryOut(patch: EvilPatch, all: boolean): Promise<Outcome> {
  const folder = copyProject()
  try {
    apply(folder, patch)
    const failed = all
      ? await failedTests(folder, ['test', 'src'])
      : await failedTests(folder, patch.tests, patch.titles)
    const by = [...new Set(failed)]
    return { caught: by.length > 0, by }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const { values } = parseArgs({
  options: { all: { type: 'boolean', default: false }, only: { type: 'string' } },
})
const chosen = evilPatches.filter(({ name }) => values.only === undefined || name === values.only)
if (chosen.length === 0) throw new Error(`there is no evil patch "${values.only}"`)
let missed = 0
for (const patch of chosen) {
  const { caught, by } = await tryOut(patch, values.all)
  if (!caught) missed += 1
  console.log(`${caught ? 'caught' : 'MISSED'}  ${patch.name}: ${patch.harm}`)
  for (const title of by.slice(0, 8)) console.log(`          by "${title}"`)
}
console.log(`${chosen.length - missed} of ${chosen.length} caught`)
process.exitCode = missed === 0 ? 0 : 1
