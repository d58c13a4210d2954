import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Bench, type Line, type Subject } from './bench.ts'
import { bloat } from './lines/bloat.ts'
import { growth } from './lines/growth.ts'
import { latency } from './lines/latency.ts'
import { many } from './lines/many.ts'
import { profile } from './lines/profile.ts'
import { start } from './lines/start.ts'
import { streaming } from './lines/streaming.ts'
import { throughput } from './lines/throughput.ts'
import { factsNow, git, type Facts } from './machine.ts'
import { startMock } from './mock.ts'
import { readOptions, usage, type Options } from './options.ts'
import { killAll } from './processes.ts'
import { rowsOf, short, tableOf, type Names } from './report.ts'
import { Samples } from './samples.ts'
import { ownRoot } from './servers.ts'

// How fast a server is: bench/README.md.

const lines: Line[] = [throughput, latency, many, growth, streaming, start, bloat, profile]
const say = (text: string) => process.stdout.write(`${text}\n`)

/** The sources of another commit, sharing this one's packages. */
function checkOut(ref: string): Subject {
  const root = mkdtempSync(join(tmpdir(), 'threadmill-bench-vs-'))
  git('worktree', 'add', '--detach', '--force', root, ref)
  symlinkSync(join(ownRoot, 'node_modules'), join(root, 'node_modules'))
  process.once('exit', () => {
    rmSync(root, { recursive: true, force: true })
    git('worktree', 'prune')
  })
  return { name: ref, root }
}

/** Runs the lines that were asked for; a line that fails is told and does not keep the others from running. */
async function runLines(bench: Bench): Promise<string[]> {
  const failures: string[] = []
  for (const line of lines.filter(({ name }) => bench.options.lines.includes(name))) {
    if (line.own && bench.options.baseUrl !== null) {
      say(`\n${line.name}: skipped, since it starts servers of its own`)
      continue
    }
    say(`\n${line.name}: ${line.about}`)
    const since = performance.now()
    await line.run(bench).catch((error: unknown) => {
      failures.push(
        `${line.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
      say(`  failed: ${failures.at(-1)}`)
    })
    say(`  took ${Math.round((performance.now() - since) / 1_000)} s`)
  }
  return failures
}

async function main(options: Options): Promise<number> {
  const facts: Facts = factsNow()
  say(`commit ${facts.commit}, Node ${facts.node}\n${facts.machine}\n${facts.load}`)
  const subjects: Subject[] = options.baseUrl ? [] : [{ name: 'threadmill', root: ownRoot }]
  if (options.vs !== null && options.baseUrl === null) subjects.push(checkOut(options.vs))
  const samples = new Samples(({ metric, target, value }) => say(`  ${metric} | ${target} | ${short(value)}`))
  const mock = await startMock(options.mockPort)
  const bench = new Bench(options, samples, mock, subjects)
  let failures: string[] = []
  try {
    failures = await runLines(bench)
  } finally {
    await bench.stop()
    await mock.stop()
  }
  const names: Names = { ours: subjects[0]?.name ?? 'server', vs: subjects[1]?.name ?? null }
  const rows = rowsOf(samples, names)
  say(`\n${tableOf(rows, names)}`)
  facts.postgres = bench.postgres ?? ''
  say(`\n${facts.postgres}`)
  const missed = rows.filter(({ verdict }) => verdict === 'MISS').length
  const judged = rows.filter(({ verdict }) => verdict !== '').length
  say(`\n${judged - missed} of ${judged} goals met. At the end: ${factsNow().load}`)
  if (options.quick) say('This was --quick: the numbers say nothing.')
  const file = options.json ?? join(tmpdir(), 'bench-results.json')
  const result = { facts, options, rows, failures, samples: samples.all }
  writeFileSync(file, JSON.stringify(result, null, 2))
  say(`Written to ${file}`)
  return failures.length === 0 ? 0 : 1
}

// Also when an error was caught by nobody.
process.once('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(1))
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options === null) say(usage)
  else process.exitCode = await main(options)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
}
