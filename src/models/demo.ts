import { setTimeout as timeout } from 'node:timers/promises'
import { newId } from '../contract/ids.ts'
import { estimateTokens } from '../domain/usage.ts'
import { demoModel } from './aliases.ts'
import type { ChatBody } from './chat-body.ts'
import { createChatCompletionsModel } from './chat-completions.ts'
import { demoAnswer, type DemoAnswer } from './demo-script.ts'
import type { Model } from './model.ts'
import { promptTokens } from './prompt-size.ts'
import { serverSettings, type Transport, type TransportResponse } from './transport.ts'

// The built-in model: a backend in process that answers real Chat Completions bytes, so that what is tried
// without a key goes the same way as what is served later. demo-script.ts decides its answers.

export interface DemoOptions {
  /** Waits; rejects when the signal fires. Tests pass their own. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>
}

/** The demo model, ready for use. */
export function createDemoModel(options: DemoOptions = {}): Model {
  return createChatCompletionsModel({ transport: createDemoTransport(options) })
}

/** The demo model as a backend. */
export function createDemoTransport(options: DemoOptions = {}): Transport {
  const sleep = options.sleep ?? ((ms, signal) => timeout(ms, undefined, { signal }))
  return {
    description: 'the built-in demo model (scripted, not a real model)',
    async post(_path, body, signal) {
      const answer = demoAnswer(body)
      if (answer.kind === 'failure') return failure(answer.status)
      return response(200, 'text/event-stream', frames(body, answer, sleep, signal))
    },
    async get() {
      const model = { id: demoModel, object: 'model', created: 1_767_225_600, owned_by: 'threadmill' }
      return json(200, { object: 'list', data: [model] })
    },
    settings: serverSettings,
    scrub: (text) => text,
  }
}

type Answer = Extract<DemoAnswer, { kind: 'answer' }>

async function* frames(
  body: ChatBody,
  answer: Answer,
  sleep: NonNullable<DemoOptions['sleep']>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const words = spokenWords(answer)
  const pauseMs = (answer.seconds * 1000) / Math.max(words.length, 1)
  yield frame(body, { role: 'assistant', content: words.length > 0 ? '' : null })
  for (const word of words) {
    if (pauseMs > 0) await sleep(pauseMs, signal)
    yield frame(body, { content: word })
  }
  for (const [index, call] of answer.calls.entries()) {
    const { name, arguments: args } = call
    const start = { index, id: newId('call'), type: 'function', function: { name, arguments: '' } }
    yield frame(body, { tool_calls: [start] })
    for (const part of args.match(/.{1,8}/gsu) ?? []) {
      yield frame(body, { tool_calls: [{ index, function: { arguments: part } }] })
    }
  }
  if (answer.end === 'cut') return
  yield frame(body, {}, answer.calls.length > 0 ? 'tool_calls' : answer.end)
  yield usageFrame(body, answer, words.join(''))
  yield 'data: [DONE]\n\n'
}

/** Word by word, as far as this answer gets. */
function spokenWords({ text, end }: Answer): string[] {
  const words = text.match(/\S+\s*/g) ?? []
  if (end === 'length') return words.slice(0, 5)
  return end === 'stop' ? words : words.slice(0, Math.ceil(words.length / 2))
}

function frame({ model }: ChatBody, delta: object, finish: string | null = null): string {
  const choices = [{ index: 0, delta, finish_reason: finish }]
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', model, choices })}\n\n`
}

function usageFrame(body: ChatBody, { calls }: Answer, text: string): string {
  const { model } = body
  const prompt_tokens = promptTokens(body)
  const completion_tokens = estimateTokens(text + calls.map((call) => call.name + call.arguments).join(''))
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
  return `data: ${JSON.stringify({ object: 'chat.completion.chunk', model, choices: [], usage })}\n\n`
}

function failure(status: number): TransportResponse {
  const code = status === 429 ? 'rate_limit_exceeded' : null
  return json(status, { error: { message: `The demo model was asked to fail with ${status}.`, code } })
}

function json(status: number, value: object): TransportResponse {
  return response(status, 'application/json', [JSON.stringify(value)])
}

function response(
  status: number,
  type: string,
  parts: Iterable<string> | AsyncIterable<string>,
): TransportResponse {
  return { status, headers: { 'content-type': type }, body: asBody(parts) }
}

async function* asBody(parts: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  yield* parts
}
