// Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4). Our own, since they stand on the
// hot path: what is counted there is a field that grows, found without making a string (docs/decisions/0023).

export type Labels = Readonly<Record<string, string>>

type Kind = 'counter' | 'gauge' | 'histogram'

/** What a metric is, for its HELP and TYPE lines and for docs/metrics.md. */
export interface MetricDescription {
  name: string
  kind: Kind
  /** One line, without a backslash. */
  help: string
  labels: readonly string[]
}

interface Family extends MetricDescription {
  /** The lines of its samples. */
  lines(): string[]
}

/** A number that only grows. */
export class Counter {
  value = 0

  add(by = 1): void {
    this.value += by
  }
}

/** How often a value was seen, and how many of them were at most each bound. */
export class Histogram {
  readonly #bounds: readonly number[]
  /** Values up to each bound and above the one before; the last holds those above all. */
  readonly #counts: number[]
  #sum = 0

  /** `bounds` must ascend. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.#bounds.length && value > (this.#bounds[at] as number)) at += 1
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sum += value
  }

  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0)
  }

  lines(name: string, labels: Labels): string[] {
    let total = 0
    const buckets = this.#counts.map((count, at) => {
      total += count
      const le = at < this.#bounds.length ? String(this.#bounds[at]) : '+Inf'
      return sample(`${name}_bucket`, { ...labels, le }, total)
    })
    return [...buckets, sample(`${name}_sum`, labels, this.#sum), sample(`${name}_count`, labels, total)]
  }
}

/** Up to three values of labels; what a metric has not is ''. */
type Values = readonly [first: string, second: string, third: string]

/**
 * One instrument for each combination of up to three labels. The first may come from clients: there are at most `most` of it,
 * the rest share the one called `other`.
 */
export class Labelled<T> {
  readonly #make: () => T
  readonly #most: number
  readonly #children = new Map<string, Map<string, Map<string, T>>>()

  constructor(make: () => T, most: number) {
    this.#make = make
    this.#most = most
  }

  with(first: string, second = '', third = ''): T {
    return this.#children.get(first)?.get(second)?.get(third) ?? this.#add(first, second, third)
  }

  #add(first: string, second: string, third: string): T {
    const clean = labelOf(first)
    if (clean !== first) return this.with(clean, second, third)
    const known = this.#children.get(first)
    if (!known && first !== other && this.#children.size >= this.#most) return this.with(other, second, third)
    const rows = known ?? new Map<string, Map<string, T>>()
    const row = rows.get(second) ?? new Map<string, T>()
    const child = this.#make()
    this.#children.set(first, rows.set(second, row.set(third, child)))
    return child
  }

  entries(): [values: Values, child: T][] {
    return [...this.#children].flatMap(([first, rows]) =>
      [...rows].flatMap(([second, row]) =>
        [...row].map(([third, child]): [Values, T] => [[first, second, third], child]),
      ),
    )
  }
}

/** The label of what came when there were as many labels as there may be. */
const other = 'other'

/** Longer than any name that a model has; labels are kept for as long as the server lives. */
const maxLabel = 100

/** A text that may have come from a client as a label: short, and such that two labels never look alike. */
function labelOf(text: string): string {
  return text.slice(0, maxLabel).toWellFormed()
}

/** What a gauge shows: a number, numbers by labels, or null for nothing at the moment. */
export type GaugeReading = number | null | readonly (readonly [Labels, number])[]

/** All metrics of a server. */
export class Registry {
  readonly #families: Family[] = []

  get descriptions(): readonly MetricDescription[] {
    return this.#families
  }

  counter(name: string, help: string): Counter {
    const counter = new Counter()
    this.#add({ name, kind: 'counter', help, labels: [], lines: () => [sample(name, {}, counter.value)] })
    return counter
  }

  /** Counters by up to three labels; `most` values of the first. */
  counters(name: string, help: string, labels: readonly string[], most = 100): Labelled<Counter> {
    const all = new Labelled(() => new Counter(), most)
    const lines = () => all.entries().map(([of, { value }]) => sample(name, named(labels, of), value))
    this.#add({ name, kind: 'counter', help, labels, lines })
    return all
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds)
    this.#add({ name, kind: 'histogram', help, labels: [], lines: () => histogram.lines(name, {}) })
    return histogram
  }

  /** Histograms by up to three labels; `most` values of the first. */
  histograms(
    name: string,
    help: string,
    labels: readonly string[],
    bounds: readonly number[],
    most = 100,
  ): Labelled<Histogram> {
    const all = new Labelled(() => new Histogram(bounds), most)
    const lines = () => all.entries().flatMap(([of, child]) => child.lines(name, named(labels, of)))
    this.#add({ name, kind: 'histogram', help, labels, lines })
    return all
  }

  /** A value that is read when it is asked for. */
  gauge(name: string, help: string, read: () => GaugeReading, labels: readonly string[] = []): void {
    this.#add({ name, kind: 'gauge', help, labels, lines: () => readingLines(name, read()) })
  }

  /** As `gauge`, of something that only grows and is counted elsewhere. */
  total(name: string, help: string, read: () => GaugeReading, labels: readonly string[] = []): void {
    this.#add({ name, kind: 'counter', help, labels, lines: () => readingLines(name, read()) })
  }

  /** Everything in the text format of Prometheus, version 0.0.4. */
  text(): string {
    const blocks = this.#families.flatMap((family) => [
      `# HELP ${family.name} ${family.help}`,
      `# TYPE ${family.name} ${family.kind}`,
      ...family.lines(),
    ])
    return `${blocks.join('\n')}\n`
  }

  #add(family: Family): void {
    this.#families.push(family)
  }
}

function named(labels: readonly string[], of: Values): Labels {
  return Object.fromEntries(labels.map((label, at) => [label, of[at] ?? '']))
}

function readingLines(name: string, reading: GaugeReading): string[] {
  if (reading === null) return []
  if (typeof reading === 'number') return [sample(name, {}, reading)]
  return reading.map(([labels, value]) => sample(name, labels, value))
}

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${shown(value)}`
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}

function shown(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (Number.isFinite(value)) return String(value)
  return value > 0 ? '+Inf' : '-Inf'
}
