// A span as OTLP has it in JSON (opentelemetry-proto, trace.proto; OTLP/HTTP "JSON Protobuf Encoding").

export type AttributeValue = string | number | boolean | readonly string[]

/** One that is undefined is left out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>

export interface Span {
  traceId: string
  spanId: string
  parentSpanId: string | null
  name: string
  kind: 'internal' | 'client'
  /** Milliseconds since 1970, with fractions. */
  start: number
  end: number
  attributes: Attributes
  failed: boolean
}

const kinds = { internal: 1, client: 3 } as const

/** Characters of a value; messages of people may be long. */
const maxValue = 64 * 1024

/** The span as OTLP's JSON. */
export function spanJson(span: Span): string {
  return JSON.stringify({
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentSpanId === null ? {} : { parentSpanId: span.parentSpanId }),
    // Sampled, as all that are told.
    flags: 1,
    name: span.name,
    kind: kinds[span.kind],
    startTimeUnixNano: nanoseconds(span.start),
    endTimeUnixNano: nanoseconds(Math.max(span.start, span.end)),
    attributes: keyValues(span.attributes),
    status: span.failed ? { code: 2 } : {},
  })
}

/** Attributes as a list of OTLP's KeyValue. */
export function keyValues(attributes: Attributes): object[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : { key, value: anyValue(value) },
  )
}

function anyValue(value: AttributeValue): object {
  if (typeof value === 'string') return { stringValue: value.slice(0, maxValue).toWellFormed() }
  if (typeof value === 'boolean') return { boolValue: value }
  // 64-bit integers are texts in JSON.
  if (typeof value === 'number')
    return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value }
  return { arrayValue: { values: value.map(anyValue) } }
}

// More digits than a number holds: microseconds, and three zeros.
function nanoseconds(ms: number): string {
  return `${Math.round(ms * 1000)}000`
}
