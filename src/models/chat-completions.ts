import { newId } from '../contract/ids.ts'
import { estimateTokens, type Usage } from '../domain/usage.ts'
import { chatBody, isLimitTooHigh, QuirkMemory, quirkNamedIn, type Quirk } from './chat-body.ts'
import { errorIn, faultInAnswer, faultOfStatus, faultOfTransport } from './faults.ts'
import { filled, isObject, parseJson } from './json.ts'
import { ModelError, type Headers, type Model, type ModelInfo, type ModelRequest } from './model.ts'
import { Normaliser, type NormalisedEnd } from './normalise.ts'
import { promptTokens } from './prompt-size.ts'
import { readSse, readText } from './sse.ts'
import { TransportError, type Transport, type TransportResponse } from './transport.ts'

const kibibyte = 1024
const errorBytes = 64 * kibibyte
const answerBytes = 32 * kibibyte * kibibyte

export interface ChatCompletionsOptions {
  transport: Transport
  /** Makes ids for tool calls whose own cannot be kept. */
  newCallId?: () => string
}

/** A backend that speaks the Chat Completions protocol, with what providers do differently settled. */
export function createChatCompletionsModel(options: ChatCompletionsOptions): Model {
  const { transport, newCallId = () => newId('call') } = options
  const quirks = new QuirkMemory()
  return {
    description: transport.description,
    complete: (request, on, signal, headers) =>
      inOwnTerms(transport, signal, async () => {
        const response = await ask({ transport, headers }, quirks, request, signal)
        const normaliser = new Normaliser(on, newCallId, callsAllowed(request), transport.settings)
        const end = await readAnswer(transport, response, normaliser, signal)
        return { finish: end.finish, usage: end.usage ?? estimateUsage(request, end.answer) }
      }),
    list: (signal) => inOwnTerms(transport, signal, () => listModels(transport, signal)),
  }
}

/**
 * How many tool calls of a turn are passed on. Backends do not all heed what they are asked: without tools none of
 * them could be answered, and without parallel calls a client looks for one (wire.md §5).
 */
function callsAllowed({ tools = [], tool_choice, parallel_tool_calls }: ModelRequest): number {
  if (tools.length === 0 || tool_choice === 'none') return 0
  return parallel_tool_calls === false ? 1 : Infinity
}

/** Makes every failure either the signal's reason or a ModelError; faults of our own code pass as they are. */
async function inOwnTerms<T>(
  { settings }: Transport,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  try {
    return await work()
  } catch (error) {
    signal.throwIfAborted()
    throw error instanceof TransportError ? faultOfTransport(error, settings) : error
  }
}

/** Sends the request, again without what the backend refuses of it; which keys it does not know is remembered. */
async function ask(
  { transport, headers }: { transport: Transport; headers: Headers | undefined },
  memory: QuirkMemory,
  request: ModelRequest,
  signal: AbortSignal,
): Promise<TransportResponse> {
  const refused = new Set<Quirk>(memory.of(request.model))
  const atFirst = refused.size
  let asked = request
  for (;;) {
    const body = chatBody(asked, refused)
    const response = await transport.post('/chat/completions', body, signal, headers)
    if (isSuccess(response.status)) {
      if (refused.size > atFirst) memory.remember(request.model, refused)
      return response
    }
    const refusal = await readText(response.body, errorBytes)
    const mayBeQuirk = response.status === 400 || response.status === 422
    if (mayBeQuirk && asked.max_completion_tokens !== undefined && isLimitTooHigh(refusal.text)) {
      // A budget for a whole run may be more than the model ever answers: then its own limit is the lower one.
      asked = { ...asked, max_completion_tokens: undefined }
      continue
    }
    const quirk = mayBeQuirk ? quirkNamedIn(refusal.text, body) : undefined
    if (quirk === undefined) throw faultOfStatus(response.status, refusal.text, transport)
    // Each round leaves out one more thing, so this ends.
    refused.add(quirk)
  }
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300
}

async function readAnswer(
  transport: Transport,
  response: TransportResponse,
  normaliser: Normaliser,
  signal: AbortSignal,
): Promise<NormalisedEnd> {
  const { headers, body } = response
  const take = (data: string): void => {
    signal.throwIfAborted()
    const chunk = parseJson(data)
    if (chunk === undefined) {
      throw new ModelError('server_error', 'The model endpoint sent a malformed chunk: its data is no JSON.')
    }
    const error = errorIn(chunk)
    if (error !== undefined) throw faultInAnswer(error, transport.scrub)
    normaliser.take(chunk)
  }
  try {
    if (headers['content-type']?.includes('json')) return await readUnstreamed(body, take, normaliser)
    return normaliser.end(await readSse(body, take, isJson))
  } catch (error) {
    // The reason for stopping has come, so that nothing but perhaps the usage is lost.
    if (error instanceof TransportError && normaliser.finished && !signal.aborted) return normaliser.end(true)
    throw error
  }
}

/** Some backends ignore stream:true and send one chat.completion; others send a stream under a wrong type. */
async function readUnstreamed(
  body: TransportResponse['body'],
  take: (data: string) => void,
  normaliser: Normaliser,
): Promise<NormalisedEnd> {
  const { text, whole } = await readText(body, answerBytes)
  if (!whole) throw new ModelError('server_error', "The model's answer was too long to take.")
  if (!text.trimStart().startsWith('{')) return normaliser.end(await readSse(once(text), take, isJson))
  take(text)
  return normaliser.end(true)
}

async function* once(text: string): AsyncGenerator<string> {
  yield text
}

function isJson(data: string): boolean {
  return parseJson(data) !== undefined
}

function estimateUsage(request: ModelRequest, answer: string): Usage {
  const prompt_tokens = promptTokens(request)
  const completion_tokens = estimateTokens(answer)
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

async function listModels(transport: Transport, signal: AbortSignal): Promise<ModelInfo[]> {
  const { status, body } = await transport.get('/models', signal)
  const { text } = await readText(body, answerBytes)
  if (!isSuccess(status)) {
    const fault = faultOfStatus(status, text, transport)
    // No prompt is to blame here: a backend without this path answers 404 too.
    throw fault.code === 'invalid_prompt' ? new ModelError('server_error', fault.message) : fault
  }
  const answer = parseJson(text)
  const list = isObject(answer) ? answer.data : answer
  if (!Array.isArray(list)) {
    throw new ModelError('server_error', "The model endpoint's list of models could not be read.")
  }
  return list.filter(isObject).flatMap(({ id, created, owned_by }) => {
    const name = filled(id)
    if (name === undefined) return []
    return {
      id: name,
      object: 'model',
      created: Number(created) || 0,
      owned_by: filled(owned_by) ?? 'unknown',
    }
  })
}
