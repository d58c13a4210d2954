import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { campaign, randomFaults } from './campaign.ts'
import { everyPoint } from './every-point.ts'
import { scoreScenarios, type Score } from './scenarios.ts'
import { everything, killsOnly } from './plans.ts'
import type { Result } from './result.ts'

const usage = `npm run chaos -- [options]

  --minutes N     of faults; default: 3
  --seed N        decides what is done; default: a random one, which is printed
  --nodes N       servers; default: 3
  --clients N     at a time; default: 12
  --kills N       ends when so many servers were killed, and kills only; for a long campaign
  --every MS      between two faults; default: 1500, of a campaign of kills 600
  --every-point   kills a server at each statement of each kind of job, one after the other
  --scenarios     scores five scenarios of a public comparison instead, in about 4 minutes
  --json FILE     writes the result
`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string' },
    nodes: { type: 'string', default: '3' },
    clients: { type: 'string', default: '12' },
    kills: { type: 'string' },
    every: { type: 'string' },
    'every-point': { type: 'boolean', default: false },
    scenarios: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

function number(
  name: 'minutes' | 'seed' | 'nodes' | 'clients' | 'kills' | 'every',
  otherwise: number,
): number {
  const text = values[name]
  if (text === undefined) return otherwise
  const value = Number(text)
  if (value > 0 && text.trim() !== '') return value
  throw new Error(`--${name} must be a number above 0, and it is "${text}".`)
}

const say = (text: string) => process.stdout.write(`${text}\n`)

function report(result: Result): void {
  say(
    `\n${result.seconds} s, ${result.nodes} nodes, ${result.jobs} jobs, ${result.runs} runs, ${result.modelCalls} model calls`,
  )
  for (const [fault, count] of Object.entries(result.faults)) say(`  ${fault.padEnd(28)} ${count}`)
  say(`  ${'servers killed'.padEnd(28)} ${result.kills}`)
  say(`  ${'stop points struck'.padEnd(28)} ${Object.keys(result.stopPoints).length}`)
  say(`  ${'runs left to others'.padEnd(28)} ${result.gaveUp}`)
  say(`  ${'starts in vain'.padEnd(28)} ${result.startsInVain}`)
  say(`  ${'runs that failed by it'.padEnd(28)} ${result.failed}`)
  const rows = {
    'from a kill to the next call of its turn': result.recovery,
    'the same of all faults': result.recoveryOfAll,
    'from a kill until it answers again': result.restart,
    'cancel to the end': result.cancel,
    'the same with nothing broken': result.cancelUndisturbed,
  }
  for (const [name, { p50, p99, longest, count }] of Object.entries(rows))
    say(`${name.padEnd(42)} p50 ${p50} ms, p99 ${p99} ms, longest ${longest} ms (${count})`)
  for (const crash of result.crashes) say(`crash: ${crash}`)
  say(`violations: ${result.violations.length}`)
  for (const violation of result.violations.slice(0, 50)) say(`  ${violation}`)
}

function write(result: unknown): void {
  if (values.json) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`)
}

function reportScore({ name, before, behind, score, others, violations }: Score): void {
  const row = [name, `${before} -> ${behind}`, `${score} %`, ...others]
  say(row.map((cell, i) => cell.padEnd(i === 0 ? 18 : 14)).join(''))
  for (const violation of violations) say(`  ${violation}`)
}

// What was started is ended when this process exits.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const seed = number('seed', 1 + Math.floor(Math.random() * 2 ** 31))
if (values.help) say(usage)
else if (values.scenarios) {
  const names = ['scenario', 'jobs', 'threadmill', 'awa', 'river', 'oban', 'pg-boss', 'procrastinate', 'pgmq']
  say(names.map((cell, i) => cell.padEnd(i === 0 ? 18 : 14)).join(''))
  const scores = await scoreScenarios(seed, reportScore)
  write(scores)
  if (scores.some(({ violations }) => violations.length > 0)) process.exitCode = 1
} else {
  const again = process.argv.slice(2).filter((arg, i, all) => arg !== '--seed' && all[i - 1] !== '--seed')
  const command = `npm run chaos -- ${[...again, '--seed', seed].join(' ')}`
  say(command)
  const plan = values.kills === undefined ? everything : killsOnly
  const faults = randomFaults({
    ...plan,
    clients: number('clients', 12),
    ms: number('minutes', values.kills === undefined ? 3 : 60) * 60_000,
    kills: number('kills', Infinity),
    every: number('every', plan.every),
  })
  const result = await campaign(
    { seed, nodes: number('nodes', 3), progress: say },
    values['every-point'] ? everyPoint() : faults,
  )
  report(result)
  write(result)
  if (result.violations.length > 0 || result.crashes.length > 0) {
    say(`\nRun it again:\n  ${command}`)
    process.exitCode = 1
  }
}
