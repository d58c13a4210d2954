import assert from 'node:assert/strict'
import { after } from 'node:test'
import { inspect } from 'node:util'
import { createChatCompletionsModel } from '../../src/models/chat-completions.ts'
import { createHttpTransport, type HttpTransportOptions } from '../../src/models/http-transport.ts'
import {
  ModelError,
  type Model,
  type ModelEnd,
  type ModelEvent,
  type ModelRequest,
} from '../../src/models/model.ts'

// Turns against a backend over HTTP, for tests of the model adapter.

export const apiKey = 'sk-canary-1234567890'
export const hi: ModelRequest = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }

/** A model behind `baseUrl`; its connections close with the test file. */
export function connect(options: Partial<HttpTransportOptions> & { baseUrl: string }): Model {
  const transport = createHttpTransport({ apiKey, ...options })
  after(() => transport.close())
  return createChatCompletionsModel({ transport })
}

export interface Outcome {
  end: ModelEnd
  events: ModelEvent[]
  text: string
}

/** Runs a turn to its end. */
export async function complete(
  model: Model,
  request = hi,
  signal = new AbortController().signal,
): Promise<Outcome> {
  const events: ModelEvent[] = []
  const end = await model.complete(request, (event) => events.push(event), signal)
  return { end, events, text: events.map((event) => (event.type === 'text' ? event.text : '')).join('') }
}

/** Runs a turn that must fail with a ModelError, which must not hold the key anywhere. */
export async function faultOf(model: Model, request = hi): Promise<ModelError> {
  const error = await complete(model, request).then(
    () => assert.fail('no fault'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof ModelError, inspect(error))
  assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes(apiKey), 'the key stays out of errors')
  return error
}
