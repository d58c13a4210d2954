import {
  ModelError,
  type Model,
  type ModelEnd,
  type ModelEvent,
  type ModelRequest,
} from '../../../src/models/model.ts'
import type { Process } from './process.ts'
import { currentOutside } from './outside.ts'
import type { Random } from './random.ts'

/** A call that a process has made to the model. */
export interface ModelCall {
  n: number
  process: Process
  /** What the client that created the run wrote into its instructions: which run it is. */
  run: string
  /** Which turn of the run: how many answers of tools it has by now. */
  turn: number
  /** The step of the simulation in which it was made. */
  step: number
  /** Milliseconds of the simulation at which the model says its next thing. */
  next: number
  /** How many pieces of text are left to be said. */
  pieces: number
  end: 'stop' | 'tool_calls' | 'length' | 'error'
  /** All that was said. */
  text: string
  state: 'open' | 'ended' | 'aborted'
  on: (event: ModelEvent) => void
  resolve: (end: ModelEnd) => void
  reject: (error: unknown) => void
}

/** The model of a simulation, which says something when the scheduler lets it. */
export class ScriptedModel implements Model {
  readonly description = 'scripted'
  readonly calls: ModelCall[] = []
  readonly #random: Random
  readonly #now: () => number
  readonly #step: () => number
  /** Of the usual time that it takes. */
  readonly #share: number

  constructor(random: Random, quick: boolean, now: () => number, step: () => number) {
    this.#random = random
    this.#share = quick ? 0.05 : 1
    this.#now = now
    this.#step = step
  }

  list(): Promise<[]> {
    return Promise.resolve([])
  }

  complete(request: ModelRequest, on: (event: ModelEvent) => void, signal: AbortSignal): Promise<ModelEnd> {
    const process = currentOutside() as Process
    return new Promise((resolve, reject) => {
      const call: ModelCall = {
        n: this.calls.length + 1,
        process,
        run: instructionsOf(request),
        turn: turnOf(request),
        step: this.#step(),
        next: this.#now() + Math.round(this.#random.between(0, 400) * this.#share),
        pieces: this.#random.between(0, 3),
        end: this.#random.weighted([
          { weight: 12, end: 'stop' as const },
          { weight: 5, end: 'tool_calls' as const },
          { weight: 1, end: 'length' as const },
          { weight: 1, end: 'error' as const },
        ]).end,
        text: '',
        state: 'open',
        on,
        resolve,
        reject,
      }
      if (call.end === 'tool_calls' && request.tools === undefined) call.end = 'stop'
      this.calls.push(call)
      signal.addEventListener('abort', () => {
        if (call.state === 'open') call.state = 'aborted'
        reject(signal.reason as Error)
      })
    })
  }

  /** Calls that have something to say now. */
  due(now: number): ModelCall[] {
    return this.calls.filter(({ state, process, next }) => state === 'open' && process.awake && next <= now)
  }

  /** When the next of them has; Infinity if none. */
  get nextDue(): number {
    const open = this.calls.filter(({ state, process }) => state === 'open' && process.awake)
    return Math.min(Infinity, ...open.map(({ next }) => next))
  }

  /** Says the next thing. */
  speak(call: ModelCall): string {
    call.next = this.#now() + Math.round(this.#random.between(0, 300) * this.#share)
    if (call.pieces > 0) {
      call.pieces -= 1
      const text = `${call.text === '' ? `#${call.n}` : ''} ${call.pieces}é`
      call.text += text
      call.process.run(() => call.on({ type: 'text', text }))
      return 'text'
    }
    call.state = 'ended'
    call.process.run(() => this.#end(call))
    return call.end
  }

  #end(call: ModelCall): void {
    const usage = { prompt_tokens: 7, completion_tokens: call.n, total_tokens: 7 + call.n }
    if (call.end === 'error') return call.reject(new ModelError('server_error', 'The model is out of order.'))
    if (call.end === 'tool_calls') {
      call.on({ type: 'call', index: 0, id: `call_${call.n}`, name: 'f' })
      call.on({ type: 'arguments', index: 0, text: '{}' })
    }
    call.resolve({ finish: call.end, usage })
  }
}

function instructionsOf({ messages }: ModelRequest): string {
  const first = messages[0]
  return first?.role === 'system' ? first.content : ''
}

/** A turn makes one tool call at most, and calls of former runs are not shown to the model. */
function turnOf({ messages }: ModelRequest): number {
  return messages.filter(({ role }) => role === 'tool').length
}
