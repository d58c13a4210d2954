import { randomBytes } from 'node:crypto'
import { isTerminal } from '../contract/events.ts'
import type { RunRecord, RunTrace, StepRecord } from '../domain/records.ts'
import { ChatSpan, type ChatRequest } from './chat-span.ts'
import type { Attributes, AttributeValue, Span } from './span.ts'
import { parseTraceparent, spanIdOf, traceIdOf, type Sampler, type TraceParent } from './trace-context.ts'

// Runs as spans by the GenAI conventions of OpenTelemetry: invoke_agent for the run, chat for each call of a model, and
// execute_tool for what its client did in between. Each is told once, by the server that commits its end.

export interface RunTracesOptions {
  /** Takes a span; never waits. */
  tell: (span: Span) => void
  sampler: Sampler
  /** Who answers for a model that was asked for. */
  served: (model: string) => ServedModel
  /** Content of messages may be told. */
  content: boolean
}

export interface ServedModel {
  /** The name that it is asked by. */
  model: string
  /** gen_ai.provider.name */
  provider: string
  /** Where it is; null if within this process. */
  server: { address: string; port: number } | null
}

/** Where the spans of a run hang. */
export interface RunContext {
  traceId: string
  /** Of the run's own span. */
  spanId: string
}

/** Runs whose beginnings are remembered exactly; of others the database knows the second. */
const maxRemembered = 20_000

export class RunTraces {
  readonly options: RunTracesOptions
  /** When runs began, and when they last asked for outputs, as far as that was here; milliseconds since 1970. */
  readonly #began = new Map<string, number>()
  readonly #asked = new Map<string, number>()

  constructor(options: RunTracesOptions) {
    this.options = options
  }

  /** What a run keeps of the request that creates it, for whoever tells of it. */
  settings(traceparent: string | undefined, agent: string | null): RunTrace {
    return { parent: parseTraceparent(traceparent) === null ? null : (traceparent ?? null), agent }
  }

  /** A run was created. */
  created(run: RunRecord): void {
    if (this.#contextOf(run)) remember(this.#began, run.id)
  }

  /** A run was changed; `steps` are those that were changed with it. */
  changed(run: RunRecord, steps: readonly StepRecord[]): void {
    const context = this.#contextOf(run)
    if (context === null) return
    const { status } = run.state
    for (const step of steps) this.#tools(run, context, step)
    this.#asked.delete(run.id)
    if (status === 'requires_action') remember(this.#asked, run.id)
    if (!isTerminal(status)) return
    this.#tell(run, context)
    this.#began.delete(run.id)
  }

  /** A call of a model begins; null if nothing is to be told of it. */
  chat(run: RunRecord, request: ChatRequest): ChatSpan | null {
    const context = this.#contextOf(run)
    if (context === null) return null
    const spanId = randomBytes(8).toString('hex')
    return new ChatSpan(this.options, { ...context, parentSpanId: context.spanId, spanId }, run, request)
  }

  #contextOf({ id, settings }: RunRecord): (RunContext & { parent: TraceParent | null }) | null {
    const parent = parseTraceparent(settings.trace?.parent ?? undefined)
    const traceId = parent?.traceId ?? traceIdOf(id)
    if (!this.options.sampler(traceId, parent)) return null
    return { traceId, spanId: spanIdOf(`run ${id}`), parent }
  }

  #tell(run: RunRecord, context: RunContext & { parent: TraceParent | null }): void {
    const { settings, state, id } = run
    const agent = settings.trace?.agent ?? undefined
    const { model, provider } = this.options.served(settings.model)
    this.options.tell({
      traceId: context.traceId,
      spanId: context.spanId,
      parentSpanId: context.parent?.spanId ?? null,
      name: agent === undefined ? 'invoke_agent' : `invoke_agent ${agent}`,
      kind: 'internal',
      start: this.#began.get(id) ?? run.created_at * 1000,
      end: Date.now(),
      failed: errorOf(run) !== undefined,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.provider.name': provider,
        'gen_ai.agent.id': run.assistant_id,
        'gen_ai.agent.name': agent,
        'gen_ai.conversation.id': run.thread_id,
        'gen_ai.request.model': model,
        'gen_ai.usage.input_tokens': state.usage.prompt_tokens,
        'gen_ai.usage.output_tokens': state.usage.completion_tokens,
        'gen_ai.response.finish_reasons': finishReasons(run),
        'threadmill.run.id': id,
        'threadmill.run.status': state.status,
        'error.type': errorOf(run),
      },
    })
  }

  /** The tools of a step that the client was asked to execute: answered, or ended with the run. */
  #tools(run: RunRecord, context: RunContext, { details, status, usage, created_at }: StepRecord): void {
    // Without usage the turn did not end: nobody was asked.
    if (details.type !== 'tool_calls' || usage === null || status === 'in_progress') return
    // Completed with its turn, in a run that does not wait for outputs.
    if (details.tool_calls.every(({ function: { output } }) => output === null) && status === 'completed')
      return
    const answered = status === 'completed'
    for (const call of details.tool_calls) {
      this.options.tell({
        traceId: context.traceId,
        spanId: spanIdOf(`tool ${run.id} ${call.id}`),
        parentSpanId: context.spanId,
        name: `execute_tool ${call.function.name}`,
        kind: 'internal',
        start: this.#asked.get(run.id) ?? created_at * 1000,
        end: Date.now(),
        failed: !answered,
        attributes: {
          'gen_ai.operation.name': 'execute_tool',
          'gen_ai.tool.name': call.function.name,
          'gen_ai.tool.call.id': call.id,
          'gen_ai.tool.type': 'function',
          'gen_ai.agent.id': run.assistant_id,
          'gen_ai.conversation.id': run.thread_id,
          'threadmill.run.id': run.id,
          'error.type': answered ? undefined : status,
          ...this.#contentOf(call.function.arguments, call.function.output),
        },
      })
    }
  }

  #contentOf(given: string, output: string | null): Attributes {
    if (!this.options.content) return {}
    return { 'gen_ai.tool.call.arguments': given, 'gen_ai.tool.call.result': output ?? undefined }
  }
}

function errorOf({ state }: RunRecord): string | undefined {
  if (state.status === 'failed') return state.error.code
  return state.status === 'expired' ? 'expired' : undefined
}

function finishReasons({ state }: RunRecord): AttributeValue | undefined {
  if (state.status === 'completed') return ['stop']
  return state.status === 'incomplete' ? ['length'] : undefined
}

/** Notes that something happened now, and forgets the oldest of too many. */
function remember(moments: Map<string, number>, id: string): void {
  const oldest = moments.size >= maxRemembered ? moments.keys().next().value : undefined
  if (oldest !== undefined) moments.delete(oldest)
  moments.set(id, Date.now())
}
