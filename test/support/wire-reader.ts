import assert from 'node:assert/strict'
import type { StreamEvent } from '../../src/contract/events.ts'
import type { RunStepObject, StepToolCall } from '../../src/contract/objects.ts'
import type { MessageRecord, StepRecord } from '../../src/domain/records.ts'
import { toMessage, toStep } from '../../src/domain/to-wire.ts'

/** Events of messages and steps: all that a turn publishes. */
type ItemEvent = Extract<StreamEvent, { event: `thread.${'run.step' | 'message'}.${string}` }>

function isItemEvent(event: StreamEvent): event is ItemEvent {
  return /^thread\.(run\.step|message)\./.test(event.event)
}

/** Reads a stream as a strict client would, and fails at the first event that the protocol does not allow there. */
export class WireReader {
  /** Items in the order in which they were opened, with what their deltas add up to. */
  readonly #items = new Map<string, { open: boolean; step: RunStepObject | null; text: string }>()
  readonly #calls = new Map<string, StepToolCall[]>()
  readonly #storedMessages: ReadonlyMap<string, MessageRecord>
  readonly #storedSteps: ReadonlyMap<string, StepRecord>
  /** Whether a step began while another was open. */
  overlapped = false
  /** The item whose `created` was the last event, for `in_progress` must follow it. */
  #justCreated: string | null = null

  /** The maps are what the store holds when an event is read. */
  constructor(messages: ReadonlyMap<string, MessageRecord>, steps: ReadonlyMap<string, StepRecord>) {
    this.#storedMessages = messages
    this.#storedSteps = steps
  }

  get seen(): string[] {
    return [...this.#items.keys()]
  }

  text(id: string): string | undefined {
    return this.#items.get(id)?.text
  }

  calls(id: string): StepToolCall[] | undefined {
    return this.#calls.get(id)
  }

  take(event: StreamEvent): void {
    if (!isItemEvent(event)) assert.fail(`${event.event} is no event of a turn`)
    const { id } = event.data
    const just = this.#justCreated
    this.#justCreated = null
    if (just !== null) assert.match(event.event, /in_progress$/, `after the created of ${just}`)
    switch (event.event) {
      case 'thread.run.step.created':
        return this.#openStep(event.data)
      case 'thread.message.created':
        return this.#openMessage(id)
      case 'thread.run.step.in_progress':
      case 'thread.message.in_progress':
        assert.equal(just, id, 'in_progress follows created')
        return
      case 'thread.message.delta': {
        const item = this.#openItem(id)
        assert.equal(event.data.delta.content.length, 1)
        const [part] = event.data.delta.content
        assert.equal(part?.index, 0)
        assert.equal(
          part.text.annotations !== undefined,
          item.text === '',
          'annotations in the first delta only',
        )
        assert.notEqual(part.text.value, '')
        item.text += part.text.value
        return
      }
      case 'thread.run.step.delta':
        this.#openItem(id)
        for (const call of event.data.delta.step_details.tool_calls) this.#callDelta(id, call)
        return
      case 'thread.message.completed':
      case 'thread.message.incomplete': {
        this.#close(id)
        const row = this.#storedMessages.get(id)
        assert.deepEqual(event.data, row && toMessage(row), 'the closing event shows what is stored')
        assert.equal(event.event, `thread.message.${row?.status}`)
        return
      }
      case 'thread.run.step.completed':
      case 'thread.run.step.failed':
      case 'thread.run.step.cancelled':
      case 'thread.run.step.expired':
        return this.#closeStep(event.event, event.data)
    }
  }

  /** At the end all items are closed, but for `open`. */
  checkEnd(open: string[]): void {
    assert.equal(this.#justCreated, null)
    const left = [...this.#items].filter(([, item]) => item.open).map(([id]) => id)
    assert.deepEqual(left, open)
  }

  #openStep(data: RunStepObject): void {
    assert.ok(!this.#items.has(data.id), `${data.id} is created twice`)
    assert.ok(this.#storedSteps.has(data.id), `${data.id} is told of before it is stored`)
    assert.equal(this.#openMessageId(), undefined, 'no step begins while a message is open')
    this.overlapped ||= [...this.#items.values()].some(({ open }) => open)
    assert.equal(data.status, 'in_progress')
    if (data.step_details.type === 'tool_calls') assert.deepEqual(data.step_details.tool_calls, [])
    this.#items.set(data.id, { open: true, step: data, text: '' })
    this.#justCreated = data.id
  }

  #openMessage(id: string): void {
    assert.ok(!this.#items.has(id), `${id} is created twice`)
    assert.ok(this.#storedMessages.has(id), `${id} is told of before it is stored`)
    assert.equal(this.#openMessageId(), undefined, 'one open message at a time')
    const step = [...this.#items.values()].find((item) => item.open && messageOf(item.step) === id)
    assert.ok(step, 'the step of a message is created before it')
    this.#items.set(id, { open: true, step: null, text: '' })
    this.#justCreated = id
  }

  #openMessageId(): string | undefined {
    return [...this.#items].find(([, item]) => item.open && item.step === null)?.[0]
  }

  #openItem(id: string) {
    const item = this.#items.get(id)
    assert.ok(item?.open, `${id} is open`)
    return item
  }

  #close(id: string): void {
    this.#openItem(id).open = false
  }

  #closeStep(event: string, data: RunStepObject): void {
    this.#close(data.id)
    const message = messageOf(data)
    if (message !== undefined) assert.equal(this.#items.get(message)?.open, false, 'message before its step')
    const row = this.#storedSteps.get(data.id)
    assert.deepEqual(data, row && toStep(row), 'the closing event shows what is stored')
    assert.equal(event, `thread.run.step.${row?.status}`)
  }

  #callDelta(
    step: string,
    delta: { index: number; id?: string; function: { name?: string; arguments: string; output?: null } },
  ): void {
    const calls = this.#calls.get(step) ?? []
    this.#calls.set(step, calls)
    const { id, index } = delta
    const { name, arguments: args, output } = delta.function
    if (index === calls.length) {
      assert.ok(id !== undefined && name !== undefined, 'the first delta of a call has id and name')
      assert.equal(output, null)
      calls.push({ id, type: 'function', function: { name, arguments: args, output: null } })
      return
    }
    const call = calls.at(-1)
    assert.ok(call && index === calls.length - 1, 'fragments belong to the last call')
    // SDKs concatenate strings: what came twice would be doubled.
    assert.deepEqual([id, name, output], [undefined, undefined, undefined])
    call.function.arguments += args
  }
}

function messageOf(step: RunStepObject | null): string | undefined {
  return step?.step_details.type === 'message_creation'
    ? step.step_details.message_creation.message_id
    : undefined
}
