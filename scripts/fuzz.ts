import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import type { Document } from '../src/http/openapi.ts'
import { fuzz } from '../test/support/fuzz/campaign.ts'

// `npm run fuzz -- --requests 100000 --seed 1`: as test/fuzz.test.ts, on a server in a process of its own with its own Postgres, whose
// memory and open files are compared before and after. Exits with 1 if anything was wrong.

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
})
const [requests, seed] = [Number(values.requests), Number(values.seed)]
if (!Number.isSafeInteger(requests) || requests < 1 || !Number.isSafeInteger(seed)) {
  console.error('--requests and --seed take whole numbers')
  process.exit(1)
}

/** Requests after which memory is looked at first: until then code is compiled and caches fill. */
const warmUp = Math.min(20_000, Math.ceil(requests / 5))

const dataDir = await mkdtemp(join(tmpdir(), 'threadmill-fuzz-'))
const main = new URL('../src/main.ts', import.meta.url).pathname
const env = {
  ...process.env,
  PORT: '0',
  DATA_DIR: dataDir,
  LOG_LEVEL: 'error',
  DATABASE_URL: '',
  OPENAI_API_KEY: '',
}
const server = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'inherit'] })
try {
  const url = await addressOf()
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as Document
  const first = await fuzz(url, document, { requests: warmUp, seed })
  const before = await stateOf()
  const since = performance.now()
  const rest = await fuzz(url, document, { requests: requests - warmUp, seed: seed + 1 })
  const seconds = (performance.now() - since) / 1_000
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  const after = await stateOf()
  const faults = [...first.faults, ...rest.faults]
  const statuses = new Map<number, number>()
  for (const { statuses: some } of [first, rest])
    for (const [status, count] of some) statuses.set(status, (statuses.get(status) ?? 0) + count)
  console.log(`${requests} requests, seed ${seed}: ${((requests - warmUp) / seconds).toFixed(0)} a second`)
  for (const [status, count] of [...statuses].toSorted(([a], [b]) => a - b))
    console.log(`  ${status}  ${count}`)
  console.log(`slowest ${Math.max(first.slowestMs, rest.slowestMs).toFixed(0)} ms`)
  console.log(
    `memory ${before.rssMiB} MiB -> ${after.rssMiB} MiB, open files ${before.files} -> ${after.files}`,
  )
  console.log(`${faults.length} faults`)
  for (const fault of faults.slice(0, 20)) console.log(`  ${fault}`)
  const grown = after.files > before.files + 20
  const alive = (await fetch(`${url}/readyz`)).status === 200
  if (grown || !alive || faults.length > 0) process.exitCode = 1
} finally {
  server.kill('SIGTERM')
  if (server.exitCode === null) await once(server, 'exit')
  await rm(dataDir, { recursive: true, force: true })
}

async function addressOf(): Promise<string> {
  let said = ''
  for await (const piece of server.stdout) {
    said += String(piece)
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
    if (url) return url
  }
  throw new Error(`the server did not start: ${said}`)
}

async function stateOf(): Promise<{ rssMiB: number; files: number }> {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
  const files = await readdir(`/proc/${server.pid}/fd`)
  return { rssMiB: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024), files: files.length }
}
