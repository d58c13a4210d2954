import { isSendable } from './contract/model-endpoint.ts'
import { samplers } from './observe/trace-context.ts'
import { ConfigError, oneOf, text, type Setting } from './setting.ts'

// The settings of traces. Their names and meanings are OpenTelemetry's ("Environment Variable Specification", "OTLP Exporter").

type Pairs = Readonly<Record<string, string>>

export const traceSettings = {
  otlpEndpoint: text({
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    kind: 'URL',
    otherwise: 'none',
    means:
      'Base URL of an OpenTelemetry collector; traces go to `/v1/traces` below it, by OTLP/HTTP in JSON. Without it there are none',
    read: (given) => collector('OTEL_EXPORTER_OTLP_ENDPOINT', given),
  }),
  otlpTracesEndpoint: text({
    name: 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    kind: 'URL',
    otherwise: 'none',
    means: 'The whole URL for traces, instead of that',
    read: (given) => collector('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', given),
  }),
  otlpHeaders: headers('OTEL_EXPORTER_OTLP_HEADERS', 'Headers for the collector, values percent-encoded'),
  otlpTracesHeaders: headers('OTEL_EXPORTER_OTLP_TRACES_HEADERS', 'The same, for traces alone'),
  otlpProtocol: text({
    name: 'OTEL_EXPORTER_OTLP_PROTOCOL',
    kind: '`http/json`, `http/protobuf`',
    otherwise: 'http/json',
    means: 'Both are served by `http/json`, which collectors take at the same URL; `grpc` is refused',
    read: protocol,
  }),
  otelServiceName: text({
    name: 'OTEL_SERVICE_NAME',
    kind: 'text',
    otherwise: 'threadmill',
    means: '`service.name` of the traces',
    read: (given) => given,
  }),
  otelResource: keyed(
    'OTEL_RESOURCE_ATTRIBUTES',
    'What else is said of this server in traces, values percent-encoded',
  ),
  otelSampler: oneOf({
    name: 'OTEL_TRACES_SAMPLER',
    values: samplers,
    otherwise: 'parentbased_always_on',
    means: 'Which traces are told',
  }),
  otelSamplerRatio: text({
    name: 'OTEL_TRACES_SAMPLER_ARG',
    kind: 'number, 0 to 1',
    otherwise: '1',
    means: 'The share of them, for the samplers with a ratio',
    read: ratio,
  }),
  otelDisabled: truth('OTEL_SDK_DISABLED', 'No traces, whatever else is set'),
  otelContent: truth(
    'OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT',
    'Traces hold what people and models wrote, and what tools were asked and answered',
  ),
}

/** OpenTelemetry's booleans: true or false. */
function truth(name: string, means: string): Setting<boolean> {
  const { read, ...setting } = oneOf({ name, values: ['false', 'true'], otherwise: 'false', means })
  return { ...setting, read: (given) => read(given) === 'true' }
}

function keyed(name: string, means: string): Setting<Pairs> {
  const kind = '`name=value`, comma-separated'
  return { name, kind, otherwise: 'none', means, read: (given) => pairsOf(name, given) }
}

function headers(name: string, means: string): Setting<Pairs> {
  const setting = keyed(name, means)
  return { ...setting, kind: `${setting.kind}, secret`, read: (given) => headersOf(name, given) }
}

function pairsOf(name: string, given: string | null): Pairs {
  const read = (pair: string): [string, string] => {
    const at = pair.indexOf('=')
    try {
      if (at > 0) return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]
    } catch {
      // Told below, without the text: it may hold a key.
    }
    throw new ConfigError(`${name} must list name=value, separated by commas, with percent-encoded values.`)
  }
  const pairs = (given ?? '').split(',').flatMap((pair) => (pair.trim() === '' ? [] : [read(pair)]))
  return Object.fromEntries(pairs)
}

/** Headers that the connection itself needs, and that would fail every request. */
const ofConnection = /^(connection|content-length|expect|host|keep-alive|transfer-encoding|upgrade)$/i

function headersOf(name: string, given: string | null): Pairs {
  const headers = pairsOf(name, given)
  const isHeader = ([key, value]: [string, string]) =>
    /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(key) && !ofConnection.test(key) && isSendable(value)
  if (Object.entries(headers).every(isHeader)) return headers
  // Not repeated: it may hold a key.
  throw new ConfigError(`${name} has a name or a value that cannot be sent as a header.`)
}

// The text is not repeated: it may hold a password.
function collector(name: string, given: string | null): string | null {
  if (given === null) return null
  const url = URL.canParse(given) ? new URL(given) : null
  if (url && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return given
  throw new ConfigError(
    `${name} must be an http or https URL such as http://127.0.0.1:4318, without a password: that goes into OTEL_EXPORTER_OTLP_HEADERS.`,
  )
}

function protocol(given: string | null): 'http/json' {
  if (given === null || given === 'http/json' || given === 'http/protobuf') return 'http/json'
  throw new ConfigError(
    `OTEL_EXPORTER_OTLP_PROTOCOL is "${given}", and traces are sent by http/json only: name the collector's HTTP port, mostly 4318.`,
  )
}

function ratio(given: string | null): number {
  const value = Number(given ?? 1)
  if (value >= 0 && value <= 1) return value
  throw new ConfigError(`OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, and it is "${given}".`)
}

type Values = { [K in keyof typeof traceSettings]: ReturnType<(typeof traceSettings)[K]['read']> }

/** Where traces go; null: there are none. */
export function tracesUrl(values: Values): string | null {
  if (values.otelDisabled) return null
  if (values.otlpTracesEndpoint !== null) return values.otlpTracesEndpoint
  if (values.otlpEndpoint === null) return null
  const url = new URL(values.otlpEndpoint)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  return url.href
}
