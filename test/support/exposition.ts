import assert from 'node:assert/strict'

// A strict reader of the text format of Prometheus, version 0.0.4: what `promtool check metrics` would refuse fails here.

export interface Sample {
  name: string
  labels: Readonly<Record<string, string>>
  value: number
}

export interface Family {
  name: string
  kind: string
  help: string
  samples: Sample[]
}

const metricName = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const sampleLine = new RegExp(`^(${metricName})(?:\\{(.*)\\})? (\\S+)$`)
const labelPair = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/

/** Everything that a server tells. */
export class Exposition {
  readonly families: Family[]

  constructor(text: string) {
    assert.ok(text.endsWith('\n'), 'the last line ends')
    this.families = familiesOf(text.slice(0, -1).split('\n'))
    for (const family of this.families) check(family)
  }

  /** The value of the one sample of this name with at least these labels; undefined if there is none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const found = this.samples(name).filter((sample) =>
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    )
    assert.ok(found.length <= 1, `${name} ${JSON.stringify(labels)} names ${found.length} samples`)
    return found[0]?.value
  }

  samples(name: string): Sample[] {
    return this.families.flatMap(({ samples }) => samples.filter((sample) => sample.name === name))
  }
}

/** What the server at `url` tells now. */
export async function scrape(url: string): Promise<Exposition> {
  const response = await fetch(`${url}/metrics`)
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  return new Exposition(await response.text())
}

function familiesOf(lines: string[]): Family[] {
  const families: Family[] = []
  for (const line of lines) {
    const help = new RegExp(`^# HELP (${metricName}) (.+)$`).exec(line)
    const type = new RegExp(`^# TYPE (${metricName}) (counter|gauge|histogram)$`).exec(line)
    const family = families.at(-1)
    if (help) {
      const [, name = '', text = ''] = help
      assert.ok(!families.some((one) => one.name === name), `${name} comes twice`)
      families.push({ name, kind: '', help: text, samples: [] })
    } else if (type) {
      assert.ok(family && family.name === type[1] && family.kind === '', `${line} follows its HELP`)
      family.kind = type[2] ?? ''
    } else {
      assert.ok(family && family.kind !== '', `${line} follows its TYPE`)
      family.samples.push(sampleOf(line))
    }
  }
  return families
}

function sampleOf(line: string): Sample {
  const [, name = '', labels = '', value = ''] = sampleLine.exec(line) ?? assert.fail(`no sample: ${line}`)
  assert.match(value, /^([+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|[+-]Inf)$/, line)
  return { name, labels: labelsOf(labels, line), value: value === '+Inf' ? Infinity : Number(value) }
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (let rest = text; rest !== '';) {
    const [pair, name = '', value = ''] = labelPair.exec(rest) ?? assert.fail(`no labels: ${line}`)
    assert.ok(!(name in labels), `${name} comes twice: ${line}`)
    labels[name] = value.replaceAll(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char))
    rest = rest.slice(pair.length)
  }
  return labels
}

const keyOf = ({ name, labels }: Sample) =>
  name + JSON.stringify(Object.entries(labels).map(String).toSorted())

function check({ name, kind, samples }: Family): void {
  const suffixes = kind === 'histogram' ? ['_bucket', '_sum', '_count'] : ['']
  for (const sample of samples) {
    assert.ok(suffixes.includes(sample.name.slice(name.length)), `${sample.name} is of ${name}`)
    if (kind !== 'gauge') assert.ok(sample.value >= 0, `${sample.name} is not negative`)
  }
  assert.equal(new Set(samples.map(keyOf)).size, samples.length, `${name} has a sample twice`)
  if (kind === 'counter') assert.match(name, /_total$/)
  else assert.doesNotMatch(name, /_(total|count|sum|bucket)$/)
  if (kind === 'histogram') checkBuckets(name, samples)
}

function checkBuckets(name: string, samples: Sample[]): void {
  const groups = new Map<string, Sample[]>()
  for (const sample of samples) {
    const key = JSON.stringify({ ...sample.labels, le: undefined })
    groups.set(key, [...(groups.get(key) ?? []), sample])
  }
  for (const group of groups.values()) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`)
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])))
    const counts = buckets.map(({ value }) => value)
    const ascends = (values: number[]) => values.every((value, i) => i === 0 || value >= (values[i - 1] ?? 0))
    assert.ok(ascends(bounds) && ascends(counts) && bounds.at(-1) === Infinity, `buckets of ${name}`)
    assert.equal(group.length, buckets.length + 2, `${name} has one sum and one count`)
    assert.equal(group.find((sample) => sample.name === `${name}_count`)?.value, counts.at(-1))
  }
}
