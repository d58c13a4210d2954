import { hostname } from 'node:os'
import type { Config } from './config.ts'
import type { Log } from './log.ts'
import { demoModel, resolveAlias } from './models/aliases.ts'
import type { Metrics } from './observe/metrics.ts'
import { SpanExporter, type ExporterOptions } from './observe/otlp.ts'
import { RunTraces, type ServedModel } from './observe/run-traces.ts'
import { createSampler } from './observe/trace-context.ts'
import { version } from './observe/version.ts'
import { tracesUrl } from './trace-settings.ts'

export interface Traces {
  runs: RunTraces
  /** Sends what is left, a second at most. */
  close(): Promise<void>
}

/** Traces as the settings want them; null if there is no collector. */
export function createTraces(
  config: Config,
  log: Log,
  metrics: Metrics,
  timing: ExporterOptions['timing'] = {},
): Traces | null {
  const url = tracesUrl(config)
  if (url === null) return null
  const exporter = new SpanExporter({
    url,
    headers: { ...config.otlpHeaders, ...config.otlpTracesHeaders },
    resource: {
      'host.name': hostname(),
      'process.pid': process.pid,
      ...config.otelResource,
      'service.name': config.otelServiceName ?? config.otelResource['service.name'] ?? 'threadmill',
      'service.version': version,
      'telemetry.sdk.name': 'threadmill',
      'telemetry.sdk.language': 'nodejs',
      'telemetry.sdk.version': version,
    },
    log,
    count: (outcome) => metrics.spans.with(outcome),
    timing,
  })
  const runs = new RunTraces({
    tell: (span) => exporter.add(span),
    sampler: createSampler(config.otelSampler, config.otelSamplerRatio),
    served: servedBy(config),
    content: config.otelContent,
  })
  return { runs, close: () => exporter.close() }
}

/** Who answers for a model. Without an endpoint it is the demo model, whatever is asked for. */
function servedBy({ modelUrl, aliases }: Config): (asked: string) => ServedModel {
  const url = modelUrl === null ? null : new URL(modelUrl)
  const port = Number(url?.port) || (url?.protocol === 'https:' ? 443 : 80)
  return (asked) => {
    const model = resolveAlias(aliases, asked)
    if (url === null || model === demoModel) return { model, provider: 'threadmill.demo', server: null }
    return { model, provider: providerOf(url.hostname), server: { address: url.hostname, port } }
  }
}

/** Hosts of providers that the conventions have a name for. */
const providers: readonly [host: RegExp, provider: string][] = [
  [/\.openai\.azure\.com$/, 'azure.ai.openai'],
  [/(^|\.)anthropic\.com$/, 'anthropic'],
  [/(^|\.)deepseek\.com$/, 'deepseek'],
  [/^generativelanguage\.googleapis\.com$/, 'gcp.gemini'],
  [/(^|\.)groq\.com$/, 'groq'],
  [/(^|\.)mistral\.ai$/, 'mistral_ai'],
  [/(^|\.)perplexity\.ai$/, 'perplexity'],
  [/(^|\.)x\.ai$/, 'x_ai'],
]

// Whoever speaks OpenAI's protocol is told as such where nothing else is known: server.address says who it is.
function providerOf(host: string): string {
  return providers.find(([pattern]) => pattern.test(host))?.[1] ?? 'openai'
}
