import type { Usage } from '../domain/usage.ts'
import { CallAssembler } from './call-assembler.ts'
import { readChunk } from './chat-chunk.ts'
import { ModelError, type FinishReason, type ModelEvent } from './model.ts'
import { SplitPairs } from './split-pairs.ts'
import { serverSettings, type SettingNames } from './transport.ts'

// From a provider's chunks to the events that the engine is promised (ModelEvent): pure, no clock, no I/O.
//
// Text that follows a tool call is passed on as it comes, for it belongs to the answer; the engine adds it to
// the turn's message. Leading blank text is the exception: many models put newlines before their calls, which
// would make an empty message. It is held until more text follows, and dropped if calls are all that follows.

// Eight million characters are more than any model answers in a turn: a stream beyond that has no end.
const answerCharsAtMost = 8_000_000

export interface NormalisedEnd {
  finish: FinishReason
  /** Undefined when the backend did not say. */
  usage: Usage | undefined
  /** Of text, names and arguments, to estimate the usage from. */
  answer: string
}

export class Normaliser {
  readonly #on: (event: ModelEvent) => void
  readonly #calls: CallAssembler
  readonly #pairs = new SplitPairs()
  #hasChoice = false
  /** Blank text before the first text that says something. */
  #blank = ''
  #hasText = false
  #answer = ''
  #finish: string | undefined
  #usage: Usage | undefined
  readonly #settings: SettingNames

  /**
   * `newCallId` makes ids for calls whose own ids are missing, doubled or of another form. Of the calls the first
   * `callsAllowed` are passed on; the others count as said, but not as made. `settings`: of the endpoint that answers.
   */
  constructor(
    on: (event: ModelEvent) => void,
    newCallId: () => string,
    callsAllowed = Infinity,
    settings = serverSettings,
  ) {
    this.#on = on
    this.#settings = settings
    this.#calls = new CallAssembler(on, newCallId, callsAllowed)
  }

  /** Whether the backend has said why it stopped: what is cut off after that is no loss. */
  get finished(): boolean {
    return this.#finish !== undefined
  }

  /** Takes one parsed chunk, or a whole chat.completion. */
  take(value: unknown): void {
    const chunk = readChunk(value)
    this.#hasChoice ||= chunk.hasChoice
    this.#finish = chunk.finish ?? this.#finish
    this.#usage = chunk.usage ?? this.#usage
    this.#text(this.#pairs.take(chunk.text))
    for (const call of chunk.calls) {
      this.#count((call.name ?? '') + call.arguments)
      this.#calls.add(call)
    }
  }

  /** Ends the turn. `clean` says that the backend ended its answer, rather than that the bytes ran out. */
  end(clean: boolean): NormalisedEnd {
    if (!this.#hasChoice) {
      const hint = `check that ${this.#settings.url} is the base of a Chat Completions API (it often ends in /v1)`
      throw new ModelError('server_error', `The model endpoint sent no answer: ${hint}.`)
    }
    if (this.#finish === 'error')
      throw new ModelError('server_error', 'The model endpoint failed while it answered.')
    if (!this.finished && !clean) {
      throw new ModelError('server_error', "The model endpoint's answer ended in the middle.")
    }
    this.#text(this.#pairs.end())
    if (!this.finished && this.#answer === '') {
      throw new ModelError('server_error', 'The model endpoint ended its answer without saying anything.')
    }
    const finish = this.#finishReason()
    this.#calls.end(finish === 'length' || finish === 'content_filter')
    if (this.#calls.count === 0 && this.#blank !== '') this.#on({ type: 'text', text: this.#blank })
    return { finish, usage: this.#usage, answer: this.#answer }
  }

  #text(text: string): void {
    if (text === '') return
    this.#count(text)
    if (!this.#hasText && text.trim() === '') {
      this.#blank += text
      return
    }
    this.#hasText = true
    this.#on({ type: 'text', text: this.#blank + text })
    this.#blank = ''
  }

  #count(text: string): void {
    this.#answer += text
    if (this.#answer.length > answerCharsAtMost) {
      throw new ModelError('server_error', "The model's answer was too long to take.")
    }
  }

  #finishReason(): FinishReason {
    const reason = this.#finish ?? 'stop'
    if (/^(length|max_tokens|model_length)$/i.test(reason)) return 'length'
    if (/^(content_filter|safety)$/i.test(reason)) return 'content_filter'
    // Whatever else it is called, and providers say "stop" here too: calls want answers, and none want none.
    return this.#calls.count > 0 ? 'tool_calls' : 'stop'
  }
}
