import type { RunRecord } from '../domain/records.ts'
import { ModelError, type ModelEnd, type ModelRequest } from '../models/model.ts'
import type { TaskDeps } from './run-task.ts'

type Observing = Pick<TaskDeps, 'store' | 'log'>

/** One call of a model, as it is measured. Made when the model is called. */
export class ModelCall {
  readonly #deps: Observing
  readonly #run: RunRecord
  readonly #request: ModelRequest
  readonly #since = performance.now()
  #heard = false

  constructor(deps: Observing, run: RunRecord, request: ModelRequest) {
    this.#deps = deps
    this.#run = run
    this.#request = request
  }

  /** Something of the answer has come. */
  heard(): void {
    if (this.#heard) return
    this.#heard = true
    const { metrics } = this.#deps.store
    metrics.firstTokenSeconds.with(this.#request.model).observe(this.#seconds())
  }

  ended({ finish, usage }: ModelEnd): void {
    const { tokens } = this.#deps.store.metrics
    const { model } = this.#request
    tokens.with(model, 'input').add(usage.prompt_tokens)
    tokens.with(model, 'output').add(usage.completion_tokens)
    this.#over(finish)
  }

  /** It was broken off by this server, or threw. */
  failed(error: unknown, interrupted: boolean): void {
    if (interrupted) this.#over('interrupted')
    else this.#over(error instanceof ModelError ? error.code : 'server_error')
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
