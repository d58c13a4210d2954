// What was measured: one number per metric, target and round.

export interface Sample {
  metric: string
  target: string
  value: number
}

export class Samples {
  readonly all: Sample[] = []
  /** Told of each sample, for those who watch. */
  readonly onSample: (sample: Sample) => void

  constructor(onSample: (sample: Sample) => void) {
    this.onSample = onSample
  }

  add(metric: string, target: string, value: number): void {
    if (!Number.isFinite(value)) return
    const sample = { metric, target, value }
    this.all.push(sample)
    this.onSample(sample)
  }

  /** The values of all rounds, in their order. */
  of(metric: string, target: string): number[] {
    return this.all
      .filter((each) => each.metric === metric && each.target === target)
      .map(({ value }) => value)
  }

  metrics(): string[] {
    return [...new Set(this.all.map(({ metric }) => metric))]
  }
}

/** The value below which the share `p` of all lies; NaN of none. */
export function quantile(values: number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? NaN
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)] ?? NaN
  return ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** `compare` of the values of each round, and of these the median: two numbers of one round had the same weather. */
export function pairedMedian(
  ours: number[],
  theirs: number[],
  compare: (a: number, b: number) => number,
): number {
  const rounds = Math.min(ours.length, theirs.length)
  return median(Array.from({ length: rounds }, (_, i) => compare(ours[i] ?? NaN, theirs[i] ?? NaN)))
}
