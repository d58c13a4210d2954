import type { RunRecord } from '../domain/records.ts'
import type { Usage } from '../domain/usage.ts'
import type { RunTracesOptions } from './run-traces.ts'
import type { Attributes } from './span.ts'
import { traceparentOf } from './trace-context.ts'

/** What is told of a request to a model. */
export interface ChatRequest {
  model: string
  messages: readonly ChatMessage[]
  temperature?: number
  top_p?: number
  max_completion_tokens?: number
}

export interface ChatMessage {
  role: string
  content: string | readonly { type: string }[] | null
  tool_calls?: readonly { id: string; function: { name: string; arguments: string } }[]
  tool_call_id?: string
}

/** What a model answered, as far as content may be told. */
export interface ChatAnswer {
  text: string
  calls: { id: string; name: string; arguments: string }[]
}

interface Place {
  traceId: string
  spanId: string
  parentSpanId: string
}

/** The span of one call of a model, from its making on. */
export class ChatSpan {
  readonly #options: RunTracesOptions
  readonly #place: Place
  readonly #run: RunRecord
  readonly #request: ChatRequest
  readonly #start = Date.now()
  readonly #since = performance.now()
  #firstAfter: number | undefined
  /** What has come of the answer; null if content is not told. */
  readonly answer: ChatAnswer | null

  constructor(options: RunTracesOptions, place: Place, run: RunRecord, request: ChatRequest) {
    this.#options = options
    this.#place = place
    this.#run = run
    this.#request = request
    this.answer = options.content ? { text: '', calls: [] } : null
  }

  /** The header by which the model's server can tell what it does as part of the same trace. */
  get traceparent(): string {
    return traceparentOf(this.#place.traceId, this.#place.spanId)
  }

  /** The first of the answer has come. */
  heard(): void {
    this.#firstAfter = performance.now() - this.#since
  }

  ended(finish: string, usage: Usage): void {
    this.#tell({
      'gen_ai.response.finish_reasons': [finish],
      'gen_ai.usage.input_tokens': usage.prompt_tokens,
      'gen_ai.usage.output_tokens': usage.completion_tokens,
      ...this.#contentOf(finish),
    })
  }

  failed(error: string): void {
    this.#tell({ 'error.type': error, ...this.#contentOf('error') })
  }

  #tell(outcome: Attributes): void {
    const { model, provider, server } = this.#options.served(this.#request.model)
    const { temperature, top_p, max_completion_tokens } = this.#request
    this.#options.tell({
      ...this.#place,
      name: `chat ${model}`,
      kind: 'client',
      start: this.#start,
      end: this.#start + performance.now() - this.#since,
      failed: 'error.type' in outcome,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': provider,
        'gen_ai.conversation.id': this.#run.thread_id,
        'gen_ai.request.model': model,
        'gen_ai.request.stream': true,
        'gen_ai.request.temperature': temperature,
        'gen_ai.request.top_p': top_p,
        'gen_ai.request.max_tokens': max_completion_tokens,
        'server.address': server?.address,
        'server.port': server?.port,
        'gen_ai.response.time_to_first_chunk':
          this.#firstAfter === undefined ? undefined : this.#firstAfter / 1000,
        'threadmill.run.id': this.#run.id,
        ...outcome,
      },
    })
  }

  #contentOf(finish: string): Attributes {
    if (this.answer === null) return {}
    const { text, calls } = this.answer
    const messages = this.#request.messages
    const system = messages.filter(({ role }) => role === 'system').flatMap(partsOf)
    const parts = [
      ...(text === '' ? [] : [textPart(text)]),
      ...calls.map(({ id, name, arguments: given }) => ({ type: 'tool_call', id, name, arguments: given })),
    ]
    return {
      'gen_ai.system_instructions': system.length > 0 ? JSON.stringify(system) : undefined,
      'gen_ai.input.messages': JSON.stringify(
        messages
          .filter(({ role }) => role !== 'system')
          .map((message) => ({ role: message.role, parts: partsOf(message) })),
      ),
      'gen_ai.output.messages': JSON.stringify([{ role: 'assistant', parts, finish_reason: finish }]),
    }
  }
}

const textPart = (content: string) => ({ type: 'text', content })

/** The parts of a message as the conventions have them; of images only that there is one. */
function partsOf({ content, tool_calls = [], tool_call_id }: ChatMessage): object[] {
  if (tool_call_id !== undefined) return [{ type: 'tool_call_response', id: tool_call_id, response: content }]
  const parts = typeof content === 'string' ? [textPart(content)] : (content ?? []).map(partOf)
  const calls = tool_calls.map(({ id, function: { name, arguments: given } }) => ({
    type: 'tool_call',
    id,
    name,
    arguments: given,
  }))
  return [...parts, ...calls]
}

function partOf(part: { type: string; text?: string }): object {
  return part.type === 'text' ? textPart(part.text ?? '') : { type: part.type }
}
