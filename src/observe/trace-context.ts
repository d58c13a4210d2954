import { createHash } from 'node:crypto'

// Which trace a run belongs to. Its ids follow from the run's own and from the traceparent that it was created under, so that
// every server that works on it, now or after a restart, tells of the same trace without a word between them.

/** What a request says of the trace that it is part of (W3C Trace Context). */
export interface TraceParent {
  /** 32 hexadecimal digits. */
  traceId: string
  /** 16 hexadecimal digits. */
  spanId: string
  sampled: boolean
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Longer than any version of it may be for us. */
const maxHeader = 256

/** Reads the header `traceparent`; null for one that is missing or not as W3C Trace Context §3.2 has it. */
export function parseTraceparent(header: string | undefined): TraceParent | null {
  const found = header === undefined || header.length > maxHeader ? null : form.exec(header)
  if (!found) return null
  const [, version = '', traceId = '', spanId = '', flags = '', more] = found
  // Later versions may say more, the first may not.
  if (version === 'ff' || (version === '00' && more !== undefined)) return null
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/** The header for what is called from within a span. Only sampled spans call in their name. */
export function traceparentOf(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`
}

/** The trace of a run that was created under none. */
export function traceIdOf(runId: string): string {
  return digest(`trace ${runId}`, 32)
}

/** The id of the span of something that is known by a name of its own. */
export function spanIdOf(name: string): string {
  return digest(name, 16)
}

// All zeros would be no id; of a hash they are as likely as any other value, which is never.
function digest(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits)
}

export const samplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const

/** Whether the spans of a trace are told. The same trace gets the same answer everywhere. */
export type Sampler = (traceId: string, parent: TraceParent | null) => boolean

/** The samplers of OpenTelemetry by their names; `ratio` is that of the two that have one. */
export function createSampler(name: (typeof samplers)[number], ratio: number): Sampler {
  const root = (traceId: string) => {
    if (name.endsWith('always_on')) return true
    if (name.endsWith('always_off')) return false
    // The last digits are the random ones (W3C Trace Context, level 2); 13 of them are what a number holds exactly.
    return Number.parseInt(traceId.slice(-13), 16) < ratio * 2 ** 52
  }
  if (!name.startsWith('parentbased')) return (traceId) => root(traceId)
  return (traceId, parent) => (parent === null ? root(traceId) : parent.sampled)
}
