import type { FunctionTool } from '../contract/tools.ts'
import type { ModelRequest } from './model.ts'

// The request as a backend sees it. Backends differ in which of the newer keys they know, and refuse a request
// that carries others; such a key is a quirk, left out or renamed once the backend has named it in its refusal.

export type ChatBody = Omit<ModelRequest, 'response_format'> & {
  stream: true
  stream_options?: { include_usage: true }
  /** The older name of max_completion_tokens. */
  max_tokens?: number
  response_format?: Exclude<ModelRequest['response_format'], 'auto'>
}

const quirks = ['stream_options', 'max_completion_tokens', 'parallel_tool_calls'] as const
export type Quirk = (typeof quirks)[number]

/** The body of a turn, without the keys that were not asked for or that this backend refuses. */
export function chatBody(request: ModelRequest, refused: ReadonlySet<Quirk>): ChatBody {
  const { tools, tool_choice, parallel_tool_calls, max_completion_tokens, response_format, ...rest } = request
  const body: ChatBody = { ...rest, stream: true }
  if (!refused.has('stream_options')) body.stream_options = { include_usage: true }
  // An empty list of tools, or a choice without tools, is refused by OpenAI itself.
  if (tools !== undefined && tools.length > 0) {
    body.tools = tools.map(withoutNullStrict)
    if (tool_choice !== undefined) body.tool_choice = tool_choice
    if (parallel_tool_calls !== undefined && !refused.has('parallel_tool_calls')) {
      body.parallel_tool_calls = parallel_tool_calls
    }
  }
  if (max_completion_tokens !== undefined) {
    const key = refused.has('max_completion_tokens') ? 'max_tokens' : 'max_completion_tokens'
    body[key] = max_completion_tokens
  }
  if (response_format !== undefined && response_format !== 'auto') body.response_format = response_format
  return body
}

/** `strict: null` is how the Assistants API says "not set"; the servers that check types refuse it. */
function withoutNullStrict(tool: FunctionTool): FunctionTool {
  const { strict, ...definition } = tool.function
  return strict === null ? { type: 'function', function: definition } : tool
}

/** The first key of `body` that a refusal names and that could be left out or renamed. */
export function quirkNamedIn(refusal: string, body: ChatBody): Quirk | undefined {
  return quirks.find((quirk) => body[quirk] !== undefined && refusal.includes(quirk))
}

/** Whether a refusal says that the limit on the answer is more than the model gives, rather than that it is unknown. */
export function isLimitTooHigh(refusal: string): boolean {
  const isAboutLimit = /max_(completion_)?tokens|in the completion/i.test(refusal)
  const isTooLow = />=|at least|below|minimum/i.test(refusal)
  return (
    isAboutLimit && !isTooLow && /too (large|high|big)|at most|maximum|exceed|less than|<=/i.test(refusal)
  )
}

// Names of models come from clients; a backend that accepts any name must not make the memory grow without end.
const modelsRemembered = 1000

/** What is known of a backend's quirks, by model: a gateway may serve models that disagree. */
export class QuirkMemory {
  readonly #byModel = new Map<string, ReadonlySet<Quirk>>()

  of(model: string): ReadonlySet<Quirk> {
    return this.#byModel.get(model) ?? new Set()
  }

  remember(model: string, known: ReadonlySet<Quirk>): void {
    if (this.#byModel.size >= modelsRemembered) this.#byModel.clear()
    this.#byModel.set(model, known)
  }
}
