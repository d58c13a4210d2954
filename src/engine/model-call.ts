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

/** Characters of content in an entry of the log. */
const maxContent = 64 * 1024

type Observing = Pick<TaskDeps, 'store' | 'log'>

/** One call of a model, as it is measured. Made when the model is called. */
export class ModelCall {
  readonly #deps: Observing
  readonly #run: RunRecord
  readonly #request: ModelRequest
  readonly #span: ChatSpan | null
  /** What has come, if it may be told. */
  readonly #answer: ChatAnswer | null
  readonly #since = performance.now()
  #heard = false

  constructor(deps: Observing, run: RunRecord, request: ModelRequest) {
    this.#deps = deps
    this.#run = run
    this.#request = request
    this.#span = deps.store.traces?.chat(run, request) ?? null
    this.#answer = this.#span?.answer ?? (deps.log.content ? { text: '', calls: [] } : null)
  }

  /** What the request says of its trace. */
  get headers(): Headers | undefined {
    return this.#span ? { traceparent: this.#span.traceparent } : undefined
  }

  /** Something of the answer has come. */
  heard(event: ModelEvent): void {
    if (this.#answer) collect(this.#answer, event)
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
    if (!log.verbose) return
    const { id: run, thread_id: thread } = this.#run
    const ms = Math.round(seconds * 1000)
    log.debug('a model was called', { run, thread, model, outcome, ms, ...this.#content() })
  }

  #content(): { asked?: string; answered?: string } {
    if (!this.#deps.log.content) return {}
    const shown = (value: unknown) => JSON.stringify(value).slice(0, maxContent).toWellFormed()
    return { asked: shown(this.#request.messages), answered: shown(this.#answer) }
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
