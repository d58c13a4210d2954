import type { CallFragment } from './chat-chunk.ts'
import { isObject, parseJson } from './json.ts'
import { ModelError, type ModelEvent } from './model.ts'
import { SplitPairs } from './split-pairs.ts'

// Puts the fragments of a turn's tool calls in order: every call numbered as it first appeared, announced once,
// and ended before the next begins.
//
// Only the first call is passed on live. No protocol event ends a call before the stream does, so a later call
// must wait: a fragment of an earlier one may still come. What waits is cosmetic, for no call can be answered
// before the turn has ended.

// A turn that makes more calls is a backend gone wild, not an answer.
const callsAtMost = 128

const goodId = /^call_[A-Za-z0-9_-]{1,64}$/

interface OpenCall {
  /** Place among the calls as they appeared, from 0. */
  number: number
  /** As the backend numbers it. */
  index?: number
  /** As the backend names it. */
  rawId?: string
  name: string
  /** All arguments so far. */
  text: string
  /** Those of them that were not passed on yet. */
  waiting: string
  hasArguments: boolean
  announced: boolean
  pairs: SplitPairs
}

export class CallAssembler {
  readonly #calls: OpenCall[] = []
  readonly #usedIds = new Set<string>()
  readonly #on: (event: ModelEvent) => void
  readonly #newId: () => string
  readonly #allowed: number
  #announced = 0

  /** Of the calls only the first `allowed` are passed on. */
  constructor(on: (event: ModelEvent) => void, newId: () => string, allowed: number) {
    this.#on = on
    this.#newId = newId
    this.#allowed = allowed
  }

  /** Calls so far, without those that are not passed on. */
  get count(): number {
    return Math.min(this.#calls.length, this.#allowed)
  }

  add(fragment: CallFragment): void {
    const known = this.#find(fragment)
    const call = known === undefined || startsAnother(known, fragment) ? this.#open(fragment) : known
    call.rawId ??= fragment.id
    // A name that comes in parts is joined, one that comes again is not: no real name repeats its own half.
    if (fragment.name !== undefined && fragment.name !== call.name && call.text === '')
      call.name += fragment.name
    append(call, call.pairs.take(fragment.arguments))
    // Before its first argument a name may still grow.
    if (call.number === 0 && this.#allowed > 0 && call.name !== '' && call.hasArguments) this.#send(call)
  }

  /** Passes on all that waited. `cut` says that the answer was cut off, so that its last call may not be whole. */
  end(cut: boolean): void {
    for (const call of this.#calls.slice(0, this.count)) {
      if (call.name === '') {
        if (cut) continue
        throw new ModelError('server_error', 'The model endpoint sent a tool call without a name.')
      }
      append(call, call.pairs.end())
      // Clients parse the arguments; a function without any is called with an empty object.
      if (!call.hasArguments && !cut) call.waiting = '{}'
      this.#send(call)
    }
  }

  #find({ index, id }: CallFragment): OpenCall | undefined {
    const candidates = index === undefined ? this.#calls : this.#calls.filter((call) => call.index === index)
    const sameId = id === undefined ? undefined : candidates.findLast((call) => call.rawId === id)
    return sameId ?? candidates.at(-1)
  }

  #open({ index, id }: CallFragment): OpenCall {
    if (this.#calls.length >= callsAtMost) {
      throw new ModelError('server_error', `The model made more than ${callsAtMost} tool calls in one turn.`)
    }
    const call: OpenCall = {
      number: this.#calls.length,
      index,
      rawId: id,
      name: '',
      text: '',
      waiting: '',
      hasArguments: false,
      announced: false,
      pairs: new SplitPairs(),
    }
    this.#calls.push(call)
    return call
  }

  #send(call: OpenCall): void {
    if (!call.announced) {
      call.announced = true
      this.#on({
        type: 'call',
        index: this.#announced++,
        id: this.#publicId(call.rawId),
        name: storable(call.name),
      })
    }
    if (call.waiting !== '') this.#on({ type: 'arguments', index: this.#announced - 1, text: call.waiting })
    call.waiting = ''
  }

  /** The backend's id where clients can live with it; ids are unique within a turn, since outputs name them. */
  #publicId(rawId: string | undefined): string {
    const id = rawId !== undefined && goodId.test(rawId) && !this.#usedIds.has(rawId) ? rawId : this.#newId()
    this.#usedIds.add(id)
    return id
  }
}

function append(call: OpenCall, text: string): void {
  call.text += text
  call.waiting += text
  call.hasArguments ||= text.trim() !== ''
}

/**
 * Whether a fragment begins another call although its index (or the lack of one) says that it goes on with
 * `call`. Only a named one can: a new id alone is no sign, since some servers make one up for every chunk.
 */
function startsAnother(call: OpenCall, fragment: CallFragment): boolean {
  const { index, id, name, arguments: args, fresh } = fragment
  if (name === undefined) return false
  if (fresh) return true
  if (id !== undefined && call.rawId !== undefined && id !== call.rawId) return true
  if (
    name !== call.name &&
    call.name !== '' &&
    (call.text !== '' || (index === undefined && id === undefined))
  ) {
    return true
  }
  // Whole calls in a row, all under one index and without ids: a second object cannot belong to the first.
  return args.trimStart().startsWith('{') && isObject(parseJson(call.text))
}

/** Postgres holds neither NUL nor half a surrogate pair. */
function storable(name: string): string {
  return name.replaceAll('\0', '\uFFFD').toWellFormed()
}
