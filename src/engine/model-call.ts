import type { RunRecord } from '../domain/records.ts'
import {
  ModelError,
  type Headers,
  type ModelEnd,
  type ModelEvent,
  type ModelRequest,
} from '../models/model.ts'
import type { ChatAnswer, ChatSpan } from '../observe/chat-span.ts'
import type { TaskDeps } from './run-task.ts'

type Observing = Pick<TaskDeps, 'store' | 'log'>

/** One call of a model, as it is measured. Made when the model is called. */
export class ModelCall {
  readonly #deps: Observing
  readonly #run: RunRecord
  readonly #request: ModelRequest
  readonly #span: ChatSpan | null
  readonly #since = performance.now()
  #heard = false

  constructor(deps: Observing, run: RunRecord, request: ModelRequest) {
    this.#deps = deps
    this.#run = run
    this.#request = request
    this.#span = deps.store.traces?.chat(run, request) ?? null
  }

  /** What the request says of its trace. */
  get headers(): Headers | undefined {
    return this.#span ? { traceparent: this.#span.traceparent } : undefined
  }

  /** Something of the answer has come. */
  heard(event: ModelEvent): void {
    if (this.#span?.answer) collect(this.#span.answer, event)
    if (this.#heard) return
    this.#heard = true
    const { metrics } = this.#deps.store
    metrics.firstTokenSeconds.with(this.#request.model).observe(this.#seconds())
    this.#span?.heard()
  }

  ended({ finish, usage }: ModelEnd): void {
    const { tokens } = this.#deps.store.metrics
    const { model } = this.#request
    tokens.with(model, 'input').add(usage.prompt_tokens)
    tokens.with(model, 'output').add(usage.completion_tokens)
    this.#span?.ended(finish, usage)
    this.#over(finish)
  }

  /** It was broken off by this server, or threw. */
  failed(error: unknown, interrupted: boolean): void {
    const code = error instanceof ModelError ? error.code : 'server_error'
    const outcome = interrupted ? 'interrupted' : code
    this.#span?.failed(outcome)
    this.#over(outcome)
  }

  #over(outcome: string): void {
    const { store, log } = this.#deps
    const { model } = this.#request
    const seconds = this.#seconds()
    store.metrics.modelCalls.with(model, outcome).add()
    store.metrics.modelSeconds.with(model).observe(seconds)
    log.debug('a model was called', {
      run: this.#run.id,
      thread: this.#run.thread_id,
      model,
      outcome,
      ms: Math.round(seconds * 1000),
    })
  }

  #seconds(): number {
    return (performance.now() - this.#since) / 1000
  }
}

/** Takes an event into the answer that a trace tells. */
function collect(answer: ChatAnswer, event: ModelEvent): void {
  const call = answer.calls.at(-1)
  if (event.type === 'text') answer.text += event.text
  else if (event.type === 'call') answer.calls.push({ id: event.id, name: event.name, arguments: '' })
  else if (call) call.arguments += event.text
}
