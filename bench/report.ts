import { goals, type Goal } from './goals.ts'
import { median, pairedMedian, type Samples } from './samples.ts'

// From samples to rows, and from rows to a table.

export interface Row {
  metric: string
  /** Medians over the rounds. */
  direct: number
  reference: number
  ours: number
  /** The commit of --vs, and ours divided by it: the median of the rounds' ratios. */
  vs: number
  oursToVs: number
  /** How ours compares with the reference, as the goal wants it. */
  compared: string
  goal: string
  verdict: 'pass' | 'MISS' | ''
  /** Ours in each round: how far they lie apart is the weather. */
  rounds: number[]
}

export interface Names {
  ours: string
  vs: string | null
}

/** One row for each metric that our target has, goals or not. */
export function rowsOf(samples: Samples, names: Names): Row[] {
  return samples
    .metrics()
    .filter((metric) => samples.of(metric, names.ours).length > 0)
    .map((metric) => rowOf(samples, metric, names))
}

function rowOf(samples: Samples, metric: string, { ours, vs }: Names): Row {
  const goal = goals.find((each) => each.metric === metric)
  const mine = samples.of(metric, ours)
  const references = ['bare', 'small', 'before'].map((name) => samples.of(metric, name))
  const reference = references.find((values) => values.length > 0) ?? []
  const theirs = vs === null ? [] : samples.of(metric, vs)
  const compared = goal ? compare(goal, mine, reference) : NaN
  return {
    metric,
    direct: median(samples.of(metric, 'direct')),
    reference: median(reference),
    ours: median(mine),
    vs: median(theirs),
    oursToVs: pairedMedian(mine, theirs, (a, b) => a / b),
    compared: goal && goal.as !== 'value' && Number.isFinite(compared) ? words(goal, compared) : '',
    goal: goal ? wanted(goal) : '',
    verdict: goal ? verdict(goal, compared) : '',
    rounds: mine,
  }
}

function compare({ as }: Goal, ours: number[], reference: number[]): number {
  switch (as) {
    case 'share':
      return pairedMedian(ours, reference, (a, b) => (100 * a) / b)
    case 'over':
      return pairedMedian(ours, reference, (a, b) => a - b)
    case 'times':
      return pairedMedian(ours, reference, (a, b) => a / b)
    case 'value':
      return median(ours)
  }
}

function words({ as, reference }: Goal, compared: number): string {
  if (as === 'share') return `${compared.toFixed(0)} % of ${reference}`
  return as === 'over' ? `${signed(compared)} over ${reference}` : `${short(compared)} x ${reference}`
}

function wanted({ atLeast, atMost, aim }: Goal): string {
  if (atLeast !== undefined && atLeast === atMost) return `= ${atLeast}`
  const limit = atLeast !== undefined ? `>= ${atLeast}` : atMost !== undefined ? `<= ${atMost}` : ''
  return aim === undefined ? limit : `${limit} (aim ${aim})`
}

function verdict({ atLeast, atMost }: Goal, compared: number): Row['verdict'] {
  if (!Number.isFinite(compared) || (atLeast === undefined && atMost === undefined)) return ''
  return compared >= (atLeast ?? -Infinity) && compared <= (atMost ?? Infinity) ? 'pass' : 'MISS'
}

/** Three significant digits, or all before the point. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return ''
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}

const signed = (value: number) => (value > 0 ? '+' : '') + short(value)

/** The rows as a Markdown table, which reads well in a terminal too. */
export function tableOf(rows: Row[], { ours, vs }: Names): string {
  const titles = ['', 'direct', 'reference', ours, 'compared', 'goal', '', 'rounds']
  if (vs !== null) titles.splice(4, 0, vs, `${ours} / ${vs}`)
  const cells = rows.map((row) => {
    const own = [row.metric, short(row.direct), short(row.reference), short(row.ours)]
    const rounds = row.rounds.length > 1 ? row.rounds.map(short).join(', ') : ''
    const pair = vs === null ? [] : [short(row.vs), short(row.oursToVs)]
    return [...own, ...pair, row.compared, row.goal, row.verdict, rounds]
  })
  const widths = titles.map((title, i) =>
    Math.max(title.length, ...cells.map((line) => line[i]?.length ?? 0)),
  )
  const line = (texts: string[]) =>
    `| ${texts.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(titles), rule, ...cells.map(line)].join('\n')
}
