import type { StreamEvent } from '../contract/events.ts'
import type { IncompleteReason, RunToolCall, StepToolCall } from '../contract/objects.ts'
import { closeItems } from './closing.ts'
import type { MessageRecord, OpenItems, RunRecord, StepRecord } from './records.ts'
import { toMessage, toStep } from './to-wire.ts'
import { estimateTokens, type Usage } from './usage.ts'

// One turn of the model: what arrives becomes a message with its step, then tool calls with theirs, each opened
// before its deltas and closed once (wire.md §7). A turn's tool calls stay unseen while its message is open:
// SDKs take one open item at a time, and the message closes in the commit that ends the turn.

/** Ids of the items that a turn may make, fixed before it starts, so that a repeated write writes the same rows. */
export interface TurnIds {
  message: string
  messageStep: string
  callStep: string
}

export interface TurnRows {
  newMessages: MessageRecord[]
  changedMessages: MessageRecord[]
  newSteps: StepRecord[]
  changedSteps: StepRecord[]
}

export const noTurnRows: TurnRows = { newMessages: [], changedMessages: [], newSteps: [], changedSteps: [] }

export class Turn {
  readonly #run: RunRecord
  readonly #ids: TurnIds
  readonly #firstSeq: number
  #message: MessageRecord | null = null
  #messageStep: StepRecord | null = null
  #callStep: StepRecord | null = null
  /** Items of this turn that are in the store. */
  readonly #stored = new Set<string>()
  #text = ''
  readonly #calls: StepToolCall[] = []
  #events: StreamEvent[] = []
  /** Whether the calls came after text: then they wait for the message to close. */
  #callsBehind = false
  /** Whether the text came after calls: the message is stored with the turn, but no event tells of it. */
  #textUnseen = false
  /** Their events until then. */
  readonly #behindMessage: StreamEvent[] = []

  /** `firstSeq` is the place in the run of the turn's first step. */
  constructor(run: RunRecord, firstSeq: number, ids: TurnIds) {
    this.#run = run
    this.#firstSeq = firstSeq
    this.#ids = ids
  }

  /** Takes text of the answer. `now` is in Unix seconds, here and below. */
  text(value: string, now: number): void {
    const text = storable(value)
    if (text === '') return
    const first = this.#message === null
    if (first) this.#openMessage(now)
    this.#text += text
    if (this.#textUnseen) return
    const content = { value: text, ...(first ? { annotations: [] } : {}) }
    this.#events.push({
      event: 'thread.message.delta',
      data: {
        id: this.#ids.message,
        object: 'thread.message.delta',
        delta: { content: [{ index: 0, type: 'text', text: content }] },
      },
    })
  }

  /** Takes the start of a tool call: its whole id and name. Calls come in ascending order from 0. */
  call(id: string, name: string, now: number): void {
    if (this.#callStep === null) this.#openCallStep(now)
    this.#calls.push({ id, type: 'function', function: { name, arguments: '', output: null } })
    this.#callDelta({ id, type: 'function', function: { name, arguments: '', output: null } })
  }

  /** Takes a fragment of the last call's arguments. */
  arguments(fragment: string): void {
    const call = this.#calls.at(-1)
    const text = storable(fragment)
    if (call === undefined || text === '') return
    call.function.arguments += text
    this.#callDelta({ type: 'function', function: { arguments: text } })
  }

  /** The calls made, as the run asks the client for them. */
  get calls(): RunToolCall[] {
    return this.#calls.map(({ id, type, function: { name, arguments: args } }) => ({
      id,
      type,
      function: { name, arguments: args },
    }))
  }

  /** Whether something was opened that the store does not hold yet: its events must wait for that commit. */
  get hasUnstored(): boolean {
    return this.#visible().some((step) => !this.#stored.has(step.id))
  }

  /** Rows for the commit that makes the opened items visible; `markStored` says that it succeeded. */
  openRows(): TurnRows {
    const newSteps = this.#visible().filter((step) => !this.#stored.has(step.id))
    const message = newSteps.some(isMessageStep) ? this.#message : null
    return { ...noTurnRows, newMessages: message ? [message] : [], newSteps }
  }

  markStored(rows: TurnRows): void {
    for (const step of rows.newSteps) this.#stored.add(step.id)
  }

  /** What of this turn is in the store, as it stands there: the rows to undo when the turn is given up. */
  storedItems(): OpenItems {
    const steps = this.#visible().filter((step) => this.#stored.has(step.id))
    return { steps, messages: this.#message && steps.some(isMessageStep) ? [this.#message] : [] }
  }

  /** Events since the last call, in order. */
  takeEvents(): StreamEvent[] {
    const events = this.#events
    this.#events = []
    return events
  }

  /** The same events, without taking them: for a commit that may fail. */
  peekEvents(): StreamEvent[] {
    return [...this.#events]
  }

  /** Takes the first `count` events, which were published. */
  dropEvents(count: number): void {
    this.#events.splice(0, count)
  }

  /** An answer without text and calls still is an answer: an empty message. No effect on any other. */
  ensureMessage(now: number): void {
    if (this.#message === null && this.#callStep === null) this.#openMessage(now)
  }

  /** What this much of the turn may have cost, for a turn that ended before the backend said so. */
  estimateUsage(promptTokens: number): Usage {
    const answer =
      this.#text + this.#calls.map((call) => call.function.name + call.function.arguments).join('')
    if (answer === '') return { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    const completion = estimateTokens(answer)
    return {
      prompt_tokens: promptTokens,
      completion_tokens: completion,
      total_tokens: promptTokens + completion,
    }
  }

  /**
   * Ends the turn as the run's new state demands. Answers the rows for that commit and all events left, those
   * of the ended items included. `usage` goes to the turn's last step, so that a run's steps add up to the run.
   * Nothing changes here: it can be asked again when the run has changed before the commit.
   */
  end(
    next: RunRecord,
    usage: Usage | null,
    now: number,
    reason?: IncompleteReason,
  ): { rows: TurnRows; events: StreamEvent[] } {
    const succeeded = turnSucceeded(next)
    const open = this.#openItems(succeeded, usage)
    const messageItems: OpenItems = { steps: open.steps.filter(isMessageStep), messages: open.messages }
    const closedMessage = closeItems(next, messageItems, now, reason)
    const steps = [...closedMessage.steps]
    // What nobody saw is forgotten unless the turn succeeded.
    const behind = succeeded ? this.#behindMessage : []
    const closed = this.#textUnseen ? [] : closedMessage.events
    const events = [...this.#events, ...closed, ...behind]
    for (const step of open.steps.filter((s) => !isMessageStep(s))) {
      if (next.state.status === 'requires_action') {
        steps.push(step)
        continue
      }
      const closedCalls = closeItems(next, { steps: [step], messages: [] }, now)
      steps.push(...closedCalls.steps)
      events.push(...closedCalls.events)
    }
    return { rows: this.#split(closedMessage.messages, steps), events }
  }

  /** The open items with their final content. */
  #openItems(succeeded: boolean, usage: Usage | null): OpenItems {
    const all = [this.#messageStep, this.#callStep].filter((step) => step !== null)
    const steps = succeeded ? all.toSorted((a, b) => a.seq - b.seq) : this.#visible()
    const zero: Usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    return {
      steps: steps.map((step, i) => ({
        ...step,
        details: isMessageStep(step) ? step.details : { type: 'tool_calls', tool_calls: this.#finalCalls() },
        usage: succeeded && usage ? (i === steps.length - 1 ? usage : zero) : null,
      })),
      messages:
        this.#message && (succeeded || !this.#textUnseen)
          ? [{ ...this.#message, content: this.#content() }]
          : [],
    }
  }

  #content(): MessageRecord['content'] {
    return [{ type: 'text', text: { value: this.#text.toWellFormed(), annotations: [] } }]
  }

  #finalCalls(): StepToolCall[] {
    return this.#calls.map((call) => ({
      ...call,
      function: { ...call.function, arguments: call.function.arguments.toWellFormed() },
    }))
  }

  #split(messages: MessageRecord[], steps: StepRecord[]): TurnRows {
    const stored = (step: StepRecord) => this.#stored.has(step.id)
    const messageStored = this.#stored.has(this.#ids.messageStep)
    return {
      newMessages: messageStored ? [] : messages,
      changedMessages: messageStored ? messages : [],
      newSteps: steps.filter((step) => !stored(step)),
      changedSteps: steps.filter(stored),
    }
  }

  /** The step that clients may see now, if any: never two at a time. */
  #visible(): StepRecord[] {
    const step = this.#callsBehind ? this.#messageStep : (this.#callStep ?? this.#messageStep)
    return step === null ? [] : [step]
  }

  #openMessage(now: number): void {
    const { id: run_id, project_id, thread_id, assistant_id } = this.#run
    this.#message = {
      id: this.#ids.message,
      project_id,
      thread_id,
      role: 'assistant',
      status: 'in_progress',
      content: [],
      assistant_id,
      run_id,
      attachments: [],
      metadata: {},
      created_at: now,
      ended_at: null,
      incomplete_reason: null,
    }
    const details = { type: 'message_creation', message_creation: { message_id: this.#ids.message } } as const
    // Some models go on talking after their calls. The step of the calls is open by then, and stays open in
    // requires_action, while SDKs refuse a second open step: so that message takes the next place, unseen.
    this.#textUnseen = this.#callStep !== null
    const place = this.#textUnseen ? 1 : 0
    this.#messageStep = this.#step(this.#ids.messageStep, place, details, now)
    if (this.#textUnseen) return
    this.#events.push(...opened(this.#messageStep))
    const data = toMessage(this.#message)
    this.#events.push(
      { event: 'thread.message.created', data },
      { event: 'thread.message.in_progress', data },
    )
  }

  #openCallStep(now: number): void {
    this.#callsBehind = this.#messageStep !== null
    const place = this.#callsBehind ? 1 : 0
    this.#callStep = this.#step(this.#ids.callStep, place, { type: 'tool_calls', tool_calls: [] }, now)
    this.#callEvents().push(...opened(this.#callStep))
  }

  #step(id: string, offset: number, details: StepRecord['details'], now: number): StepRecord {
    const { id: run_id, project_id, thread_id, assistant_id, state } = this.#run
    return {
      id,
      project_id,
      thread_id,
      run_id,
      assistant_id,
      seq: this.#firstSeq + offset,
      turn: state.turns,
      status: 'in_progress',
      details,
      usage: null,
      error: null,
      created_at: now,
      ended_at: null,
      expires_at: state.deadline,
    }
  }

  #callEvents(): StreamEvent[] {
    return this.#callsBehind ? this.#behindMessage : this.#events
  }

  #callDelta(call: {
    id?: string
    type: 'function'
    function: { name?: string; arguments: string; output?: null }
  }): void {
    this.#callEvents().push({
      event: 'thread.run.step.delta',
      data: {
        id: this.#ids.callStep,
        object: 'thread.run.step.delta',
        delta: {
          step_details: { type: 'tool_calls', tool_calls: [{ index: this.#calls.length - 1, ...call }] },
        },
      },
    })
  }
}

function turnSucceeded({ state: { status } }: RunRecord): boolean {
  return status === 'completed' || status === 'requires_action' || status === 'incomplete'
}

function isMessageStep(step: StepRecord): boolean {
  return step.details.type === 'message_creation'
}

function opened(step: StepRecord): StreamEvent[] {
  const data = toStep(step)
  return [
    { event: 'thread.run.step.created', data },
    { event: 'thread.run.step.in_progress', data },
  ]
}

/** Postgres holds no NUL in text or jsonb; a model that sends one gets the replacement character instead. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD')
}
