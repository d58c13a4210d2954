import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// `npm run build --workspace client`: src/ compiled twice, for import and for require.
// `node scripts/build.ts FOLDER` writes to FOLDER instead of dist.

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = process.argv[2] ?? join(root, 'dist')
const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))

rmSync(dist, { recursive: true, force: true })
for (const [project, folder] of [
  ['tsconfig.json', 'esm'],
  ['tsconfig.cjs.json', 'cjs'],
] as const) {
  const args = [tsc, '-p', join(root, project), '--outDir', join(dist, folder)]
  execFileSync(process.execPath, args, { stdio: 'inherit' })
}
// The package says that .js files are ES modules; these are not.
writeFileSync(join(dist, 'cjs', 'package.json'), '{ "type": "commonjs" }\n')
